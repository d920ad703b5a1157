/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads a ring in one of four ways and prints what comes out: a line for each packet, then the result. */
#include "reading.h"

static void print_frame(int64_t sec, uint32_t nsec, uint32_t len, const uint8_t *data, uint32_t caplen)
{
	printf("F %lld %u %u ", (long long)sec, nsec, len);
	put_hex(data, caplen);
}

static void print_tally(const struct hp_tally *tally)
{
	printf("T %llu %llu %llu", (unsigned long long)tally->admitted, (unsigned long long)tally->dropped,
	       (unsigned long long)tally->overflow);
	for (int i = 0; i < HP_CLASS_MAX; i++)
		printf(" %llu", (unsigned long long)tally->classes[i]);
	putchar('\n');
}

static int walk_next(struct reading *r)
{
	struct hp_frame frame;
	int rc;

	while ((rc = hp_source_next(&r->src, &r->src.cur, &frame, HP_TOUCH_ALL)) == HP_FRAME)
		print_frame(frame.sec, frame.nsec, frame.len, frame.data, frame.caplen);
	return rc;
}

/* One batch as Reader.next_batch() makes it. Where room is not 0 it is the bytes there are behind the first packet. */
static int one_batch(struct reading *r, uint32_t capacity, uint32_t room)
{
	struct hp_frame first;
	struct hp_batch batch = { .capacity = capacity };
	int rc = hp_source_next(&r->src, &r->src.cur, &first, HP_TOUCH_ALL);

	if (rc != HP_FRAME)
		return rc;
	if (capacity > r->src.cur.left + 1)
		batch.capacity = r->src.cur.left + 1;
	batch.room = room ? first.caplen + room : hp_batch_room(&r->src, &first, batch.capacity);
	batch.records = malloc(batch.capacity * sizeof(*batch.records));
	batch.bytes = malloc(batch.room);
	hp_batch_add(&batch, &first);
	rc = hp_batch_collect(&batch, &r->src);
	for (uint32_t i = 0; i < batch.nr; i++)
		print_frame(batch.records[i].sec, batch.records[i].usec, batch.nr,
			    batch.bytes + batch.records[i].offset, batch.records[i].caplen);
	free(batch.records);
	free(batch.bytes);
	return rc < 0 ? rc : HP_FRAME;
}

static int walk_scan(struct reading *r, uint32_t admit_mask)
{
	struct hp_tally tally = { 0 };
	struct hp_frame frame;
	int rc, index;

	do {
		uint64_t budget = 3;

		rc = hp_scan(&r->src, &r->cls, admit_mask, &tally, &budget, &frame, &index);
		if (rc == HP_FRAME)
			print_frame(frame.sec, frame.nsec, (uint32_t)index, frame.data, frame.caplen);
	} while (rc == HP_FRAME || rc == HP_BUDGET);
	print_tally(&tally);
	return rc;
}

static int walk_fill(struct reading *r, uint32_t admit_mask, uint32_t bytes)
{
	struct hp_buffer buf = { .at = malloc(bytes), .bytes = bytes, .class_base = 100 };
	struct hp_tally tally = { 0 };
	int rc;

	do {
		uint64_t budget = 3;

		rc = hp_fill(&r->src, &r->cls, admit_mask, &tally, &budget, &buf);
	} while (rc == HP_BUDGET);
	printf("B ");
	put_hex(buf.at, (uint32_t)buf.used);
	print_tally(&tally);
	free(buf.at);
	return rc;
}

int main(void)
{
	struct reading r;
	uint32_t mode, first, second, bytes, nr;
	uint8_t *map;
	int rc = HP_FRAME;

	reading_get(&r);
	mode = get_u32();
	first = get_u32();
	second = get_u32();
	bytes = get_u32();
	nr = get_u32();
	map = get_blob(bytes * nr);
	reading_start(&r, map, bytes, nr);
	if (mode == NEXT)
		rc = walk_next(&r);
	while (mode == BATCH && rc == HP_FRAME)
		rc = one_batch(&r, first, second);
	if (mode == SCAN)
		rc = walk_scan(&r, first);
	if (mode == FILL)
		rc = walk_fill(&r, first, second);
	printf("R %d\n", rc);
	if (rc < 0 && walk_next(&r) != HP_NONE)
		printf("E not at an end\n");
	for (uint32_t i = 0; i < nr; i++)
		if (hp_ring_ready(&r.ring, i))
			printf("E block %u not given back\n", i);
	free(map);
	reading_free(&r);
	return 0;
}
