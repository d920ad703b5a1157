/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thesis's low-level capture program: lowlevel DEVICE POLICY BLOCK_BYTES BLOCK_NR FACTOR
 * Captures until SIGINT, then reads what the ring still has. Exits 3 where the kernel has no such policy.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hp_uapi.h"
#include "work.h"

enum { FRAME_BYTES = 2048, RETIRE_MS = 10, POLL_MS = 20, EXIT_MISSING = 3 };

static const struct {
	const char *name;
	int option;
} policies[] = {
	{ "RX_RING", PACKET_RX_RING }, { "GFPNORETRY", PACKET_GFPNORETRY_RING }, { "VZALLOC", PACKET_VZALLOC_RING },
	{ "GFPRETRY", PACKET_GFPRETRY_RING }, { "TRANSHUGE", PACKET_TRANSHUGE_RING }, { "HUGETLB", PACKET_HUGETLB_RING },
};

static struct ring {
	int fd;
	uint8_t *map;
	size_t block_bytes, block_nr;
	uint64_t received, dropped;
	long freezes;
} ring;

static void fail(const char *what)
{
	fprintf(stderr, "lowlevel: %s, ring of %zu x %zu bytes: %s\n", what, ring.block_nr, ring.block_bytes, strerror(errno));
	exit(1);
}

static int option_of(const char *policy)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(*policies); i++)
		if (!strcmp(policies[i].name, policy))
			return policies[i].option;
	fprintf(stderr, "lowlevel: no policy %s\n", policy);
	exit(2);
}

static int huge_info(struct packet_huge_info *info)
{
	socklen_t length = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return getsockopt(ring.fd, SOL_PACKET, PACKET_HUGE_INFO, info, &length);
}

static void need_policy(const char *policy, int option)
{
	struct packet_huge_info info;

	if (option == PACKET_RX_RING || huge_info(&info) == 0 || errno != ENOPROTOOPT)
		return;
	fprintf(stderr, "lowlevel: PACKET_%s_RING: this kernel has no such option (%s)\n", policy, strerror(errno));
	exit(EXIT_MISSING);
}

static void give_memory(size_t bytes)
{
	struct packet_huge_mem memory = { .len = bytes };

	ring.map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (ring.map == MAP_FAILED)
		fail("mmap of the huge page pool (vm.nr_hugepages)");
	memory.addr = (uintptr_t)ring.map;
	if (setsockopt(ring.fd, SOL_PACKET, PACKET_HUGETLB_ENABLE, &memory, sizeof(memory)))
		fail("PACKET_HUGETLB_ENABLE");
}

static void make_ring(const char *policy)
{
	int version = TPACKET_V3, option = option_of(policy);
	size_t bytes = ring.block_bytes * ring.block_nr;
	struct tpacket_req3 request = {
		.tp_block_size = (unsigned)ring.block_bytes, .tp_block_nr = (unsigned)ring.block_nr,
		.tp_frame_size = FRAME_BYTES, .tp_frame_nr = (unsigned)(bytes / FRAME_BYTES), .tp_retire_blk_tov = RETIRE_MS,
	};

	need_policy(policy, option);
	if (setsockopt(ring.fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)))
		fail("PACKET_VERSION");
	if (option == PACKET_HUGETLB_RING)
		give_memory(bytes);
	if (setsockopt(ring.fd, SOL_PACKET, option, &request, sizeof(request)))
		fail(policy);
	if (option == PACKET_HUGETLB_RING)
		return;
	ring.map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, 0);
	if (ring.map == MAP_FAILED)
		fail("mmap");
}

static void bind_to(const char *device)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)if_nametoindex(device),
	};

	if (!address.sll_ifindex || bind(ring.fd, (struct sockaddr *)&address, sizeof(address)))
		fail(device);
}

/* Reading them clears them. */
static void add_statistics(void)
{
	struct tpacket_stats_v3 stats = { 0 };
	socklen_t length = sizeof(stats);

	if (getsockopt(ring.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length))
		fail("PACKET_STATISTICS");
	ring.received += stats.tp_packets;
	ring.dropped += stats.tp_drops;
	ring.freezes += stats.tp_freeze_q_cnt;
}

static void walk_block(struct tpacket_block_desc *block, struct work *work)
{
	uint8_t *at = (uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;

	for (uint32_t left = block->hdr.bh1.num_pkts; left; left--) {
		struct tpacket3_hdr *header = (struct tpacket3_hdr *)at;

		work_on(work, at + header->tp_mac, header->tp_snaplen);
		at += header->tp_next_offset;
	}
}

/* The kernel's partners: it stores TP_STATUS_USER when a block is full, and looks for KERNEL before it writes. */
static void capture(struct work *work)
{
	struct pollfd waiting = { .fd = ring.fd, .events = POLLIN };
	size_t next = 0;

	for (;;) {
		struct tpacket_block_desc *block = (void *)(ring.map + next * ring.block_bytes);

		if (__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) {
			walk_block(block, work);
			__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
			next = (next + 1) % ring.block_nr;
			continue;
		}
		if (work_told_to_stop()) {
			add_statistics();
			if (work->packets >= ring.received - ring.dropped)
				return;
		}
		poll(&waiting, 1, POLL_MS);
	}
}

static void say_ready(void)
{
	struct packet_huge_info info;

	printf("{\"address\": %lu, \"ring_bytes\": %zu", (unsigned long)ring.map, ring.block_bytes * ring.block_nr);
	if (huge_info(&info) == 0)
		printf(", \"user_page_bytes\": %lu, \"kernel_page_bytes\": %lu", (unsigned long)info.user_page_bytes,
		       (unsigned long)info.kernel_page_bytes);
	puts("}");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct work work = { 0 };
	struct counters *counters;
	struct clock start;

	if (argc != 6) {
		fprintf(stderr, "lowlevel DEVICE POLICY BLOCK_BYTES BLOCK_NR FACTOR\n");
		return 2;
	}
	ring.block_bytes = strtoul(argv[3], NULL, 10);
	ring.block_nr = strtoul(argv[4], NULL, 10);
	work.factor = (unsigned)strtoul(argv[5], NULL, 10);
	work_until_told();
	ring.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (ring.fd < 0)
		fail("socket");
	make_ring(argv[2]);
	counters = counters_start();
	start = clock_now();
	bind_to(argv[1]);
	say_ready();
	capture(&work);
	work_report(&work, &start, counters, ring.received, ring.dropped, ring.freezes);
	return 0;
}
