/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stock libpcap in C as measured process, by consume.py's, live.py's and openring.py's rules:
 *
 *	consume drain WAY DEVICE RING_BYTES COUNT CHECKED	WAY pcap_dispatch or pcap_next_ex
 *	consume hash|read WAY DEVICE RING_BYTES
 *	consume open open DEVICE RING_BYTES TIMES CHECKED
 */
#include <poll.h>
#include <string.h>

#include "seen.h"

enum { SNAPLEN = 65535, TIMEOUT_MS = 100, LOOK_MS = 100, PATIENCE_LOOKS = 100, AT_ONCE = 1024 };

static pcap_t *open_capture(const char *device, int ring_bytes)
{
	char reason[PCAP_ERRBUF_SIZE];
	pcap_t *handle = pcap_create(device, reason);

	if (!handle || pcap_set_snaplen(handle, SNAPLEN) || pcap_set_timeout(handle, TIMEOUT_MS) ||
	    pcap_set_buffer_size(handle, ring_bytes) || pcap_activate(handle) < 0) {
		fprintf(stderr, "consume: %s, ring of %d bytes: %s\n", device, ring_bytes, handle ? pcap_geterr(handle) : reason);
		exit(1);
	}
	return handle;
}

static void ready(void)
{
	puts("{\"policy\": \"stock\"}");
	fflush(stdout);
}

static long read_line(void)
{
	char line[32] = "";

	return fgets(line, sizeof(line), stdin) ? atol(line) : 0;
}

/* A seen's packets, and the rest of what it saw, in braces, beside what was counted. */
static void say(const struct seen *seen, double cpu, pcap_t *handle)
{
	struct pcap_stat stats = { 0 };

	pcap_stats(handle, &stats);
	printf("{\"cpu\": %.9f, \"seconds\": %.9f, \"received\": %u, \"dropped\": %u, ", cpu, cpu, stats.ps_recv, stats.ps_drop);
	seen_print(seen);
	puts("}");
	fflush(stdout);
}

/* Blocks until so many have been read. */
static void read_count(const char *way, pcap_t *handle, uint64_t count, pcap_handler take, struct seen *seen)
{
	uint64_t end = seen->packets + count;
	struct pcap_pkthdr *hdr;
	const u_char *data;
	int rc = 0;

	if (strcmp(way, "pcap_next_ex")) {
		while (seen->packets < end && pcap_dispatch(handle, (int)(end - seen->packets), take, (u_char *)seen) >= 0)
			;
		return;
	}
	while (seen->packets < end && rc >= 0) {
		rc = pcap_next_ex(handle, &hdr, &data);
		if (rc == 1)
			take((u_char *)seen, hdr, data);
	}
}

static void drain(const char *way, pcap_t *handle, uint64_t count, uint64_t checked)
{
	struct seen timed = seen_from(0), seen = seen_from((int64_t)count);
	double started;

	ready();
	read_line();
	started = cpu_seconds();
	read_count(way, handle, count, seen_count, &timed);
	say(&timed, cpu_seconds() - started, handle);
	read_line();
	read_count(way, handle, checked, seen_see, &seen);
	say(&seen, 0, handle);
}

static uint64_t dropped(pcap_t *handle)
{
	struct pcap_stat stats = { 0 };

	pcap_stats(handle, &stats);
	return stats.ps_drop;
}

/* live.py's poll(): until all that was sent has been read or dropped. Returns how many were sent. */
static long poll_all(pcap_t *handle, pcap_handler take, struct seen *seen)
{
	struct pollfd waiting = { .fd = pcap_get_selectable_fd(handle), .events = POLLIN }, input = { .events = POLLIN };
	uint64_t before = dropped(handle);
	long sent = -1;

	for (int looks = 0; looks < PATIENCE_LOOKS; looks++) {
		if (pcap_dispatch(handle, AT_ONCE, take, (u_char *)seen) > 0 || sent < 0)
			looks = 0;
		if (sent < 0 && poll(&input, 1, 0) == 1)
			sent = read_line();
		if (sent >= 0 && seen->packets + dropped(handle) - before >= (uint64_t)sent)
			break;
		poll(&waiting, 1, LOOK_MS);
	}
	return sent;
}

static void live(int hashing, pcap_t *handle)
{
	struct seen seen = seen_from(0);
	char reason[PCAP_ERRBUF_SIZE];
	double started = cpu_seconds();
	long sent;

	pcap_setnonblock(handle, 1, reason);
	ready();
	sent = poll_all(handle, hashing ? seen_see : seen_count, &seen);
	say(&seen, cpu_seconds() - started, handle);
	if (hashing)
		return;
	seen = seen_from(sent);
	poll_all(handle, seen_see, &seen);
	say(&seen, 0, handle);
}

static long page_table_kib(void)
{
	char line[128];
	long kib = -1;
	FILE *file = fopen("/proc/self/status", "r");

	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "VmPTE: %ld", &kib);
	if (file)
		fclose(file);
	return kib;
}

static double wall_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + now.tv_nsec / 1e9;
}

static void open_once(const char *device, int ring_bytes, const char *between)
{
	long before = page_table_kib(), tables;
	double started = wall_seconds(), opened, closing;
	pcap_t *handle = open_capture(device, ring_bytes);

	opened = wall_seconds() - started;
	tables = page_table_kib() - before;
	closing = wall_seconds();
	pcap_close(handle);
	if (between)
		printf("%s{\"seconds\": %.9f, \"tables\": %ld}", between, opened + wall_seconds() - closing, tables << 10);
}

static void open_many(const char *device, int ring_bytes, int times, uint64_t checked)
{
	struct seen seen = seen_from(0);
	pcap_t *handle;

	open_once(device, 2 << 20, NULL);
	printf("{\"taken\": [");
	for (int i = 0; i < times; i++)
		open_once(device, ring_bytes, i ? ", " : "");
	printf("], \"policy\": \"stock\"}\n");
	handle = open_capture(device, ring_bytes);
	fflush(stdout);
	read_line();
	read_count("pcap_dispatch", handle, checked, seen_see, &seen);
	say(&seen, 0, handle);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	int many = !strcmp(mode, "drain") || !strcmp(mode, "open");

	if (argc != (many ? 7 : 5)) {
		fprintf(stderr, "consume drain|open|hash|read WAY DEVICE RING_BYTES [COUNT CHECKED]\n");
		return 2;
	}
	if (!strcmp(mode, "open"))
		open_many(argv[3], atoi(argv[4]), atoi(argv[5]), strtoull(argv[6], NULL, 10));
	else if (many)
		drain(argv[2], open_capture(argv[3], atoi(argv[4])), strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
	else
		live(!strcmp(mode, "hash"), open_capture(argv[3], atoi(argv[4])));
	return 0;
}
