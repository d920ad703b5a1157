/* SPDX-License-Identifier: BSD-3-Clause */
#include "work.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static volatile sig_atomic_t told;

static void tell(int number)
{
	(void)number;
	told = 1;
}

void work_until_told(void)
{
	struct sigaction action = { .sa_handler = tell };

	sigaction(SIGINT, &action, NULL);
}

int work_told_to_stop(void)
{
	return told;
}

/* Every byte goes in, eight at a time: the hash is not to be what limits the program. */
uint64_t work_hash(const uint8_t *data, uint32_t bytes)
{
	uint64_t hash = 0x9e3779b97f4a7c15u ^ bytes, word;

	for (; bytes >= sizeof(word); bytes -= sizeof(word), data += sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccdu;
		hash ^= hash >> 32;
	}
	for (; bytes; bytes--)
		hash = (hash ^ *data++) * 0xff51afd7ed558ccdu;
	return hash ^ hash >> 29;
}

/* Each product waits for the one before: three cycles on any x86 of today, however many multipliers it has. */
static void delay(unsigned factor)
{
	uint64_t product = 3;

	for (unsigned long left = factor * 250ul; left; left--) {
#ifdef __x86_64__
		__asm__ volatile("imul $3, %0, %0\n\timul $5, %0, %0\n\timul $7, %0, %0\n\timul $9, %0, %0" : "+r"(product));
#else
		for (int i = 0; i < 4; i++) {
			product *= 3;
			__asm__ volatile("" : "+r"(product));
		}
#endif
	}
}

void work_on(struct work *work, const uint8_t *data, uint32_t bytes)
{
	if (work->packets % DELAY_EVERY == 0 && work->packets)
		delay(work->factor);
	work->hash += work_hash(data, bytes);
	work->bytes += bytes;
	work->packets++;
}

void work_on_many(struct work *work, const uint8_t *base, const uint64_t *offsets, const uint32_t *lengths,
		  uint64_t packets)
{
	for (uint64_t i = 0; i < packets; i++)
		work_on(work, base + offsets[i], lengths[i]);
}

static double seconds(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

struct clock clock_now(void)
{
	struct clock now = { 0 };
	struct timespec wall;
	struct rusage usage;

	clock_gettime(CLOCK_MONOTONIC, &wall);
	getrusage(RUSAGE_SELF, &usage);
	now.wall_s = (double)wall.tv_sec + (double)wall.tv_nsec / 1e9;
	now.user_s = seconds(usage.ru_utime);
	now.kernel_s = seconds(usage.ru_stime);
#ifdef __x86_64__
	now.tsc = __builtin_ia32_rdtsc();
#endif
	return now;
}

void work_report(const struct work *work, const struct clock *since, struct counters *counters, uint64_t received,
		 uint64_t dropped, long freezes)
{
	struct clock now = clock_now();

	printf("{\"packets\": %lu, \"bytes\": %lu, \"hash\": %lu, \"received\": %lu, \"dropped\": %lu, \"freezes\": ",
	       (unsigned long)work->packets, (unsigned long)work->bytes, (unsigned long)work->hash,
	       (unsigned long)received, (unsigned long)dropped);
	if (freezes < 0)
		printf("null");
	else
		printf("%ld", freezes);
	printf(", \"wall_s\": %.6f, \"user_s\": %.6f, \"kernel_s\": %.6f, \"tsc\": %lu, \"events\": ", now.wall_s - since->wall_s,
	       now.user_s - since->user_s, now.kernel_s - since->kernel_s, (unsigned long)(now.tsc - since->tsc));
	counters_print(counters);
	puts("}");
	fflush(stdout);
}
