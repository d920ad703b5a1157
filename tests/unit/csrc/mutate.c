/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mutated blocks, a seeded million of them: mutate SEED COUNT. Each is read to its end in one of the four ways,
 * in an allocation of exactly its size. Prints for each kind of mutation: blocks, refused, packets delivered.
 */
#include "reading.h"

#include <stddef.h>

#define CHECK(condition) do { if (!(condition)) die(#condition, __LINE__); } while (0)

enum kind { LIE, FIELD, WORDS, ONES, TRUNCATE, CHAIN, SWAP, NUDGE, KINDS };
static const char *const KIND[KINDS] = { "lie", "field", "words", "ones", "truncate", "chain", "swap", "nudge" };

struct sample {
	struct reading reading;
	uint8_t *block;
	uint32_t bytes, frame_nr;
	uint32_t frames[64];	/* where their headers are */
};

static struct {
	uint64_t seed;
	uint32_t run;
	enum kind kind;
	uint8_t *block;
	uint32_t bytes;
	uint32_t delivered;	/* bytes of this block's packets: they do not overlap */
} now;

static struct { uint64_t blocks, refused, packets; } counts[KINDS];

static void die(const char *what, int line)
{
	fprintf(stderr, "%d: not so: %s; block %u, mutation %s\n", line, what, now.run, KIND[now.kind]);
	abort();
}

/* xorshift64* (Vigna) */
static uint64_t next_random(void)
{
	now.seed ^= now.seed >> 12;
	now.seed ^= now.seed << 25;
	now.seed ^= now.seed >> 27;
	return now.seed * 0x2545f4914f6cdd1du;
}

static uint32_t below(uint32_t limit)
{
	return (uint32_t)((next_random() >> 32) * limit >> 32);
}

static uint32_t get32(uint32_t at)
{
	uint32_t value;

	memcpy(&value, now.block + at, 4);
	return value;
}

/* Writes that fit: mutations may come after a truncation. */
static void set(uint32_t at, uint32_t value, uint32_t bytes)
{
	if ((uint64_t)at + bytes <= now.bytes)
		memcpy(now.block + at, &value, bytes);
}

/* Every offset and length: of the block, of a frame. */
static const struct field { uint32_t at, bytes; } BLOCK_FIELDS[] = {
	{ offsetof(struct tpacket_block_desc, offset_to_priv), 4 },
	{ offsetof(struct tpacket_block_desc, hdr.bh1.num_pkts), 4 },
	{ offsetof(struct tpacket_block_desc, hdr.bh1.offset_to_first_pkt), 4 },
	{ offsetof(struct tpacket_block_desc, hdr.bh1.blk_len), 4 },
}, FRAME_FIELDS[] = {
	{ offsetof(struct tpacket3_hdr, tp_next_offset), 4 },
	{ offsetof(struct tpacket3_hdr, tp_snaplen), 4 },
	{ offsetof(struct tpacket3_hdr, tp_len), 4 },
	{ offsetof(struct tpacket3_hdr, tp_status), 4 },
	{ offsetof(struct tpacket3_hdr, tp_mac), 2 },
	{ offsetof(struct tpacket3_hdr, tp_net), 2 },
	{ offsetof(struct tpacket3_hdr, hv1.tp_vlan_tci), 4 },
	{ offsetof(struct tpacket3_hdr, hv1.tp_vlan_tpid), 2 },
};
#define NR(array) (sizeof(array) / sizeof((array)[0]))

static struct field some_field(const struct sample *s)
{
	uint32_t which = below(NR(BLOCK_FIELDS) + NR(FRAME_FIELDS) * s->frame_nr);
	struct field field;

	if (which < NR(BLOCK_FIELDS))
		return BLOCK_FIELDS[which];
	which -= NR(BLOCK_FIELDS);
	field = FRAME_FIELDS[which % NR(FRAME_FIELDS)];
	field.at += s->frames[which / NR(FRAME_FIELDS)];
	return field;
}

static uint32_t odd_value(uint32_t old)
{
	switch (below(6)) {
	case 0: return old ^ 1u << below(32);
	case 1: return UINT32_MAX;
	case 2: return 0;
	case 3: return now.bytes - 128 + below(256);
	case 4: return below(now.bytes);
	default: return (uint32_t)next_random();
	}
}

static void mutate_field(const struct sample *s)
{
	struct field field = some_field(s);

	set(field.at, odd_value(get32(field.at)), field.bytes);
}

/* A few bytes more or less: the values at which a check that is off by one shows. */
static void mutate_nudge(const struct sample *s)
{
	struct field field = some_field(s);

	set(field.at, get32(field.at) + below(129) - 64, field.bytes);
}

static void mutate_words(void)
{
	for (uint32_t left = 1 + below(8); left; left--)
		set(4 * below(now.bytes / 4), (uint32_t)next_random(), 4);
}

static void mutate_ones(void)
{
	uint32_t from = below(now.bytes), bytes = 1 + below(now.bytes - from);

	memset(now.block + from, 0xff, bytes);
}

