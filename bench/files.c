/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * files.py for stock libpcap in C: files WAY PATH [OUT], WAY pcap_dispatch, pcap_next_ex or pcap_dump; and the limits of
 * every reader: "read" for read(2) alone, "read+walk" and "mmap+walk" for going from length to length as well.
 */
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

static void read_all(const char *way, pcap_t *handle)
{
	struct pcap_pkthdr *hdr;
	const u_char *data;

	if (!strcmp(way, "pcap_dispatch"))
		while (pcap_dispatch(handle, -1, count, NULL) > 0)
			;
	else
		while (pcap_next_ex(handle, &hdr, &data) == 1)
			nr++;
}

#define FILE_HEADER 24
#define RECORD_HEADER 16

/* Counts whole records; returns the bytes they take. */
static size_t walk(const char *bytes, size_t size)
{
	size_t at = 0;
	unsigned int caplen;

	while (size - at >= RECORD_HEADER) {
		memcpy(&caplen, bytes + at + 8, sizeof(caplen));
		if (size - at - RECORD_HEADER < caplen)
			break;
		at += RECORD_HEADER + caplen;
		nr++;
	}
	return at;
}

static void read_chunks(int fd, int walking)
{
	static char chunk[1 << 20];
	off_t at = FILE_HEADER;
	ssize_t got;

	while ((got = pread(fd, chunk, sizeof(chunk), at)) > 0)
		at += walking ? walk(chunk, (size_t)got) : (size_t)got;
}

static void read_mapping(int fd)
{
	struct stat file;
	char *bytes;

	fstat(fd, &file);
	bytes = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (bytes == MAP_FAILED) {
		perror("files: mmap");
		exit(1);
	}
	walk(bytes + FILE_HEADER, (size_t)file.st_size - FILE_HEADER);
	munmap(bytes, (size_t)file.st_size);
}

/* Without libpcap; what the file's packets are is counted only where it is walked. */
static int read_plainly(const char *way, const char *path)
{
	int fd;

	if (strcmp(way, "read") && strcmp(way, "read+walk") && strcmp(way, "mmap+walk"))
		return 0;
	fd = open(path, O_RDONLY);
	if (way[0] == 'm')
		read_mapping(fd);
	else
		read_chunks(fd, way[4] == '+');
	close(fd);
	return 1;
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
	pcap_t *handle;

	if (argc == 3 && read_plainly(argv[1], argv[2])) {
		printf("{\"seconds\": %.9f, \"packets\": %lu}\n", cpu_seconds() - started, nr);
		return 0;
	}
	handle = argc >= 3 ? pcap_open_offline(argv[2], reason) : NULL;
	if (!handle) {
		fprintf(stderr, "files: %s\n", reason);
		return 1;
	}
	if (argc == 4) {
		seconds = write_all(handle, argv[3]);
	} else {
		read_all(argv[1], handle);
		seconds = cpu_seconds() - started;
	}
	printf("{\"seconds\": %.9f, \"packets\": %lu}\n", seconds, nr);
	pcap_close(handle);
	return 0;
}
