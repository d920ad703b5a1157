/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings of many blocks, a seeded number of them: collect SEED COUNT. Each is read packet by packet, and a copy of it
 * as columns, in batches of every size: both must give the same packets, and refuse at the same place.
 * Prints rings, packets, refusals, packets with a tag, batches that end inside a block.
 */
#include <stdio.h>
#include <stdlib.h>

#include "hp_collect.h"
#include "seeded.h"

#define CHECK(condition) do { if (!(condition)) die(#condition, __LINE__); } while (0)

enum { BLOCK_BYTES = 4096, BLOCKS_MAX = 9, FRAMES_MAX = 32, MAC = 82, ROWS_MAX = BLOCKS_MAX * FRAMES_MAX };

/* What a reader saw at a place: a packet, or a refusal. */
struct row {
	int64_t ts_ns;
	uint64_t offset;
	uint32_t caplen, len, rxhash, status;
	uint16_t tci, tpid;
	uint8_t direction;
	int rc;
};

static uint32_t run;
static struct { unsigned long rings, packets, refused, tagged, inside; } counts;

static void die(const char *what, int line)
{
	fprintf(stderr, "%d: not so: %s; ring %u\n", line, what, run);
	abort();
}

/* Fills a block; each frame is tagged with a chance of `tags` in a hundred. */
static void fill_block(uint8_t *block, uint32_t packets, uint32_t tags)
{
	struct tpacket_block_desc *desc = (struct tpacket_block_desc *)block;
	struct tpacket3_hdr *hdr = NULL;
	uint32_t at = sizeof(*desc), nr = 0;

	memset(block, 0, BLOCK_BYTES);
	desc->hdr.bh1.offset_to_first_pkt = at;
	for (; nr < packets; nr++) {
		uint32_t caplen = below(below(2) ? 80 : 900), room = (MAC + caplen + 7) & ~7u;

		if (at + room > BLOCK_BYTES)
			break;
		hdr = (struct tpacket3_hdr *)(block + at);
		*hdr = (struct tpacket3_hdr){ .tp_next_offset = room, .tp_mac = MAC, .tp_snaplen = caplen, .tp_sec = run,
					      .tp_nsec = nr, .tp_len = caplen + below(9), .tp_status = TP_STATUS_USER };
		hdr->hv1.tp_rxhash = below(1 << 30);
		hdr->hv1.tp_vlan_tci = (uint16_t)below(1 << 16);	/* without a tag it says nothing */
		if (below(100) < tags)
			hdr->tp_status |= TP_STATUS_VLAN_VALID;
		((struct sockaddr_ll *)((uint8_t *)hdr + HP_SLL_OFFSET))->sll_pkttype = (unsigned char)below(5);
		at += room;
	}
	if (hdr)
		hdr->tp_next_offset = 0;
	desc->hdr.bh1.num_pkts = nr;
}

/* Writes anything over what the kernel might have written at any frame or at the block's head. */
static void lie(uint8_t *block)
{
	const struct tpacket_block_desc *desc = (const struct tpacket_block_desc *)block;
	uint32_t at = sizeof(*desc), value = below(3) ? below(2 * BLOCK_BYTES) : 0u - below(4);

	if (below(4) == 0) {
		memcpy(block + (below(2) ? offsetof(struct tpacket_block_desc, hdr.bh1.num_pkts) :
				offsetof(struct tpacket_block_desc, hdr.bh1.offset_to_first_pkt)), &value, 4);
		return;
	}
	for (uint32_t skip = below(desc->hdr.bh1.num_pkts + 1); skip > 1; skip--)
		at += ((const struct tpacket3_hdr *)(block + at))->tp_next_offset;
	switch (below(3)) {
	case 0:
		memcpy(block + at + offsetof(struct tpacket3_hdr, tp_next_offset), &value, 4);
		break;
	case 1:
		memcpy(block + at + offsetof(struct tpacket3_hdr, tp_snaplen), &value, 4);
		break;
	default:
		memcpy(block + at + offsetof(struct tpacket3_hdr, tp_mac), &value, 2);
	}
}

static void make_ring(uint8_t *map, uint32_t blocks)
{
	static const uint32_t TAGS[] = { 0, 0, 3, 100 };
	uint32_t tags = TAGS[below(4)], lies = below(3) == 0;

	for (uint32_t i = 0; i < blocks; i++) {
		fill_block(map + i * BLOCK_BYTES, below(FRAMES_MAX), tags);
		if (lies && below(3) == 0)
			lie(map + i * BLOCK_BYTES);
	}
	/* the kernel has those after these; one without packets may be among them */
	for (uint32_t i = 0, there = below(blocks + 1); i < blocks; i++)
		((struct tpacket_block_desc *)(map + i * BLOCK_BYTES))->hdr.bh1.block_status =
			i < there ? TP_STATUS_USER : TP_STATUS_KERNEL;
}

static void start(struct hp_source *src, struct hp_ring *ring, uint8_t *map, uint32_t blocks, int direction)
{
	*ring = (struct hp_ring){ .geo = { .block_bytes = BLOCK_BYTES, .block_nr = blocks }, .map = map,
				  .pins = calloc(blocks, sizeof(uint32_t)) };
	*src = (struct hp_source){ .ring = ring, .link = HP_LINK_ETHER, .snaplen = 1 << 18, .direction = direction };
	hp_source_settle(src);
}

