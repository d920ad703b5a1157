/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mutated files, a seeded number of them, read by hp_file and by libpcap: regular SEED COUNT; input: number of
 * files, each length and bytes. What libpcap opens, both must read alike, here in chunks of
 * HP_FILE_CHUNK_BYTES and no more, every other file mapped, and looked through in stretches of HP_FILE_STRETCH_BYTES.
 * Prints how many files libpcap opened, how many packets they had, how many ended in an error.
 */
#define _GNU_SOURCE
#include <pcap/pcap.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hp_file.c"
#include "input.h"
#include "seeded.h"

static const uint8_t *content;
static size_t content_bytes;

static void mutate(uint8_t *data, uint32_t bytes)
{
	static const uint8_t telling[] = { 0, 1, 2, 3, 4, 6, 8, 9, 12, 14, 0x1a, 0x80, 0x7f, 0xff };

	for (uint32_t left = below(4); left && bytes; left--)
		data[below(bytes)] = below(2) ? telling[below(sizeof(telling))] : (uint8_t)below(256);
}

static void differ(const char *what, long long theirs, long long ours)
{
	fprintf(stderr, "%s: libpcap %lld, here %lld; the file:\n", what, theirs, ours);
	for (size_t i = 0; i < content_bytes; i++)
		fprintf(stderr, "%02x", content[i]);
	abort();
}

static void compare(const struct pcap_pkthdr *hdr, const u_char *data, const struct hp_file *file,
		    const struct hp_frame *frame)
{
	long long sec = file->pcapng ? hdr->ts.tv_sec : (uint32_t)hdr->ts.tv_sec;

	if (sec != frame->sec)
		differ("seconds", sec, frame->sec);
	if ((uint32_t)hdr->ts.tv_usec != frame->nsec)
		differ("nanoseconds", (uint32_t)hdr->ts.tv_usec, frame->nsec);
	if (hdr->caplen != frame->caplen || hdr->len != frame->len)
		differ("lengths", hdr->caplen, frame->caplen);
	if (memcmp(data, frame->data, frame->caplen))
		differ("bytes", hdr->caplen, frame->caplen);
}

/* 1 where both ended in an error, else 0. */
static int read_both(pcap_t *handle, struct hp_file *file, unsigned long long *packets)
{
	for (;; ++*packets) {
		struct pcap_pkthdr *hdr = NULL;
		const u_char *data = NULL;
		struct hp_frame frame;
		int theirs = pcap_next_ex(handle, &hdr, &data), ours;

		do
			ours = hp_file_next(file, &frame);
		while (ours == HP_AGAIN);
		if ((theirs == 1) != (ours == HP_FRAME) || (theirs == -2) != (ours == HP_EOF)) {
			fprintf(stderr, "libpcap: %s; here: %s\n", pcap_geterr(handle), file->err.detail);
			differ("result", theirs, ours);
		}
		if (theirs != 1)
			return theirs == -1;
		compare(hdr, data, file, &frame);
	}
}

int main(int argc, char **argv)
{
	uint32_t nr = get_u32(), *size = calloc(nr, sizeof(*size));
	uint8_t **files = calloc(nr, sizeof(*files));
	unsigned long long opened = 0, packets = 0, errors = 0;
	int fd = memfd_create("file", 0);

	if (argc != 3)
		return 2;
	for (uint32_t i = 0; i < nr; i++) {
		size[i] = get_u32();
		files[i] = get_blob(size[i]);
	}
	seed = strtoull(argv[1], NULL, 0);
	for (uint32_t left = (uint32_t)strtoul(argv[2], NULL, 0); left; left--) {
		uint32_t which = below(nr), bytes = below(3) ? size[which] : below(size[which]) + 1;
		uint8_t *copy = memcpy(malloc(bytes), files[which], bytes);
		char reason[PCAP_ERRBUF_SIZE];
		struct hp_file file;
		pcap_t *handle;
		FILE *stream;

		mutate(copy, bytes);
		content = copy;
		content_bytes = bytes;
		stream = fmemopen(copy, bytes, "rb");
		handle = pcap_fopen_offline_with_tstamp_precision(stream, PCAP_TSTAMP_PRECISION_NANO, reason);
		if (handle && ftruncate(fd, 0) == 0 && pwrite(fd, copy, bytes, 0) == (ssize_t)bytes &&
		    hp_file_open(&file, fd, pcap_datalink(handle), (uint32_t)pcap_snapshot(handle), left % 2) == 0) {
			opened++;
			errors += (unsigned)read_both(handle, &file, &packets);
			hp_file_close(&file);
		}
		handle ? pcap_close(handle) : (void)fclose(stream);
		free(copy);
	}
	printf("%llu %llu %llu\n", opened, packets, errors);
	for (uint32_t i = 0; i < nr; i++)
		free(files[i]);
	free(files);
	free(size);
	return 0;
}
