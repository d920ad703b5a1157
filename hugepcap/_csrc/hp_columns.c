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
	return LINE_BYTES + 2 * padded(8 * (size_t)capacity) + 4 * padded(4 * (size_t)capacity) + 2 * padded(2 * (size_t)capacity) +
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
	uint8_t *at = (uint8_t *)padded((uintptr_t)memory);

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

static inline void add_frame(struct hp_columns *columns, const struct hp_frame *frame)
{
	uint32_t row = hp_columns_add(columns, frame);
	int tagged = hp_frame_tagged(frame);
	int outgoing = hp_frame_sll(frame)->sll_pkttype == PACKET_OUTGOING;

	columns->status[row] = frame->status;
	columns->rxhash[row] = frame->hdr->hv1.tp_rxhash;
	columns->vlan_tci[row] = tagged ? (uint16_t)frame->hdr->hv1.tp_vlan_tci : 0;
	columns->vlan_tpid[row] = tagged ? hp_frame_tpid(frame) : 0;
	columns->direction[row] = (uint8_t)(HP_DIR_IN + outgoing);
}

/* Adds what the block under the cursor still has. 0 or -errno. */
static int add_block(struct hp_columns *columns, struct hp_source *src)
{
	struct hp_columns into = *columns;	/* what the loop writes cannot alias its own copy */
	struct hp_cursor cur = src->cur;
	struct hp_frame frame;
	int rc = 0;

	while (rc >= 0 && into.nr < into.capacity && cur.left != 0) {
		rc = hp_source_step(src, &cur, &frame, HP_TOUCH_HEADS);
		if (HP_LIKELY(rc == HP_FRAME))
			add_frame(&into, &frame);
	}
	columns->nr = into.nr;
	src->cur = cur;
	return rc < 0 ? rc : 0;
}

int hp_columns_collect(struct hp_columns *columns, struct hp_source *src, struct hp_pins *pins)
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
		rc = add_block(columns, src);
		if (columns->nr > before) {
			hp_ring_pin(src->ring, src->index);
			pins->blocks[pins->nr++] = src->index;
		}
		if (rc < 0)
			return rc;
	}
	return HP_FRAME;
}
