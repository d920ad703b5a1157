/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets of a ring as columns, and a share in the blocks they lie in. */
#ifndef HP_COLLECT_H
#define HP_COLLECT_H

#include "hp_columns.h"

/* The blocks that a batch of packets lies in. */
struct hp_pins {
	uint32_t *blocks;
	uint32_t nr;
	uint32_t capacity;
};

/* One share more in the block under the cursor. */
static inline void hp_pins_add(struct hp_pins *pins, const struct hp_source *src)
{
	hp_ring_pin(src->ring, src->index);
	pins->blocks[pins->nr++] = src->index;
}

/*
 * Adds packets that are in the ring now, and pins their blocks, until either list is full or there are no more.
 * HP_FRAME (a list is full), HP_NONE, or -errno; what was added before an error is good.
 */
int hp_collect(struct hp_columns *columns, struct hp_source *src, struct hp_pins *pins);

#endif
