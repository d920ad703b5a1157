/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block is one stream of memory, and however far ahead one stream is fetched, a CPU has more lines under way with
 * several. How many packets a block has stands in its head: the rows of each are known before any is walked.
 */
#include "hp_lanes.h"

/*
 * Measured, ns a packet, by the bytes of a packet (64, 200, 594, 1400); more lanes, or larger turns, were no better:
 *	one block after the other	 9.5  14.1  17.1  18.2
 *	two, four packets of each	 7.7  14.1  15.4  17.1
 *	four, one packet of each	 9.0  15.0  11.8  10.0
 * That was on a machine with busy neighbours. On a quiet one two lanes of packets of 64 bytes cost more than one, 8.4
 * to 6.7: there a CPU's own prefetcher keeps up with small frames. So only large ones have lanes.
 */
#define LANES_MAX 4u
#define SMALL_FRAME_BYTES 512u

struct lane {
	struct hp_cursor cur;
	uint32_t index;		/* of its block */
	uint32_t row, end;	/* its next row, and where the next lane's begin */
};

static inline uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Whether a frame takes little room, going by the next one of this block. */
static int has_small_frames(const struct hp_cursor *cur)
{
	return hp_cursor_peek_caplen(cur) + HP_FRAME_HDRLEN < SMALL_FRAME_BYTES;
}

/* The block under the cursor, and blocks that are there behind it while their packets find rows. */
static uint32_t open_lanes(struct lane *lanes, uint32_t most, const struct hp_columns *columns, struct hp_source *src)
{
	uint32_t row = columns->nr, nr = 0;

	lanes[0].cur = src->cur;
	lanes[0].index = src->index;
	for (;;) {
		struct lane *lane = &lanes[nr++];

		lane->row = row;
		row += least(lane->cur.left, columns->capacity - row);
		lane->end = row;
		if (nr == most || row == columns->capacity || !hp_ring_peek(src->ring, &lane[1].index))
			return nr;
		if (hp_cursor_open(&lane[1].cur, (uint8_t *)hp_ring_desc(src->ring, lane[1].index),
				   src->ring->geo.block_bytes) < 0) {
			hp_ring_unpeek(src->ring, lane[1].index);
			return nr;
		}
	}
}

/* Fills a row. 0: the lane's next frame is one for hp_source_step(). */
static inline int step_lane(const struct hp_columns *columns, struct lane *lane)
{
	struct hp_frame frame;

	if (HP_UNLIKELY(hp_cursor_peek_status(&lane->cur) & TP_STATUS_VLAN_VALID))
		return 0;
	if (HP_UNLIKELY(hp_cursor_next(&lane->cur, &frame, HP_TOUCH_LANES) < 0))
		return 0;
	hp_columns_put_live(columns, lane->row++, &frame);
	return 1;
}

/* So many packets of each lane, in turns. Returns the lane that could not go on, or NULL. */
static inline struct lane *step_lanes(const struct hp_columns *columns, struct lane **busy, uint32_t nr, uint32_t packets)
{
	for (; packets; packets--)
		for (uint32_t i = 0; i < nr; i++)
			if (HP_UNLIKELY(!step_lane(columns, busy[i])))
				return busy[i];
	return NULL;
}

/* Walks all lanes to their ends, or those before one that cannot go on and that one up to there. Returns how many. */
static uint32_t walk_lanes(const struct hp_columns *columns, struct lane *lanes, uint32_t nr, struct hp_ring *ring)
{
	struct lane *busy[LANES_MAX], *stopped;

	for (;;) {
		uint32_t nr_busy = 0, packets = UINT32_MAX;

		for (uint32_t i = 0; i < nr; i++) {
			if (lanes[i].row == lanes[i].end)
				continue;
			busy[nr_busy++] = &lanes[i];
			packets = least(packets, lanes[i].end - lanes[i].row);
		}
		if (nr_busy == 0)
			return nr;
		stopped = step_lanes(columns, busy, nr_busy, packets);
		if (stopped) {
			stopped->end = stopped->row;
			while (&lanes[nr - 1] > stopped)
				hp_ring_unpeek(ring, lanes[--nr].index);
		}
	}
}

void hp_lanes_add(struct hp_columns *columns, struct hp_source *src, struct hp_pins *pins)
{
	const struct hp_columns into = *columns;	/* what is written cannot alias its own copy */
	struct lane lanes[LANES_MAX];
	uint32_t nr;

	if (!src->plain || has_small_frames(&src->cur))
		return;
	nr = open_lanes(lanes, least(LANES_MAX, pins->capacity - pins->nr), columns, src);
	if (nr == 1)
		return;
	nr = walk_lanes(&into, lanes, nr, src->ring);
	for (uint32_t i = 1; i < nr; i++) {
		hp_pins_add(pins, src);
		hp_source_release(src);
		src->index = lanes[i].index;
		src->held = 1;
	}
	src->cur = lanes[nr - 1].cur;
	columns->nr = lanes[nr - 1].row;
	memset(into.vlan_tci + into.nr, 0, (columns->nr - into.nr) * sizeof(*into.vlan_tci));
	memset(into.vlan_tpid + into.nr, 0, (columns->nr - into.nr) * sizeof(*into.vlan_tpid));
}