/* Chains that go round, backwards, nowhere, with more packets than there is room for. */
static void mutate_chain(const struct sample *s)
{
	uint32_t at = s->frames[below(s->frame_nr)];
	uint32_t hops[] = { 0, 8, 64, 72, -8u, -at, 48 - at, UINT32_MAX, s->bytes - at, s->bytes - at - 68 };

	set(at, hops[below(NR(hops))], 4);
	set(offsetof(struct tpacket_block_desc, hdr.bh1.num_pkts), below(3) ? 1 + below(now.bytes / 68) : UINT32_MAX, 4);
}

static void mutate_swap(const struct sample *s)
{
	uint8_t *to = now.block + s->frames[below(s->frame_nr)], *from = now.block + s->frames[below(s->frame_nr)];
	uint8_t header[68];

	memcpy(header, from, sizeof(header));
	memcpy(to, header, sizeof(header));
}

/* Each hop here is into the packet itself, beside the grid of 8 bytes, or out of the block. */
static void lie_of_next(const struct sample *s)
{
	uint32_t at = s->frames[below(s->frame_nr - 1)], room = s->bytes - at;
	uint32_t whole = (get32(at + 24) & 0xffff) + get32(at + 12);
	uint32_t hops[] = { 0, 8, 64, 72, (whole - 1) & ~7u, whole | 1, room - 67, (room & ~7u) - 64, room & ~7u,
			    (room & ~7u) + 8, UINT32_MAX & ~7u, -at };

	set(at, hops[below(NR(hops))], 4);
}

/* What would be a frame if it did not begin inside the block's own header. */
static void lie_of_first(const struct sample *s)
{
	uint32_t at = 8 * below(48 / 8);

	set(at, s->frames[1] - at, 4);
	set(at + 12, 0, 4);
	set(at + 24, 82, 2);
	set(offsetof(struct tpacket_block_desc, hdr.bh1.num_pkts), 2, 4);
	set(offsetof(struct tpacket_block_desc, hdr.bh1.offset_to_first_pkt), at, 4);
}

/* A packet so near its headers that there is no room for the pseudo-header that belongs before it. */
static void lie_of_gap(const struct sample *s, uint32_t at)
{
	int dropped = s->reading.src.direction || now.block[at + 48 + 10] == PACKET_OUTGOING;

	if (s->reading.src.link >= HP_LINK_SLL && !dropped)
		set(at + 24, 68 + below(16), 2);
	else
		set(at + 24, below(68), 2);
}

/* Something that cannot be, wherever it is found: each of these must be refused. */
static void mutate_lie(const struct sample *s)
{
	uint32_t at = s->frames[below(s->frame_nr)], room = s->bytes - at, mac = get32(at + 24) & 0xffff;
	uint32_t firsts[] = { 48 + 1 + below(7), s->bytes - 67, s->bytes - 64, s->bytes, UINT32_MAX & ~7u };

	switch (below(8)) {
	case 0:
		set(at + 24, below(2) ? below(68) : room + 1, 2);
		return;
	case 1:
		set(at + 12, room - mac + 1 + below(64), 4);
		return;
	case 2:
		set(at + 12, UINT32_MAX - below(256), 4);
		return;
	case 3:
		set(offsetof(struct tpacket_block_desc, hdr.bh1.offset_to_first_pkt), firsts[below(NR(firsts))], 4);
		return;
	case 4:
		set(offsetof(struct tpacket_block_desc, hdr.bh1.num_pkts), s->bytes / 68 + 1 + below(1000), 4);
		return;
	case 5:
		lie_of_first(s);
		return;
	case 6:
		lie_of_gap(s, at);
		return;
	default:
		lie_of_next(s);
	}
}

static void mutate(const struct sample *s)
{
	switch (now.kind) {
	case LIE: mutate_lie(s); return;
	case FIELD: mutate_field(s); return;
	case WORDS: mutate_words(); return;
	case ONES: mutate_ones(); return;
	case CHAIN: mutate_chain(s); return;
	case SWAP: mutate_swap(s); return;
	case NUDGE: mutate_nudge(s); return;
	default: return;
	}
}

/* A copy to spoil; a truncated one is a block of that size. */
static void take_copy(const struct sample *s)
{
	now.bytes = now.kind == TRUNCATE ? 48 + below(s->bytes - 48) : s->bytes;
	now.block = malloc(now.bytes);
	memcpy(now.block, s->block, now.bytes);
	mutate(s);
	set(offsetof(struct tpacket_block_desc, hdr.bh1.block_status), TP_STATUS_USER, 4);
}

static uint8_t sink[1 << 16];

static void count(uint64_t packets, uint64_t bytes)
{
	counts[now.kind].packets += packets;
	now.delivered += bytes;
	CHECK(now.delivered <= now.bytes);
}

static void check_frame(const struct reading *r, const struct hp_frame *frame)
{
	CHECK(frame->data >= now.block && frame->data <= now.block + now.bytes);
	CHECK(frame->caplen <= (size_t)(now.block + now.bytes - frame->data));
	memcpy(sink, frame->data, frame->caplen);
	if (!r->src.plain && r->src.link >= HP_LINK_SLL)
		CHECK(frame->caplen <= r->src.snaplen);
	count(1, frame->caplen);
}

