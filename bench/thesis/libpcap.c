/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The thesis's libpcap program: libpcap DEVICE BUFFER_BYTES FACTOR, over preload.so or not; 0 bytes: libpcap's default.
 * Captures until SIGINT, then reads what the ring still has.
 */
#include <pcap/pcap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "work.h"

enum { POLL_MS = 20, TIMEOUT_MS = 10, SNAPLEN = 65535 };

static pcap_t *open_capture(const char *device, int buffer_bytes)
{
	char reason[PCAP_ERRBUF_SIZE];
	pcap_t *handle = pcap_create(device, reason);

	if (!handle || (buffer_bytes && pcap_set_buffer_size(handle, buffer_bytes)) || pcap_set_promisc(handle, 1) ||
	    pcap_set_snaplen(handle, SNAPLEN) || pcap_set_timeout(handle, TIMEOUT_MS) || pcap_activate(handle) < 0 ||
	    pcap_setnonblock(handle, 1, reason)) {
		fprintf(stderr, "libpcap: %s, buffer of %d bytes: %s\n", device, buffer_bytes,
			handle ? pcap_geterr(handle) : reason);
		exit(1);
	}
	return handle;
}

static void capture(pcap_t *handle, struct work *work, struct pcap_stat *stats)
{
	struct pollfd waiting = { .fd = pcap_get_selectable_fd(handle), .events = POLLIN };
	struct pcap_pkthdr header;

	for (;;) {
		const u_char *packet = pcap_next(handle, &header);

		if (packet) {
			work_on(work, packet, header.caplen);
			continue;
		}
		if (work_told_to_stop()) {
			pcap_stats(handle, stats);
			if (work->packets >= stats->ps_recv - stats->ps_drop)
				return;
		}
		poll(&waiting, 1, POLL_MS);
	}
}

int main(int argc, char **argv)
{
	struct work work = { 0 };
	struct pcap_stat stats = { 0 };
	struct counters *counters;
	struct clock start;
	pcap_t *handle;

	if (argc != 4) {
		fprintf(stderr, "libpcap DEVICE BUFFER_BYTES FACTOR\n");
		return 2;
	}
	work.factor = (unsigned)strtoul(argv[3], NULL, 10);
	work_until_told();
	handle = open_capture(argv[1], atoi(argv[2]));
	counters = counters_start();
	start = clock_now();
	puts("{}");
	fflush(stdout);
	capture(handle, &work, &stats);
	work_report(&work, &start, counters, stats.ps_recv, stats.ps_drop, -1);
	pcap_close(handle);
	return 0;
}
