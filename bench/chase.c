/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The other program: follows a random cycle through so many bytes, one line of the cache after another, until its
 * input ends. chase BYTES; prints "ready", waits for a line; at the end the steps, CPU and wall-clock seconds.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 64
#define STEPS_A_LOOK 100000

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + now.tv_nsec / 1e9;
}

/* xorshift64* (Vigna) */
static uint64_t rnd(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1du;
}

/* One cycle through all lines: Sattolo's shuffle. */
static void **make_cycle(size_t lines)
{
	char *memory = aligned_alloc(LINE_BYTES, lines * LINE_BYTES);
	size_t *order = malloc(lines * sizeof(*order));
	uint64_t state = 88172645463325252u;

	if (!memory || !order)
		exit(1);
	for (size_t i = 0; i < lines; i++)
		order[i] = i;
	for (size_t i = lines - 1; i > 0; i--) {
		size_t other = rnd(&state) % i, kept = order[i];

		order[i] = order[other];
		order[other] = kept;
	}
	for (size_t i = 0; i < lines; i++)
		*(void **)(memory + i * LINE_BYTES) = memory + order[i] * LINE_BYTES;
	free(order);
	return (void **)memory;
}

int main(int argc, char **argv)
{
	void **at = make_cycle(argc == 2 ? strtoul(argv[1], NULL, 0) / LINE_BYTES : 1 << 20);
	struct pollfd input = { .fd = 0, .events = POLLIN };
	unsigned long long steps = 0;
	double cpu, wall;
	char byte;

	puts("ready");
	fflush(stdout);
	if (read(0, &byte, 1) != 1)
		return 1;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	wall = seconds(CLOCK_MONOTONIC);
	while (poll(&input, 1, 0) == 0) {
		for (int i = 0; i < STEPS_A_LOOK; i++)
			at = *at;
		steps += STEPS_A_LOOK;
	}
	printf("{\"steps\": %llu, \"cpu\": %.9f, \"wall\": %.9f, \"end\": %d}\n", steps,
	       seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, seconds(CLOCK_MONOTONIC) - wall, at != NULL);
	return 0;
}
