/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_batch.h"

#include <string.h>

void hp_batch_add(struct hp_batch *batch, const struct hp_frame *frame)
{
	struct hp_record *record = &batch->records[batch->nr];

	record->sec = (uint32_t)frame->sec;
	record->usec = frame->nsec / 1000;
	record->offset = (uint32_t)batch->bytes;
	record->caplen = frame->caplen;
	batch->data[batch->nr++] = frame->data;
	batch->bytes += frame->caplen;
}

int hp_batch_collect(struct hp_batch *batch, struct hp_source *src)
{
	struct hp_frame frame;

	while (batch->nr < batch->capacity) {
		int rc = hp_source_next_here(src, &frame);

		if (rc != HP_FRAME)
			return rc;
		hp_batch_add(batch, &frame);
	}
	return 0;
}

void hp_batch_copy(const struct hp_batch *batch, uint8_t *out)
{
	for (uint32_t i = 0; i < batch->nr; i++)
		memcpy(out + batch->records[i].offset, batch->data[i], batch->records[i].caplen);
}
