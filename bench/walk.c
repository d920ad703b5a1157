/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walk alone: many rings of TPACKET_V3 blocks in memory, of pages of one size, read by the project's own walk.
 *
 *	walk PAGE_BYTES RINGS RING_BYTES PACKET_MIN PACKET_MAX PASSES
 *
 * A packet of each ring in turn. Prints "ready ADDRESS", so that smaps can be asked for the pages, and after a line
 * on stdin JSON: packets of a pass, a checksum, CPU seconds of each pass. Exit 3: no pages of that size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "hp_block.h"

enum { BLOCK_BYTES = 256 << 10, HUGE_BYTES = 2 << 20, MAC = 82, EXIT_NO_PAGES = 3 };

struct ring {
	uint8_t *blocks;
	size_t block;		/* walked now */
	struct hp_cursor cur;
};

static uint32_t frame_bytes(uint32_t packet)
{
	return (MAC + packet + 7) & ~7u;
}

static uint8_t *memory(size_t bytes, size_t page)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uint8_t *map;

	if (page > HUGE_BYTES)
		flags |= MAP_HUGETLB | 30 << MAP_HUGE_SHIFT;
	map = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (map == MAP_FAILED)
		exit(EXIT_NO_PAGES);
	if (page > HUGE_BYTES)
		return map;
	map = (uint8_t *)(((uintptr_t)map + HUGE_BYTES - 1) & ~((uintptr_t)HUGE_BYTES - 1));
	madvise(map, bytes, page == HUGE_BYTES ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return map;
}

/* xorshift64* (Vigna): a size between both, each as likely. */
static uint32_t draw(uint64_t *state, uint32_t least, uint32_t most)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return least + (uint32_t)((*state * 0x2545f4914f6cdd1du >> 32) % (most - least + 1));
}

/* Each packet begins with its number, counted from 1 over all rings; `seed` decides their sizes. */
static uint64_t fill(uint8_t *block, uint32_t least, uint32_t most, uint64_t seed, uint64_t number)
{
	struct tpacket_block_desc *desc = (struct tpacket_block_desc *)block;
	uint32_t at = sizeof(*desc), packet = draw(&seed, least, most), nr = 0;
	struct tpacket3_hdr *hdr = NULL;

	desc->hdr.bh1.offset_to_first_pkt = at;
	for (; at + frame_bytes(packet) <= BLOCK_BYTES; nr++, number++) {
		hdr = (struct tpacket3_hdr *)(block + at);
		hdr->tp_next_offset = frame_bytes(packet);
		hdr->tp_mac = MAC;
		hdr->tp_snaplen = hdr->tp_len = packet;
		memset((uint8_t *)hdr + MAC, (int)nr, packet);
		memcpy((uint8_t *)hdr + MAC, &number, sizeof(number));
		at += frame_bytes(packet);
		packet = draw(&seed, least, most);
	}
	hdr->tp_next_offset = 0;
	desc->hdr.bh1.num_pkts = nr;
	return number;
}

/* Sums the numbers of all packets; the rings are walked in step. */
static uint64_t pass(struct ring *rings, size_t nr, size_t blocks, uint64_t *packets)
{
	struct hp_frame frame;
	uint64_t sum = 0, number;

	for (size_t block = 0; block < blocks; block++) {
		for (size_t i = 0; i < nr; i++)
			if (hp_cursor_open(&rings[i].cur, rings[i].blocks + block * BLOCK_BYTES, BLOCK_BYTES))
				abort();
		while (rings[0].cur.left > 0) {
			for (size_t i = 0; i < nr; i++) {
				if (hp_cursor_next(&rings[i].cur, &frame, HP_TOUCH_HEADS))
					abort();
				memcpy(&number, frame.data, sizeof(number));
				sum += number;
				++*packets;
			}
		}
	}
	return sum;
}

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	size_t page = argc == 7 ? strtoull(argv[1], NULL, 10) : 0, nr = page ? strtoull(argv[2], NULL, 10) : 0;
	size_t bytes = page ? strtoull(argv[3], NULL, 10) : 0, blocks = bytes / BLOCK_BYTES;
	uint32_t least = page ? (uint32_t)atoi(argv[4]) : 0, most = page ? (uint32_t)atoi(argv[5]) : 0;
	struct ring *rings = calloc(nr, sizeof(*rings));
	uint64_t number = 1, packets = 0, sum;
	uint8_t *map;

	if (!nr || !blocks || !rings || least < sizeof(number) || most < least)
		return 2;
	map = memory(nr * bytes, page);
	for (size_t i = 0; i < nr; i++) {
		rings[i].blocks = map + i * bytes;
		for (size_t block = 0; block < blocks; block++)
			number = fill(rings[i].blocks + block * BLOCK_BYTES, least, most, block + 1, number);
	}
	printf("ready %lx\n", (unsigned long)map);
	fflush(stdout);
	while (getchar() != '\n')
		;
	sum = pass(rings, nr, blocks, &packets);
	printf("{\"packets\": %lu, \"checksum\": %lu, \"seconds\": [", (unsigned long)packets, (unsigned long)sum);
	for (int left = atoi(argv[6]); left > 0; left--) {
		double started = cpu_seconds();

		if (pass(rings, nr, blocks, &packets) != sum)
			abort();
		printf("%.9f%s", cpu_seconds() - started, left > 1 ? ", " : "]}\n");
	}
	return 0;
}
