/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * files.py for stock libpcap in C: files WAY PATH [OUT], WAY pcap_dispatch, pcap_next_ex or pcap_dump; or "read" for
 * read(2) alone, the limit of all that do not map the file.
 */
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct packet {
	struct pcap_pkthdr hdr;
	u_char *data;
};

static struct packet *packets;
static unsigned long nr, room;

static void count(u_char *user, const struct pcap_pkthdr *hdr, const u_char *data)
{
	(void)user;
	(void)hdr;
	(void)data;
	nr++;
}

static void keep(u_char *user, const struct pcap_pkthdr *hdr, const u_char *data)
{
	(void)user;
	if (nr == room) {
		room = room ? 2 * room : 1024;
		packets = realloc(packets, room * sizeof(*packets));
	}
	packets[nr].hdr = *hdr;
	packets[nr++].data = memcpy(malloc(hdr->caplen + 1), data, hdr->caplen);
}

static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + now.tv_nsec / 1e9;
}

static double read_all(const char *way, pcap_t *handle, double started)
{
	struct pcap_pkthdr *hdr;
	const u_char *data;

	if (!strcmp(way, "pcap_dispatch") || !strcmp(way, "read"))
		while (pcap_dispatch(handle, -1, count, NULL) > 0)
			;
	else
		while (pcap_next_ex(handle, &hdr, &data) == 1)
			nr++;
	return cpu_seconds() - started;
}

static double read_bytes(const char *path)
{
	static char chunk[256 << 10];
	double started = cpu_seconds();
	int fd = open(path, O_RDONLY);

	while (read(fd, chunk, sizeof(chunk)) > 0)
		;
	close(fd);
	return cpu_seconds() - started;
}

static double write_all(pcap_t *handle, const char *out)
{
	pcap_dumper_t *dumper;
	double started;

	pcap_loop(handle, -1, keep, NULL);
	started = cpu_seconds();
	dumper = pcap_dump_open(handle, out);
	if (!dumper) {
		fprintf(stderr, "files: %s\n", pcap_geterr(handle));
		exit(1);
	}
	for (unsigned long i = 0; i < nr; i++)
		pcap_dump((u_char *)dumper, &packets[i].hdr, packets[i].data);
	pcap_dump_close(dumper);
	return cpu_seconds() - started;
}

int main(int argc, char **argv)
{
	char reason[PCAP_ERRBUF_SIZE] = "arguments: WAY PATH [OUT]";
	double started = cpu_seconds(), seconds;
	pcap_t *handle = argc >= 3 ? pcap_open_offline(argv[2], reason) : NULL;

	if (!handle) {
		fprintf(stderr, "files: %s\n", reason);
		return 1;
	}
	seconds = argc == 4 ? write_all(handle, argv[3]) : read_all(argv[1], handle, started);
	if (!strcmp(argv[1], "read"))
		seconds = read_bytes(argv[2]);
	printf("{\"seconds\": %.9f, \"packets\": %lu}\n", seconds, nr);
	pcap_close(handle);
	return 0;
}
