// SPDX-License-Identifier: BSD-3-Clause
/* What a program can do to the memory under a ring, and to its mapping. */
#include "fuzz.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static const int advices[] = {
	MADV_DONTNEED, MADV_COLD, MADV_PAGEOUT, MADV_COLLAPSE,
	MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTFORK, MADV_DOFORK, MADV_FREE,
};

void region_new(struct worker *w)
{
	static const int anonymous[] = {
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
		MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB,
		MAP_PRIVATE | MAP_ANONYMOUS,
		MAP_SHARED | MAP_ANONYMOUS,
	};
	uint32_t kind = below(ARRAY(anonymous) + 2);
	int flags = kind < ARRAY(anonymous) ? anonymous[kind] : MAP_SHARED;
	int fd = kind < ARRAY(anonymous) ? -1 : kind == ARRAY(anonymous) ? w->hugetlb : w->shmem;

	w->region = PLACE(0);
	mmap(w->region, REGION, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd, 0);
	if (one_in(2))
		madvise(w->region, REGION, MADV_HUGEPAGE);
}

static void file_cut(int fd, size_t at)
{
	if (one_in(2))
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			  one_in(4) ? 4096 : HUGE_PAGE);
	else if (ftruncate(fd, 0) || ftruncate(fd, REGION))
		return;
}

void op_region(struct worker *w, struct slot *s)
{
	size_t at = below(REGION / HUGE_PAGE) * HUGE_PAGE;

	(void)s;
	switch (below(7)) {
	case 0:
		file_cut(one_in(2) ? w->hugetlb : w->shmem, at);
		break;
	case 1:
		munmap(w->region + at, HUGE_PAGE);
		break;
	case 2:
		mprotect(w->region + at, 4096, PROT_READ);
		break;
	case 3:
	case 4:
	case 5:
		madvise(w->region + at, one_in(4) ? 65536 : HUGE_PAGE,
			advices[below(ARRAY(advices))]);
		break;
	default:
		region_new(w);
	}
}

static int map_flags(void)
{
	static const int flags[] = {
		MAP_SHARED, MAP_SHARED, MAP_SHARED, MAP_SHARED | MAP_POPULATE,
		MAP_SHARED | MAP_LOCKED, MAP_PRIVATE,
	};

	return flags[below(ARRAY(flags))];
}

void op_map(struct worker *w, struct slot *s)
{
	char *at = PLACE(1 + 2 * (s - w->slot));
	size_t len = s->ring_len;
	char *map;

	if (s->map || !len)
		return;
	if (one_in(10))
		len += 4096 * (1 + below(600));
	if (one_in(8))
		at += 4096 * below(512);
	else if (!w->in_company && one_in(2))
		at = NULL;
	map = mmap(at, len, one_in(8) ? PROT_READ : PROT_READ | PROT_WRITE,
		   map_flags(), s->fd, 0);
	if (map == MAP_FAILED)
		return;
	atomic_fetch_add(&shared->mapped, 1);
	s->map_len = len;
	s->map = map;
}

static __thread sigjmp_buf escape;
static __thread volatile int touching;

static void fault(int number)
{
	(void)number;
	if (!touching)
		_exit(4);
	siglongjmp(escape, 1);
}

/* A lost mapping or permission ends the touching, not the worker. */
void op_touch(struct worker *w, struct slot *s)
{
	struct sigaction action = { .sa_handler = fault, .sa_flags = SA_NODEFER };
	char *base = s->map && !one_in(4) ? s->map : w->region;
	size_t len = base == w->region ? REGION : s->map_len, at;
	int i;

	if (len < 64)
		return;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	touching = 1;
	for (i = 0; i < 40; i++) {
		at = below(len / 64) * 64;
		if (sigsetjmp(escape, 0))
			break;
		if (one_in(2))
			*(volatile uint32_t *)(base + at) = below(4);
		else
			(void)*(volatile uint32_t *)(base + at);
	}
	touching = 0;
}

static void map_move(struct worker *w, struct slot *s, char *old, size_t len)
{
	char *to = PLACE(2 + 2 * (s - w->slot)) + (one_in(2) ? 4096 : 0);
	size_t new_len = one_in(2) ? len : len / 2 + 4096;
	char *map;

	if (one_in(2))
		map = mremap(old, len, new_len, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	else
		map = mremap(old, len, new_len, 0);
	if (map == MAP_FAILED)
		return;
	s->map_len = new_len;
	s->map = map;
}

void op_remap(struct worker *w, struct slot *s)
{
	char *map = s->map;
	size_t pages = s->map_len / 4096, at, len;

	if (!map || !pages)
		return;
	at = below(pages) * 4096UL;
	len = (1 + below(pages - at / 4096)) * 4096UL;
	switch (below(7)) {
	case 0:
		munmap(map + at, len);
		break;
	case 1:
		mprotect(map + at, len, PROT_READ);
		break;
	case 2:
	case 3:
		madvise(map + at, len, advices[below(ARRAY(advices))]);
		break;
	case 4:
	case 5:
		map_move(w, s, map, pages * 4096);
		break;
	default:
		s->map = NULL;
		munmap(map, pages * 4096);
	}
}
