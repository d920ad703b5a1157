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

/* The columns' memory is one piece of this many bytes; hp_columns_lay() lays them out in it. */
size_t hp_columns_bytes(uint32_t capacity);
void hp_columns_lay(struct hp_columns *columns, void *memory, uint32_t capacity);

static inline void hp_columns_add(struct hp_columns *columns, const struct hp_frame *frame)
{
	uint32_t row = columns->nr++;
	const struct tpacket3_hdr *hdr = frame->hdr;

	columns->ts_ns[row] = frame->sec * 1000000000 + frame->nsec;
	columns->offset[row] = (uint64_t)(frame->data - columns->base);
	columns->caplen[row] = frame->caplen;
	columns->len[row] = frame->len;
	columns->status[row] = frame->status;
	columns->rxhash[row] = hdr ? hdr->hv1.tp_rxhash : 0;
	columns->vlan_tci[row] = hdr ? (uint16_t)hdr->hv1.tp_vlan_tci : 0;
	columns->vlan_tpid[row] = hdr && hp_frame_tagged(frame) ? hp_frame_tpid(frame) : 0;
	columns->direction[row] = !hdr ? 0 : hp_frame_sll(frame)->sll_pkttype == PACKET_OUTGOING ? HP_DIR_OUT : HP_DIR_IN;
}

/*
 * Adds packets that are there now until the columns are full, the block under the cursor ends,
 * or there is nothing more. HP_FRAME (full, or the block ended), HP_NONE, HP_EOF, or -errno.
 */
int hp_columns_fill(struct hp_columns *columns, struct hp_source *src);

#endif
