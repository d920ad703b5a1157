/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_columns.h"

/* Columns begin on lines of their own, so that vector code needs no lead-in. */
#define LINE_BYTES 64u

static size_t padded(size_t bytes)
{
	return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

size_t hp_columns_bytes(uint32_t capacity)
{
	return 2 * padded(8 * (size_t)capacity) + 4 * padded(4 * (size_t)capacity) + 2 * padded(2 * (size_t)capacity) +
	       padded(capacity);
}

static void *take(uint8_t **at, size_t bytes)
{
	void *taken = *at;

	*at += padded(bytes);
	return taken;
}

void hp_columns_lay(struct hp_columns *columns, void *memory, uint32_t capacity)
{
	uint8_t *at = memory;

	columns->nr = 0;
	columns->capacity = capacity;
	columns->ts_ns = take(&at, 8 * (size_t)capacity);
	columns->offset = take(&at, 8 * (size_t)capacity);
	columns->caplen = take(&at, 4 * (size_t)capacity);
	columns->len = take(&at, 4 * (size_t)capacity);
	columns->rxhash = take(&at, 4 * (size_t)capacity);
	columns->status = take(&at, 4 * (size_t)capacity);
	columns->vlan_tci = take(&at, 2 * (size_t)capacity);
	columns->vlan_tpid = take(&at, 2 * (size_t)capacity);
	columns->direction = take(&at, capacity);
}

int hp_columns_fill(struct hp_columns *columns, struct hp_source *src)
{
	struct hp_columns into = *columns;	/* what the loop writes cannot alias its own copy */
	struct hp_cursor cur = src->cur;
	struct hp_frame frame;
	int rc = HP_FRAME;

	while (into.nr < into.capacity && cur.left != 0) {
		rc = hp_source_step(src, &cur, &frame, HP_TOUCH_HEADS);
		if (HP_UNLIKELY(rc < 0))
			break;
		if (HP_LIKELY(rc == HP_FRAME))
			hp_columns_add(&into, &frame);
	}
	columns->nr = into.nr;
	src->cur = cur;
	return rc < 0 ? rc : HP_FRAME;
}
