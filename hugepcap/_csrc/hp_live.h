/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * In debug builds (-DHUGEPCAP_DEBUG_BLOCKS): how many of each thing are alive, and under ASan, that nobody reads a
 * block which the kernel has. In all others nothing. Every module of the package counts in one place, which is no
 * module's: the program that looks at the counts has it (tests/live/csrc/live.c).
 */
#ifndef HP_LIVE_H
#define HP_LIVE_H

#include <stddef.h>

enum hp_live_kind {
	HP_LIVE_BLOCKS,		/* of rings, with a reader or a batch */
	HP_LIVE_RINGS,		/* mapped */
	HP_LIVE_READERS,
	HP_LIVE_MEMORIES,	/* leases of blocks, arenas */
	HP_LIVE_COLUMNS,	/* of batches: in use, not spare */
	HP_LIVE_CHUNKS,		/* of files */
	HP_LIVE_ARRAYS,		/* Arrow's, with a batch's memory */
	HP_LIVE_NR
};

#ifdef HUGEPCAP_DEBUG_BLOCKS

#include <sanitizer/asan_interface.h>

extern long hp_live_counts[HP_LIVE_NR];

static inline void hp_live(enum hp_live_kind kind, int by)
{
	__atomic_add_fetch(&hp_live_counts[kind], by, __ATOMIC_RELAXED);
}

#define HP_OPEN(at, bytes) ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#define HP_SHUT(at, bytes) ASAN_POISON_MEMORY_REGION(at, bytes)

#else

static inline void hp_live(enum hp_live_kind kind, int by)
{
}

#define HP_OPEN(at, bytes) ((void)0)
#define HP_SHUT(at, bytes) ((void)0)

#endif

#endif
