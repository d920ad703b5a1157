// SPDX-License-Identifier: BSD-3-Clause
/*
 * fuzz WORKERS SEQUENCES SEED [INTERFACE]: random sequences of the ring
 * options, mappings, traffic, forks and kills, by several processes at once.
 * It asserts nothing itself: the kernel's log, its leak detector and the
 * memory counters afterwards are the verdict.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../hugepcap/_csrc/hp_uapi.h"

#define HUGE_PAGE	(2UL << 20)
#define REGION		(4 * HUGE_PAGE)
#define SOCKETS		2
#define ARRAY(a)	(sizeof(a) / sizeof((a)[0]))

struct slot {
	int fd;
	int version;		/* TPACKET_V1 and so on */
	size_t ring_len;	/* of the last request that was accepted */
	char *map;
	size_t map_len;
};

struct worker {
	uint64_t random;
	struct slot slot[SOCKETS];
	char *region;		/* huge pages, base pages, or nothing */
	int memfd;
	int ifindex;
};

static struct shared {
	atomic_uint done, accepted, refused, mapped, given, sent;
} *shared;

static uint32_t rnd(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random >> 16;
}

static uint32_t below(struct worker *w, uint32_t n)
{
	return rnd(w) % n;
}

static int one_in(struct worker *w, uint32_t n)
{
	return below(w, n) == 0;
}

static void op_open(struct worker *w, struct slot *s)
{
	int version = below(w, 3);

	if (s->fd >= 0)
		return;
	s->fd = socket(AF_PACKET, one_in(w, 4) ? SOCK_DGRAM : SOCK_RAW, 0);
	s->ring_len = 0;
	s->version = version;
	setsockopt(s->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version));
}

static void op_close(struct worker *w, struct slot *s)
{
	close(s->fd);
	s->fd = -1;
	if (s->map && one_in(w, 2)) {
		munmap(s->map, s->map_len);
		s->map = NULL;
	}
}

static void op_version(struct worker *w, struct slot *s)
{
	int version = below(w, 4);

	if (!setsockopt(s->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)))
		s->version = version;
}

