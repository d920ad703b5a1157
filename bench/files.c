/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * files.py for stock libpcap in C, with WAY pcap_dispatch, pcap_next_ex or pcap_dump; and the limits of every reader:
 * "read" for read(2) alone, "read+walk" and "mmap+walk" for going from length to length as well.
 *
 *	files read WAY PATH COUNT CHECKED_PATH CHECKED
 *	files write WAY PATH COUNT OUT
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seen.h"

struct packet {
	struct pcap_pkthdr hdr;
	u_char *data;
};

static struct packet *packets;
static unsigned long nr, room;

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

static void read_all(const char *way, pcap_t *handle, pcap_handler take, struct seen *seen)
{
	struct pcap_pkthdr *hdr;
	const u_char *data;

	if (!strcmp(way, "pcap_dispatch"))
		while (pcap_dispatch(handle, -1, take, (u_char *)seen) > 0)
			;
	else
		while (pcap_next_ex(handle, &hdr, &data) == 1)
			take((u_char *)seen, hdr, data);
}

#define FILE_HEADER 24
#define RECORD_HEADER 16

/* Counts whole records, and hashes them if it is to; returns the bytes they take. */
static size_t walk(const char *bytes, size_t size, pcap_handler take, struct seen *seen)
{
	size_t at = 0;
	struct pcap_pkthdr hdr = { 0 };

	while (size - at >= RECORD_HEADER) {
		memcpy(&hdr.caplen, bytes + at + 8, sizeof(hdr.caplen));
		if (size - at - RECORD_HEADER < hdr.caplen)
			break;
		if (take == seen_count)	/* a call more would count as walking */
			seen->packets++;
		else
			take((u_char *)seen, &hdr, (const u_char *)bytes + at + RECORD_HEADER);
		at += RECORD_HEADER + hdr.caplen;
	}
	return at;
}

static void read_chunks(int fd, int walking, pcap_handler take, struct seen *seen)
{
	static char chunk[1 << 20];
	off_t at = FILE_HEADER;
	ssize_t got;

	while ((got = pread(fd, chunk, sizeof(chunk), at)) > 0)
		at += walking ? walk(chunk, (size_t)got, take, seen) : (size_t)got;
}

static void read_mapping(int fd, pcap_handler take, struct seen *seen)
{
	struct stat file;
	char *bytes;

	fstat(fd, &file);
	bytes = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (bytes == MAP_FAILED) {
		perror("files: mmap");
		exit(1);
	}
	walk(bytes + FILE_HEADER, (size_t)file.st_size - FILE_HEADER, take, seen);
	munmap(bytes, (size_t)file.st_size);
}

static pcap_t *open_file(const char *path)
{
	char reason[PCAP_ERRBUF_SIZE];
	pcap_t *handle = pcap_open_offline(path, reason);

	if (!handle) {
		fprintf(stderr, "files: %s\n", reason);
		exit(1);
	}
	return handle;
}

/* CPU seconds. Without libpcap, what packets the file has is seen only where it is walked. */
static double read_file(const char *way, const char *path, pcap_handler take, struct seen *seen)
{
	double started = cpu_seconds();
	pcap_t *handle = strncmp(way, "pcap", 4) ? NULL : open_file(path);
	int fd = handle ? -1 : open(path, O_RDONLY);

	if (handle) {
		read_all(way, handle, take, seen);
		pcap_close(handle);
	} else {
		if (way[0] == 'm')
			read_mapping(fd, take, seen);
		else
			read_chunks(fd, way[4] == '+', take, seen);
		close(fd);
	}
	return cpu_seconds() - started;
}

/* CPU seconds of writing packets that are in memory. */
static double write_file(const char *path, const char *out)
{
	pcap_t *handle = open_file(path);
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
	struct seen timed = seen_from(0), seen = seen_from(0);

	if (argc == 6 && !strcmp(argv[1], "write")) {
		printf("{\"seconds\": %.9f}\n", write_file(argv[3], argv[5]));
		return 0;
	}
	if (argc != 7 || strcmp(argv[1], "read")) {
		fprintf(stderr, "files read WAY PATH COUNT CHECKED_PATH CHECKED | write WAY PATH COUNT OUT\n");
		return 2;
	}
	printf("{\"seconds\": %.9f, ", read_file(argv[2], argv[3], seen_count, &timed));
	read_file(argv[2], argv[5], seen_see, &seen);
	seen_print(&seen);
	printf(", \"read\": %lu}\n", (unsigned long)timed.packets);
	return 0;
}
