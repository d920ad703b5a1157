/* SPDX-License-Identifier: BSD-3-Clause */
/* What the thesis's programs do with each packet, and what is counted while they do it. */
#ifndef THESIS_WORK_H
#define THESIS_WORK_H

#include <stdint.h>

enum { DELAY_EVERY = 100 };	/* packets; the thesis's FREQ_DELAY */

struct work {
	uint64_t packets, bytes;
	uint64_t hash;		/* sum of the packets' hashes: the same in whatever order they come */
	unsigned factor;	/* of 1000 multiplications every DELAY_EVERY packets */
};

uint64_t work_hash(const uint8_t *data, uint32_t bytes);
void work_on(struct work *work, const uint8_t *data, uint32_t bytes);

/* For the module's batches: packet i is offsets[i] bytes behind base. */
void work_on_many(struct work *work, const uint8_t *base, const uint64_t *offsets, const uint32_t *lengths,
		  uint64_t packets);

/* Until SIGINT. */
void work_until_told(void);
int work_told_to_stop(void);

struct clock {
	uint64_t tsc;
	double wall_s, user_s, kernel_s;
};

struct counters;

/* Perf events of this process, user and kernel apart; what the machine has not is reported as missing. */
struct counters *counters_start(void);

/* Prints the result as one line of JSON. freezes below 0: not told. */
struct clock clock_now(void);
void work_report(const struct work *work, const struct clock *since, struct counters *counters, uint64_t received,
		 uint64_t dropped, long freezes);
void counters_print(struct counters *counters);

#endif