static void region_new(struct worker *w)
{
	static const int kinds[] = {
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
		MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB,
		MAP_PRIVATE | MAP_ANONYMOUS,
		MAP_SHARED | MAP_ANONYMOUS,
	};
	int kind = below(w, ARRAY(kinds) + 1);
	char *at;

	if (w->region)
		munmap(w->region, REGION);
	at = mmap(NULL, REGION + HUGE_PAGE, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	w->region = (char *)(((uintptr_t)at + HUGE_PAGE - 1) & -HUGE_PAGE);
	if (w->region != at)
		munmap(at, w->region - at);
	munmap(w->region + REGION, at + HUGE_PAGE - w->region);
	if (kind == ARRAY(kinds))
		mmap(w->region, REGION, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED, w->memfd, 0);
	else
		mmap(w->region, REGION, PROT_READ | PROT_WRITE,
		     MAP_FIXED | kinds[kind], -1, 0);
	if (one_in(w, 2))
		madvise(w->region, REGION, MADV_HUGEPAGE);
}

static void op_region(struct worker *w, struct slot *s)
{
	size_t at = below(w, REGION / HUGE_PAGE) * HUGE_PAGE;

	(void)s;
	switch (below(w, 6)) {
	case 0:
		fallocate(w->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  at, HUGE_PAGE);
		break;
	case 1:
		if (ftruncate(w->memfd, 0) || ftruncate(w->memfd, REGION))
			return;
		break;
	case 2:
		madvise(w->region + at, HUGE_PAGE, MADV_DONTNEED);
		break;
	case 3:
		munmap(w->region + at, HUGE_PAGE);
		break;
	case 4:
		mprotect(w->region + at, 4096, PROT_READ);
		break;
	default:
		region_new(w);
	}
}

static void op_enable(struct worker *w, struct slot *s)
{
	struct packet_huge_mem mem = {
		.addr = (uintptr_t)w->region,
		.len = HUGE_PAGE << below(w, 3),
		.flags = one_in(w, 3) ? PACKET_HUGE_TX : 0,
	};
	socklen_t len = sizeof(mem);

	switch (below(w, 12)) {
	case 0: mem.addr += 4096; break;
	case 1: mem.len += below(w, 8192); break;
	case 2: mem.addr = -HUGE_PAGE; break;
	case 3: mem.len = (uint64_t)rnd(w) << 21; break;
	case 4: mem.flags = rnd(w); break;
	case 5: mem.reserved = rnd(w); break;
	case 6: len = below(w, 40); break;
	case 7: mem.addr = mem.len = 0; break;
	case 8: if (s->map) mem.addr = (uintptr_t)s->map & -HUGE_PAGE; break;
	case 9: mem.addr += HUGE_PAGE; break;
	}
	if (!setsockopt(s->fd, SOL_PACKET, PACKET_HUGETLB_ENABLE, &mem, len))
		atomic_fetch_add(&shared->given, 1);
}

static int ring_option(struct worker *w)
{
	static const int options[] = {
		PACKET_RX_RING, PACKET_TX_RING,
		PACKET_HUGETLB_RING, PACKET_HUGETLB_RING | PACKET_HUGE_TX,
		PACKET_HUGETLB_RING, PACKET_HUGETLB_RING | PACKET_HUGE_TX,
		PACKET_TRANSHUGE_RING, PACKET_TRANSHUGE_RING | PACKET_HUGE_TX,
		PACKET_TRANSHUGE_RING, PACKET_TRANSHUGE_RING | PACKET_HUGE_TX,
		PACKET_GFPNORETRY_RING, PACKET_VZALLOC_RING | PACKET_HUGE_TX,
		PACKET_GFPRETRY_RING,
	};

	if (one_in(w, 40))
		return 0x4800 + below(w, 256);
	return options[below(w, ARRAY(options))];
}

static void op_ring(struct worker *w, struct slot *s)
{
	static const unsigned int blocks[] = {
		4096, 12288, 65536, 262144, 1 << 20, 2 << 20, 4 << 20,
	};
	int option = ring_option(w);
	struct tpacket_req3 req = { .tp_block_size = blocks[below(w, ARRAY(blocks))] };
	unsigned int room = HUGE_PAGE << below(w, 3);
	socklen_t len = sizeof(req);

	req.tp_frame_size = one_in(w, 2) ? 2048 : 4096;
	req.tp_block_nr = room / req.tp_block_size + one_in(w, 8);
	req.tp_frame_nr = req.tp_block_size / req.tp_frame_size * req.tp_block_nr;
	if (one_in(w, 2) && !(option & PACKET_HUGE_TX) && option != PACKET_TX_RING)
		req.tp_retire_blk_tov = 1 + below(w, 20);
	switch (below(w, 16)) {
	case 0: memset(&req, 0, sizeof(req)); break;
	case 1: ((uint32_t *)&req)[below(w, 7)] = rnd(w); break;
	case 2: len = below(w, 40); break;
	case 3: len = sizeof(struct tpacket_req); break;
	case 4: memset(&req, 0, sizeof(req)); len = sizeof(struct tpacket_req); break;
	}
	if (setsockopt(s->fd, SOL_PACKET, option, &req, len)) {
		atomic_fetch_add(&shared->refused, 1);
		return;
	}
	atomic_fetch_add(&shared->accepted, 1);
	if (req.tp_block_nr)
		s->ring_len = (size_t)req.tp_block_size * req.tp_block_nr;
}

static void op_map(struct worker *w, struct slot *s)
{
	static const int flags[] = {
		MAP_SHARED, MAP_SHARED, MAP_SHARED | MAP_POPULATE,
		MAP_SHARED | MAP_LOCKED, MAP_PRIVATE,
	};
	size_t len = s->ring_len;
	char *map;

	if (s->map || !len)
		return;
	if (one_in(w, 10))
		len += 4096 * (1 + below(w, 600));
	map = mmap(NULL, len, one_in(w, 8) ? PROT_READ : PROT_READ | PROT_WRITE,
		   flags[below(w, ARRAY(flags))], s->fd, 0);
	if (map == MAP_FAILED)
		return;
	atomic_fetch_add(&shared->mapped, 1);
	s->map = map;
	s->map_len = len;
}

/* In a child: a lost mapping or permission must kill it, not the worker. */
static void op_touch(struct worker *w, struct slot *s)
{
	size_t at;
	pid_t child;
	int i;

	if (!s->map)
		return;
	child = fork();
	if (child < 0)
		return;
	if (!child) {
		for (i = 0; i < 200; i++) {
			at = below(w, s->map_len / 64) * 64;
			if (one_in(w, 2))
				*(volatile uint32_t *)(s->map + at) = below(w, 4);
			else
				(void)*(volatile uint32_t *)(s->map + at);
		}
		_exit(0);
	}
	if (one_in(w, 3))
		kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void op_remap(struct worker *w, struct slot *s)
{
	size_t pages = s->map_len / 4096, at, len;
	char *map;

	if (!s->map)
		return;
	at = below(w, pages) * 4096UL;
	len = (1 + below(w, pages - at / 4096)) * 4096UL;
	switch (below(w, 6)) {
	case 0:
		munmap(s->map + at, len);
		break;
	case 1:
		mprotect(s->map + at, len, PROT_READ);
		break;
	case 2:
		madvise(s->map + at, len, one_in(w, 2) ? MADV_DONTNEED : MADV_COLD);
		break;
	case 3:
		map = mremap(s->map, s->map_len, s->map_len / 2 + 4096, MREMAP_MAYMOVE);
		if (map != MAP_FAILED) {
			s->map = map;
			s->map_len = s->map_len / 2 + 4096;
		}
		break;
	default:
		munmap(s->map, s->map_len);
		s->map = NULL;
	}
}

static void op_bind(struct worker *w, struct slot *s)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(one_in(w, 8) ? 0 : ETH_P_ALL),
		.sll_ifindex = w->ifindex,
	};

	(void)!bind(s->fd, (struct sockaddr *)&ll, sizeof(ll));
}

