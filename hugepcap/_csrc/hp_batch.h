/* SPDX-License-Identifier: BSD-3-Clause */
/* Many packets of one block in one call: their records, and their bytes one behind the other. */
#ifndef HP_BATCH_H
#define HP_BATCH_H

#include "hp_source.h"

/* pcapy-ng's record of next_batch(): native, 16 bytes. */
struct hp_record {
	uint32_t sec, usec, offset, caplen;
};

struct hp_batch {
	struct hp_record *records;
	uint8_t *bytes;
	uint32_t capacity, room;	/* of records, of bytes */
	uint32_t nr, used;
};

/*
 * Room for up to `nr` packets of the block under the cursor, `first` being the one just taken from it:
 * a bound where they are all that the block has, and a guess from their mean length where they are not.
 */
uint32_t hp_batch_room(const struct hp_source *src, const struct hp_frame *first, uint32_t nr);

/* Adds a packet; there must be room. */
void hp_batch_add(struct hp_batch *batch, const struct hp_frame *frame);

/* Adds what the block still has until a packet finds no room. 0, or -EBADMSG behind the last good one. */
int hp_batch_collect(struct hp_batch *batch, struct hp_source *src);

#endif
