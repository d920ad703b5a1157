/* SPDX-License-Identifier: BSD-3-Clause */
/* perf_event_open(2): each event twice, for this process in user space and in the kernel. */
#include "work.h"

#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE(cache, op, result) \
	(PERF_COUNT_HW_CACHE_##cache | PERF_COUNT_HW_CACHE_OP_##op << 8 | PERF_COUNT_HW_CACHE_RESULT_##result << 16)

static const struct {
	const char *name;
	uint32_t type;
	uint64_t config;
} events[] = {
	{ "page_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS },
	{ "dtlb_loads", PERF_TYPE_HW_CACHE, CACHE(DTLB, READ, ACCESS) },
	{ "dtlb_load_misses", PERF_TYPE_HW_CACHE, CACHE(DTLB, READ, MISS) },
	{ "dtlb_stores", PERF_TYPE_HW_CACHE, CACHE(DTLB, WRITE, ACCESS) },
	{ "dtlb_store_misses", PERF_TYPE_HW_CACHE, CACHE(DTLB, WRITE, MISS) },
	{ "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
	{ "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
	{ "cache_references", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_REFERENCES },
	{ "cache_misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES },
};

enum { EVENT_NR = sizeof(events) / sizeof(*events), USER = 0, KERNEL = 1 };

struct counters {
	int fd[EVENT_NR][2];
};

static int open_event(int event, int side)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr), .type = events[event].type, .config = events[event].config,
		.exclude_user = side == KERNEL, .exclude_kernel = side == USER, .exclude_hv = 1,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
	};

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

struct counters *counters_start(void)
{
	static struct counters counters;

	for (int event = 0; event < EVENT_NR; event++)
		for (int side = USER; side <= KERNEL; side++)
			counters.fd[event][side] = open_event(event, side);
	return &counters;
}

/* Where events share a counter each is measured part of the time: scaled up. */
static void print_side(int fd)
{
	struct { uint64_t value, enabled, running; } got;

	if (fd < 0 || read(fd, &got, sizeof(got)) != sizeof(got) || !got.running)
		printf("null");
	else
		printf("%.0f", (double)got.value * (double)got.enabled / (double)got.running);
}

void counters_print(struct counters *counters)
{
	for (int event = 0; event < EVENT_NR; event++) {
		printf("%s\"%s\": {\"user\": ", event ? ", " : "{", events[event].name);
		print_side(counters->fd[event][USER]);
		printf(", \"kernel\": ");
		print_side(counters->fd[event][KERNEL]);
		printf("}");
	}
	printf("}");
}
