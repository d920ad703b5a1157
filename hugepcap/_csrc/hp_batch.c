/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_batch.h"

uint32_t hp_batch_room(const struct hp_source *src, const struct hp_frame *first, uint32_t nr)
{
	const struct tpacket_block_desc *desc = hp_ring_desc(src->ring, src->index);
	uint32_t from = (uint32_t)((const uint8_t *)first->hdr - (const uint8_t *)desc);
	uint32_t end = HP_READ_ONCE(desc->hdr.bh1.blk_len), left = src->cur.left + 1;
	uint64_t bytes;

	if (end > src->ring->geo.block_bytes || end < from)
		end = src->ring->geo.block_bytes;
	bytes = end - from;
	/* Every frame has its headers in front; a little more than the mean lets most guesses hold. */
	bytes -= bytes > (uint64_t)left * HP_FRAME_HDRLEN ? (uint64_t)left * HP_FRAME_HDRLEN : 0;
	if (nr < left)
		bytes = bytes * nr / left * 9 / 8;
	return (uint32_t)bytes + first->caplen + HP_FINISH_BYTES_MAX;
}

/* The check repeats the caller's: the length it peeked at stands in shared memory. */
static inline void add(struct hp_batch *batch, const struct hp_frame *frame)
{
	if (HP_UNLIKELY(frame->caplen > batch->room - batch->used))
		return;

	struct hp_record *record = &batch->records[batch->nr++];

	record->sec = (uint32_t)frame->sec;
	record->usec = frame->nsec / 1000;
	record->offset = batch->used;
	record->caplen = frame->caplen;
	hp_copy(batch->bytes + batch->used, frame->data, frame->caplen);
	batch->used += frame->caplen;
}

void hp_batch_add(struct hp_batch *batch, const struct hp_frame *frame)
{
	add(batch, frame);
}

int hp_batch_collect(struct hp_batch *batch, struct hp_source *src)
{
	struct hp_batch local = *batch;	/* as the cursor: in registers, whatever is written to the bytes */
	struct hp_cursor cur = src->cur;
	struct hp_frame frame;
	int rc = HP_NONE;

	while (rc >= 0 && cur.left && local.nr < local.capacity) {
		/* before the step: a frame whose header or tag is put in place cannot be walked again */
		if (local.room - local.used < (uint64_t)hp_cursor_peek_caplen(&cur) + HP_FINISH_BYTES_MAX)
			break;
		rc = hp_source_step(src, &cur, &frame, HP_TOUCH_ALL);
		if (HP_LIKELY(rc == HP_FRAME))
			add(&local, &frame);
	}
	src->cur = cur;
	*batch = local;
	return rc < 0 ? rc : 0;
}