static int read_next(struct reading *r, uint32_t steps)
{
	struct hp_frame frame;
	int rc;

	for (; (rc = hp_source_next(&r->src, &r->src.cur, &frame, HP_TOUCH_ALL)) == HP_FRAME; steps--) {
		CHECK(steps);
		check_frame(r, &frame);
	}
	return rc;
}

static int read_batch(struct reading *r)
{
	struct hp_record records[32];
	struct hp_batch batch = { .records = records, .capacity = 1 + below(32) };
	struct hp_frame first;
	int rc = hp_source_next(&r->src, &r->src.cur, &first, HP_TOUCH_ALL);

	if (rc != HP_FRAME)
		return rc;
	check_frame(r, &first);
	if (batch.capacity > r->src.cur.left + 1)
		batch.capacity = r->src.cur.left + 1;
	batch.room = hp_batch_room(&r->src, &first, batch.capacity);
	CHECK(batch.room >= first.caplen && batch.room <= 3 * now.bytes);
	batch.bytes = malloc(batch.room);
	hp_batch_add(&batch, &first);
	rc = hp_batch_collect(&batch, &r->src);
	CHECK(batch.nr <= batch.capacity && batch.used <= batch.room);
	count(batch.nr - 1, batch.used - first.caplen);
	free(batch.bytes);
	return rc == 0 ? HP_FRAME : rc;
}

static int read_scan(struct reading *r, uint32_t steps)
{
	struct hp_tally tally = { 0 };
	struct hp_frame frame;
	uint64_t budget;
	int rc, index;

	do {
		CHECK(steps--);
		budget = 1 + below(4);
		rc = hp_scan(&r->src, &r->cls, 1 << HP_BULK, &tally, &budget, &frame, &index);
		if (rc == HP_FRAME)
			check_frame(r, &frame);
	} while (rc == HP_FRAME || rc == HP_BUDGET);
	return rc;
}

static int read_fill(struct reading *r, uint32_t steps)
{
	struct hp_buffer buf = { .bytes = below(2 * now.bytes) };
	struct hp_tally tally = { 0 };
	uint64_t budget = steps;
	int rc;

	buf.at = malloc(buf.bytes);
	rc = hp_fill(&r->src, &r->cls, ~0u, &tally, &budget, &buf);
	CHECK(buf.used <= buf.bytes);
	count(tally.admitted, buf.used - 5 * tally.admitted);
	free(buf.at);
	return rc;
}

static int read_all(struct reading *r, enum mode mode)
{
	uint32_t steps = now.bytes / 68 + 1;
	int rc = HP_FRAME;

	switch (mode) {
	case NEXT:
		return read_next(r, steps);
	case BATCH:
		while (rc == HP_FRAME && steps--)
			rc = read_batch(r);
		return rc;
	case SCAN:
		return read_scan(r, steps);
	default:
		return read_fill(r, steps);
	}
}

static void run(struct sample *s)
{
	struct hp_frame frame;
	int rc;

	now.kind = (enum kind)below(KINDS);
	now.delivered = 0;
	take_copy(s);
	reading_start(&s->reading, now.block, now.bytes, 1);
	rc = read_all(&s->reading, (enum mode)below(MODES));
	CHECK(rc == HP_NONE || rc == -EBADMSG);
	CHECK(rc == -EBADMSG || now.kind != LIE);
	CHECK(hp_source_next(&s->reading.src, &s->reading.src.cur, &frame, HP_TOUCH_ALL) == HP_NONE);
	CHECK(!hp_ring_ready(&s->reading.ring, 0));
	counts[now.kind].blocks++;
	counts[now.kind].refused += rc == -EBADMSG;
	free(now.block);
}

static void sample_get(struct sample *s)
{
	uint32_t at = sizeof(struct tpacket_block_desc), next;

	reading_get(&s->reading);
	s->bytes = get_u32();
	s->block = get_blob(s->bytes);
	now.block = s->block;
	do {
		s->frames[s->frame_nr++] = at;
		next = get32(at);
		at += next;
	} while (next);
}

int main(int argc, char **argv)
{
	uint32_t nr = get_u32(), runs;
	struct sample *samples = calloc(nr, sizeof(*samples));

	if (argc != 3)
		return 2;
	for (uint32_t i = 0; i < nr; i++)
		sample_get(&samples[i]);
	now.seed = strtoull(argv[1], NULL, 0);
	runs = (uint32_t)strtoul(argv[2], NULL, 0);
	for (now.run = 0; now.run < runs; now.run++)
		run(&samples[below(nr)]);
	for (int kind = 0; kind < KINDS; kind++)
		printf("%s %llu %llu %llu\n", KIND[kind], (unsigned long long)counts[kind].blocks,
		       (unsigned long long)counts[kind].refused, (unsigned long long)counts[kind].packets);
	for (uint32_t i = 0; i < nr; i++) {
		free(samples[i].block);
		reading_free(&samples[i].reading);
	}
	free(samples);
	return 0;
}
