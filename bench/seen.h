/* SPDX-License-Identifier: BSD-3-Clause */
/* manifest.py's Seen in C: libcrypto's SHA3-256 is the one that Python's hashlib calls. */
#ifndef BENCH_SEEN_H
#define BENCH_SEEN_H

#include <pcap/pcap.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "hp_gen.h"

/* openssl/evp.h's, whose package nothing else here needs. */
extern const void *EVP_sha3_256(void);
extern int EVP_Digest(const void *data, size_t size, unsigned char *digest, unsigned *length, const void *type, void *engine);

struct seen {
	uint64_t packets, hash;
	int64_t next;
	int rising;
	int64_t (*gaps)[2];
	size_t gap_nr;
};

static inline struct seen seen_from(int64_t first)
{
	return (struct seen){ .next = first, .rising = 1 };
}

static inline uint64_t seen_hash(const u_char *data, size_t size)
{
	unsigned char digest[64];
	uint64_t hash = 0;

	EVP_Digest(data, size, digest, NULL, EVP_sha3_256(), NULL);
	for (int i = 0; i < 8; i++)
		hash = hash << 8 | digest[i];
	return hash;
}

static inline void seen_jump(struct seen *seen, int64_t number)
{
	if (number < seen->next) {
		seen->rising = 0;
		return;
	}
	if (!(seen->gap_nr & (seen->gap_nr + 1)))	/* 0, 1, 3, 7...: full */
		seen->gaps = realloc(seen->gaps, (2 * seen->gap_nr + 1) * sizeof(*seen->gaps));
	seen->gaps[seen->gap_nr][0] = seen->next;
	seen->gaps[seen->gap_nr++][1] = number;
}

/* A pcap_handler. */
static inline void seen_see(u_char *user, const struct pcap_pkthdr *hdr, const u_char *data)
{
	struct seen *seen = (struct seen *)user;
	int64_t number = hp_gen_sequence(data, hdr->caplen);

	seen->hash += seen_hash(data, hdr->caplen);
	if (number != seen->next)
		seen_jump(seen, number);
	seen->packets++;
	seen->next = number + 1;
}

/* A pcap_handler, too. */
static inline void seen_count(u_char *user, const struct pcap_pkthdr *hdr, const u_char *data)
{
	(void)hdr;
	(void)data;
	((struct seen *)user)->packets++;
}

/* The fields of Seen.told(), without braces. */
static inline void seen_print(const struct seen *seen)
{
	printf("\"packets\": %lu, \"hash\": %lu, \"next\": %ld, \"rising\": %s, \"gaps\": [", (unsigned long)seen->packets,
	       (unsigned long)seen->hash, (long)seen->next, seen->rising ? "true" : "false");
	for (size_t i = 0; i < seen->gap_nr; i++)
		printf("%s[%ld, %ld]", i ? ", " : "", (long)seen->gaps[i][0], (long)seen->gaps[i][1]);
	printf("]");
}

static inline double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + now.tv_nsec / 1e9;
}

#endif
