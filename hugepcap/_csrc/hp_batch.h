/* SPDX-License-Identifier: BSD-3-Clause */
/* Many packets in one call: first their records, then, when their size is known, their bytes. */
#ifndef HP_BATCH_H
#define HP_BATCH_H

#include "hp_source.h"

/* pcapy-ng's record of next_batch(): native, 16 bytes. */
struct hp_record {
	uint32_t sec, usec, offset, caplen;
};

struct hp_batch {
	struct hp_record *records;
	const uint8_t **data;	/* where each packet's bytes are; good until the block is released */
	uint32_t capacity, nr;
	uint64_t bytes;		/* of all packets together */
};

/* Adds a packet; there must be room. */
void hp_batch_add(struct hp_batch *batch, const struct hp_frame *frame);

/* Adds what the block under the cursor still has, up to the capacity. 0, or -EBADMSG behind the last good one. */
int hp_batch_collect(struct hp_batch *batch, struct hp_source *src);

/* Copies the packets' bytes, one behind the other, to `out`. */
void hp_batch_copy(const struct hp_batch *batch, uint8_t *out);

#endif
