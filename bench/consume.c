/* SPDX-License-Identifier: BSD-3-Clause */
/* consume.py for stock libpcap in C: WAY pcap_dispatch or pcap_next_ex, only counting or, the second time, summing. */
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hp_gen.h"

enum { SNAPLEN = 65535, TIMEOUT_MS = 100, SETTLE_US = 400000, CHECKED_SHARE = 10 };

struct sum {
	uint64_t packets, checksum;
};

static void count(u_char *user, const struct pcap_pkthdr *hdr, const u_char *data)
{
	(void)hdr;
	(void)data;
	((struct sum *)user)->packets++;
}

static void add(u_char *user, const struct pcap_pkthdr *hdr, const u_char *data)
{
	struct sum *sum = (struct sum *)user;

	sum->checksum += ++sum->packets * (uint64_t)(hp_gen_sequence(data, hdr->caplen) + 1);
}

static struct sum by_next_ex(pcap_t *handle, uint64_t wanted, pcap_handler take)
{
	struct sum sum = { 0, 0 };
	struct pcap_pkthdr *hdr;
	const u_char *data;
	int rc = 0;

	while (sum.packets < wanted && rc >= 0) {
		rc = pcap_next_ex(handle, &hdr, &data);
		if (rc == 1)
			take((u_char *)&sum, hdr, data);
	}
	return sum;
}

static struct sum consume(const char *way, pcap_t *handle, uint64_t wanted, pcap_handler callback)
{
	struct sum sum = { 0, 0 };

	if (!strcmp(way, "pcap_next_ex"))
		return by_next_ex(handle, wanted, callback);
	while (sum.packets < wanted && pcap_dispatch(handle, (int)(wanted - sum.packets), callback, (u_char *)&sum) >= 0)
		;
	return sum;
}

static void wait_for_packets(void)
{
	while (getchar() != '\n')
		;
	usleep(SETTLE_US);
}

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	char reason[PCAP_ERRBUF_SIZE] = "four arguments: WAY DEVICE COUNT RING_BYTES";
	pcap_t *handle = argc == 5 ? pcap_create(argv[2], reason) : NULL;
	uint64_t wanted = argc == 5 ? strtoull(argv[3], NULL, 10) : 0;
	struct pcap_stat stats;
	struct sum sum;
	double started, seconds;

	if (!handle || pcap_set_snaplen(handle, SNAPLEN) || pcap_set_timeout(handle, TIMEOUT_MS) ||
	    pcap_set_buffer_size(handle, atoi(argv[4])) || pcap_activate(handle) < 0) {
		fprintf(stderr, "consume: %s\n", handle ? pcap_geterr(handle) : reason);
		return 1;
	}
	puts("ready");
	fflush(stdout);
	wait_for_packets();
	started = cpu_seconds();
	sum = consume(argv[1], handle, wanted, count);
	seconds = cpu_seconds() - started;
	pcap_stats(handle, &stats);
	printf("{\"seconds\": %.9f, \"packets\": %lu, \"received\": %u, \"dropped\": %u}\n", seconds,
	       (unsigned long)sum.packets, stats.ps_recv, stats.ps_drop);
	fflush(stdout);
	wait_for_packets();
	sum = consume(argv[1], handle, wanted / CHECKED_SHARE, add);
	printf("{\"packets\": %lu, \"checksum\": %lu}\n", (unsigned long)sum.packets, (unsigned long)sum.checksum);
	return 0;
}
