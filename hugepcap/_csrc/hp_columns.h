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

/*
 * Adds what every packet has, wherever it came from; returns its row. What only a ring knows stays what it was: 0,
 * where the memory never had a ring's packets.
 */
static inline uint32_t hp_columns_add(struct hp_columns *columns, const struct hp_frame *frame)
{
	uint32_t row = columns->nr++;

	columns->ts_ns[row] = frame->sec * 1000000000 + frame->nsec;
	columns->offset[row] = (uint64_t)(frame->data - columns->base);
	columns->caplen[row] = frame->caplen;
	columns->len[row] = frame->len;
	return row;
}

static inline uint64_t hp_columns_wire_bytes(const struct hp_columns *columns)
{
	uint64_t sum = 0;

	for (uint32_t row = 0; row < columns->nr; row++)
		sum += columns->len[row];
	return sum;
}

/* The blocks that a batch of packets lies in. */
struct hp_pins {
	uint32_t *blocks;
	uint32_t nr;
	uint32_t capacity;
};

/*
 * Adds packets that are in the ring now, and pins their blocks, until either list is full or there are no more.
 * HP_FRAME (a list is full), HP_NONE, or -errno; what was added before an error is good.
 */
int hp_columns_collect(struct hp_columns *columns, struct hp_source *src, struct hp_pins *pins);

#endif
