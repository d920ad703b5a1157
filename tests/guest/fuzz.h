// SPDX-License-Identifier: BSD-3-Clause
/* What the parts of the fuzzer share: see fuzz.c. */
#ifndef FUZZ_H
#define FUZZ_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#define HUGE_PAGE	(2UL << 20)
#define REGION		(4 * HUGE_PAGE)
#define SOCKETS		2
#define CHILDREN	3
#define ARRAY(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * Mappings have places of their own: a thread that cuts one which another has
 * just given back hits nothing else.
 */
#define PLACE(n)	((char *)0x200000000000UL + ((unsigned long)(n) << 30))

struct slot {
	volatile int fd;
	volatile int version;		/* TPACKET_V1 and so on */
	volatile int given;		/* 1: memory for RX, 2: for TX */
	volatile size_t ring_len;	/* of the last request that was accepted */
	char *volatile map;
	volatile size_t map_len;
};

struct worker {
	struct slot slot[SOCKETS];
	char *region;		/* huge pages, base pages, or nothing */
	int hugetlb, shmem;	/* files */
	int sender;		/* opening and closing one costs a grace period */
	int huge_rings;		/* the sysctl */
	int ifindex;
	pid_t children[CHILDREN];
	int in_company;		/* a second thread runs */
};

struct shared {
	atomic_uint finished, accepted, refused, mapped, given, sent;
	atomic_uint threads, children, cut, died;
};

extern struct shared *shared;

typedef void operation(struct worker *, struct slot *);

void seed_random(uint64_t seed);
uint32_t rnd(void);
uint32_t below(uint32_t n);
int one_in(uint32_t n);

void region_new(struct worker *w);
operation op_region, op_map, op_touch, op_remap;

operation op_open, op_close, op_version, op_enable, op_ring, op_drop, op_bind;
operation op_traffic, op_send, op_info, op_dup, op_sysctl, op_use;

#endif
