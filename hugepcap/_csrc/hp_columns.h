/* SPDX-License-Identifier: BSD-3-Clause */
/* Many packets as columns: one array per field, row i being packet i. */
#ifndef HP_COLUMNS_H
#define HP_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "hp_source.h"

/* The bytes of packet i are the caplen[i] at base + offset[i]. */
struct hp_columns {
	uint8_t *base;
	uint32_t nr;
	uint32_t capacity;
	int64_t *ts_ns;		/* since 1970, UTC */
	uint64_t *offset;
	uint32_t *caplen;
	uint32_t *len;		/* bytes on the wire */
	uint32_t *rxhash;	/* the flow's hash by the NIC or kernel; 0: none */
	uint32_t *status;	/* TP_STATUS_* */
	uint16_t *vlan_tci;	/* of the tag that was put back into the packet; 0: none */
	uint16_t *vlan_tpid;
	uint8_t *direction;	/* HP_DIR_IN, HP_DIR_OUT; 0: not known */
};

/* The columns' memory is one piece of this many bytes, zeros at first; hp_columns_lay() lays them out in it. */
size_t hp_columns_bytes(uint32_t capacity);
void hp_columns_lay(struct hp_columns *columns, void *memory, uint32_t capacity);

/* Fills in what every packet has, wherever it came from. */
static inline void hp_columns_put(const struct hp_columns *columns, uint32_t row, const struct hp_frame *frame)
{
	columns->ts_ns[row] = frame->sec * 1000000000 + frame->nsec;
	columns->offset[row] = (uint64_t)(frame->data - columns->base);
	columns->caplen[row] = frame->caplen;
	columns->len[row] = frame->len;
}

/* Adds a packet. What only a ring knows stays what it was: 0, where the memory never had a ring's packets. */
static inline void hp_columns_add(struct hp_columns *columns, const struct hp_frame *frame)
{
	hp_columns_put(columns, columns->nr++, frame);
}

/* What a ring knows beside: of every packet, and of its VLAN tag. */
static inline void hp_columns_put_live(const struct hp_columns *columns, uint32_t row, const struct hp_frame *frame)
{
	int outgoing = hp_frame_sll(frame)->sll_pkttype == PACKET_OUTGOING;

	hp_columns_put(columns, row, frame);
	columns->status[row] = frame->status;
	columns->rxhash[row] = frame->hdr->hv1.tp_rxhash;
	columns->direction[row] = (uint8_t)(HP_DIR_IN + outgoing);
}

static inline void hp_columns_put_tag(const struct hp_columns *columns, uint32_t row, const struct hp_frame *frame)
{
	int tagged = hp_frame_tagged(frame);

	columns->vlan_tci[row] = tagged ? (uint16_t)frame->hdr->hv1.tp_vlan_tci : 0;
	columns->vlan_tpid[row] = tagged ? hp_frame_tpid(frame) : 0;
}

static inline uint64_t hp_columns_wire_bytes(const struct hp_columns *columns)
{
	uint64_t sum = 0;

	for (uint32_t row = 0; row < columns->nr; row++)
		sum += columns->len[row];
	return sum;
}

#endif