static uint32_t read_rows(struct hp_source *src, struct row *rows)
{
	struct hp_frame frame;
	uint32_t nr = 0;
	int rc;

	while ((rc = hp_source_next(src, &src->cur, &frame, HP_TOUCH_ALL)) != HP_NONE) {
		struct row *row = &rows[nr++];

		*row = (struct row){ .rc = rc };
		if (rc != HP_FRAME)
			continue;
		row->ts_ns = frame.sec * 1000000000 + frame.nsec;
		row->offset = (uint64_t)(frame.data - src->ring->map);
		row->caplen = frame.caplen;
		row->len = frame.len;
		row->status = frame.status;
		row->rxhash = frame.hdr->hv1.tp_rxhash;
		row->tci = hp_frame_tagged(&frame) ? (uint16_t)frame.hdr->hv1.tp_vlan_tci : 0;
		row->tpid = hp_frame_tagged(&frame) ? ETH_P_8021Q : 0;
		row->direction = hp_frame_sll(&frame)->sll_pkttype == PACKET_OUTGOING ? HP_DIR_OUT : HP_DIR_IN;
		counts.tagged += row->tci != 0;
	}
	return nr;
}

static void check_row(const struct row *row, const struct hp_columns *columns, uint32_t i)
{
	CHECK(row->rc == HP_FRAME);
	CHECK(row->ts_ns == columns->ts_ns[i] && row->offset == columns->offset[i]);
	CHECK(row->caplen == columns->caplen[i] && row->len == columns->len[i]);
	CHECK(row->rxhash == columns->rxhash[i] && row->status == columns->status[i]);
	CHECK(row->tci == columns->vlan_tci[i] && row->tpid == columns->vlan_tpid[i]);
	CHECK(row->direction == columns->direction[i]);
}

/* One batch, over columns that other packets were in before. Returns how many of the rows it was. */
static uint32_t check_batch(struct hp_source *src, const struct row *rows, uint32_t left)
{
	uint32_t capacity = 1 + below(below(2) ? 5 : 200), blocks[BLOCKS_MAX], nr;
	struct hp_pins pins = { .blocks = blocks, .capacity = 1 + below(BLOCKS_MAX) };
	size_t bytes = hp_columns_bytes(capacity);
	void *memory = malloc(bytes);
	struct hp_columns columns;
	int rc;

	memset(memory, 0xa5, bytes);
	hp_columns_lay(&columns, memory, capacity);
	columns.base = src->ring->map;
	rc = hp_collect(&columns, src, &pins);
	nr = columns.nr;
	CHECK(nr <= left && nr <= capacity && pins.nr <= pins.capacity);
	for (uint32_t i = 0; i < nr; i++)
		check_row(&rows[i], &columns, i);
	for (uint32_t i = 0; i < pins.nr; i++)
		hp_ring_unpin(src->ring, pins.blocks[i]);
	counts.inside += src->cur.left != 0;
	free(memory);
	if (rc < 0) {
		CHECK(nr < left && rows[nr].rc == rc);
		return nr + 1;
	}
	CHECK(rc == HP_FRAME ? nr == capacity || pins.nr == pins.capacity : nr == left);
	return nr;
}

/* Afterwards nobody holds a block, and every one that was there is the kernel's. */
static void check_end(struct hp_source *src)
{
	hp_source_release(src);
	CHECK(hp_ring_pending(src->ring) == 0 && src->ring->taken == src->ring->released);
	for (uint32_t i = 0; i < src->ring->geo.block_nr; i++) {
		CHECK(src->ring->pins[i] == 0);
		CHECK(hp_ring_desc(src->ring, i)->hdr.bh1.block_status == TP_STATUS_KERNEL);
	}
	free(src->ring->pins);
}

static void one_ring(void)
{
	static struct row rows[ROWS_MAX + BLOCKS_MAX];
	uint32_t blocks = 2 + below(BLOCKS_MAX - 1), nr, done = 0;
	size_t bytes = (size_t)blocks * BLOCK_BYTES;
	uint8_t *map = malloc(bytes), *copy = malloc(bytes);
	int direction = below(8) ? 0 : HP_DIR_IN;
	struct hp_source src;
	struct hp_ring ring;

	make_ring(map, blocks);
	memcpy(copy, map, bytes);
	start(&src, &ring, map, blocks, direction);
	nr = read_rows(&src, rows);
	check_end(&src);
	start(&src, &ring, copy, blocks, direction);
	while (done < nr)
		done += check_batch(&src, rows + done, nr - done);
	CHECK(check_batch(&src, rows, 0) == 0);
	check_end(&src);
	CHECK(memcmp(map, copy, bytes) == 0);	/* tags were put back once */
	for (uint32_t i = 0; i < nr; i++)
		*(rows[i].rc == HP_FRAME ? &counts.packets : &counts.refused) += 1;
	free(map);
	free(copy);
}

int main(int argc, char **argv)
{
	uint32_t rings = argc == 3 ? (uint32_t)strtoul(argv[2], NULL, 0) : 0;

	if (!rings)
		return 2;
	seed = strtoull(argv[1], NULL, 0);
	for (run = 0; run < rings; run++)
		one_ring();
	printf("%u %lu %lu %lu %lu\n", rings, counts.packets, counts.refused, counts.tagged, counts.inside);
	return 0;
}