static void op_traffic(struct worker *w, struct slot *s)
{
	char packet[1400] = "\xff\xff\xff\xff\xff\xff\2\2\2\2\2\2\x88\xb5";
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5),
		.sll_ifindex = w->ifindex, .sll_halen = 6,
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), i;

	(void)s;
	for (i = below(w, 30); i > 0; i--)
		sendto(fd, packet, 60 + below(w, 1300), MSG_DONTWAIT,
		       (struct sockaddr *)&ll, sizeof(ll));
	close(fd);
}

/* Frames are asked to be sent through the mapping or the user's region. */
static void op_send(struct worker *w, struct slot *s)
{
	char *ring = s->map && one_in(w, 2) ? s->map : w->region;
	size_t behind = one_in(w, 2) ? 0 : s->map_len - s->ring_len;
	uint32_t len = 60 + below(w, 1300);
	uint32_t frames[][6] = {	/* the fields of each version's header */
		{ TP_STATUS_SEND_REQUEST, 0, len, len, 0, 0 },
		{ TP_STATUS_SEND_REQUEST, len, len, 0, 0, 0 },
		{ 0, 0, 0, len, len, TP_STATUS_SEND_REQUEST },
	};
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5),
		.sll_ifindex = w->ifindex, .sll_halen = 6,
	};
	struct iovec from, to;
	int i;

	for (i = 0; i < 4; i++) {
		from = (struct iovec){ frames[s->version], sizeof(frames[0]) };
		to = (struct iovec){ ring + behind + i * 2048, sizeof(frames[0]) };
		process_vm_writev(getpid(), &from, 1, &to, 1, 0);
	}
	if (sendto(s->fd, NULL, 0, MSG_DONTWAIT, (struct sockaddr *)&ll, sizeof(ll)) > 0)
		atomic_fetch_add(&shared->sent, 1);
}

