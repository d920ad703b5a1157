/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The counts of a debug build, for all of the package's modules: loaded before them (LD_PRELOAD), it outlives the
 * interpreter and says at the process's very end what was left.
 */
#include <stdio.h>

#include "hp_live.h"

#ifdef HUGEPCAP_DEBUG_BLOCKS
long hp_live_counts[HP_LIVE_NR];

__attribute__((destructor)) static void say_what_is_left(void)
{
	fprintf(stderr, "live:");
	for (int i = 0; i < HP_LIVE_NR; i++)
		fprintf(stderr, " %ld", hp_live_counts[i]);
	fprintf(stderr, "\n");
}
#endif
