/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_collect.h"
#include "hp_lanes.h"

/* Adds what the block under the cursor still has. 0 or -errno. */
static int add_block(struct hp_columns *columns, struct hp_source *src)
{
	struct hp_columns into = *columns;	/* what the loop writes cannot alias its own copy */
	struct hp_cursor cur = src->cur;
	struct hp_frame frame;
	int rc = 0;

	while (rc >= 0 && into.nr < into.capacity && cur.left != 0) {
		rc = hp_source_step(src, &cur, &frame, HP_TOUCH_HEADS);
		if (HP_UNLIKELY(rc != HP_FRAME))
			continue;
		hp_columns_put_live(&into, into.nr, &frame);
		hp_columns_put_tag(&into, into.nr++, &frame);
	}
	columns->nr = into.nr;
	src->cur = cur;
	return rc < 0 ? rc : 0;
}

int hp_collect(struct hp_columns *columns, struct hp_source *src, struct hp_pins *pins)
{
	uint32_t before;
	int rc;

	while (columns->nr < columns->capacity && pins->nr < pins->capacity) {
		if (src->cur.left == 0) {
			rc = hp_source_advance(src, &src->cur);
			if (rc != HP_FRAME)
				return rc;
		}
		before = columns->nr;
		hp_lanes_add(columns, src, pins);
		rc = add_block(columns, src);
		if (columns->nr > before)
			hp_pins_add(pins, src);
		if (rc < 0)
			return rc;
	}
	return HP_FRAME;
}
