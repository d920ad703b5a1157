/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_arrow.h"

#include <string.h>

_Static_assert(sizeof(struct hp_view) == 16, "a view of the Arrow format has 16 bytes");

#define SPAN_BYTES_MAX (UINT64_C(1) << 31)
#define AHEAD_ROWS 16u

/* Extends the span to a packet's end, if the packet can be told by 31 bits from its start. */
static int span_takes(struct hp_span *span, uint64_t offset, uint32_t bytes)
{
	if (offset < span->start || offset + bytes - span->start >= SPAN_BYTES_MAX)
		return 0;
	if (offset + bytes - span->start > span->bytes)
		span->bytes = offset + bytes - span->start;
	return 1;
}

static void fill_view(struct hp_view *view, const uint8_t *data, uint32_t bytes, uint32_t buffer, uint32_t offset)
{
	memset(view, 0, sizeof(*view));
	view->bytes = bytes;
	if (bytes <= sizeof(view->inlined)) {
		memcpy(view->inlined, data, bytes);
		return;
	}
	memcpy(view->at.prefix, data, sizeof(view->at.prefix));
	view->at.buffer = buffer;
	view->at.offset = offset;
}

int hp_views_fill(const struct hp_columns *columns, struct hp_view *views, struct hp_span *spans, int spans_max)
{
	int nr = 0;

	for (uint32_t i = 0; i < columns->nr; i++) {
		uint64_t offset = columns->offset[i];
		uint32_t bytes = columns->caplen[i];

		if (i + AHEAD_ROWS < columns->nr)
			__builtin_prefetch(columns->base + columns->offset[i + AHEAD_ROWS]);
		if (nr == 0 || !span_takes(&spans[nr - 1], offset, bytes)) {
			if (nr == spans_max)
				return -1;
			spans[nr++] = (struct hp_span){ offset, bytes };
		}
		fill_view(&views[i], columns->base + offset, bytes, (uint32_t)(nr - 1),
			  (uint32_t)(offset - spans[nr - 1].start));
	}
	return nr;
}