/* The usual way of a program, with what can go wrong at each step. */
static void op_use(struct worker *w, struct slot *s)
{
	op_bind(w, s);
	op_enable(w, s);
	op_ring(w, s);
	op_map(w, s);
	op_send(w, s);
	op_traffic(w, s);
}

static void op_info(struct worker *w, struct slot *s)
{
	struct packet_huge_info info = {
		.flags = one_in(w, 8) ? rnd(w) : one_in(w, 2) ? PACKET_HUGE_TX : 0,
	};
	socklen_t len = one_in(w, 8) ? below(w, 200) : sizeof(info);
	char statistics[64];

	getsockopt(s->fd, SOL_PACKET, PACKET_HUGE_INFO, &info, &len);
	len = sizeof(statistics);
	getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, statistics, &len);
}

static void op_dup(struct worker *w, struct slot *s)
{
	int fd = dup(s->fd);

	(void)w;
	close(s->fd);
	s->fd = fd;
}

static void op_fork(struct worker *w, struct slot *s)
{
	pid_t child = fork();

	if (child < 0)
		return;
	if (!child) {
		op_ring(w, s);
		op_map(w, s);
		op_traffic(w, s);
		op_send(w, s);
		if (one_in(w, 2))
			raise(SIGKILL);
		_exit(0);
	}
	if (one_in(w, 2))
		op_close(w, s);
	waitpid(child, NULL, 0);
}

static void (*const operations[])(struct worker *, struct slot *) = {
	op_use, op_use, op_enable, op_ring, op_ring, op_map, op_bind, op_traffic,
	op_send, op_touch, op_remap, op_region, op_info, op_version,
	op_dup, op_fork, op_close,
};

static void sequence(struct worker *w)
{
	int steps = 2 + below(w, 14), i;

	if (one_in(w, 8))
		region_new(w);
	while (steps--) {
		struct slot *s = &w->slot[below(w, SOCKETS)];

		op_open(w, s);
		operations[below(w, ARRAY(operations))](w, s);
	}
	for (i = 0; i < SOCKETS; i++) {
		struct slot *s = &w->slot[i];

		if (s->map)
			munmap(s->map, s->map_len);
		close(s->fd);
		*s = (struct slot){ .fd = -1 };
	}
}

static void work(uint64_t seed, unsigned int sequences, const char *interface)
{
	struct worker w = { .random = seed * 0x9e3779b97f4a7c15ULL | 1 };
	struct rlimit none = { 0, 0 };
	int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	for (i = 0; i < SOCKETS; i++)
		w.slot[i].fd = -1;
	w.ifindex = if_nametoindex(interface);
	w.memfd = memfd_create("fuzz", MFD_HUGETLB);
	if (w.memfd < 0 || ftruncate(w.memfd, REGION))
		_exit(3);
	region_new(&w);
	while (atomic_fetch_add(&shared->done, 1) < sequences)
		sequence(&w);
	_exit(0);
}

/* Every now and then a worker is killed wherever it is, and replaced. */
int main(int argc, char **argv)
{
	unsigned int workers = argc > 1 ? atoi(argv[1]) : 4;
	unsigned int sequences = argc > 2 ? atoi(argv[2]) : 1000;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	const char *interface = argc > 4 ? argv[4] : "lo";
	struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	pid_t pids[64];
	unsigned int i, killed = 0;

	if (workers > ARRAY(pids))
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < workers; i++) {
		pids[i] = fork();
		if (!pids[i])
			work(seed++, sequences, interface);
	}
	while (atomic_load(&shared->done) < sequences) {
		int status;

		nanosleep(&pause, NULL);
		i = seed % workers;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
			return 3;
		killed++;
		pids[i] = fork();
		if (!pids[i])
			work(seed, sequences, interface);
		seed++;
	}
	for (i = 0; i < workers; i++)
		waitpid(pids[i], NULL, 0);
	printf("%u sequences, %u rings made, %u refused, %u mapped, "
	       "%u memories given, %u sends, %u kills\n",
	       sequences, shared->accepted, shared->refused, shared->mapped,
	       shared->given, shared->sent, killed);
	return 0;
}
