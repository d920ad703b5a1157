/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regular pcap and pcapng files, packet by packet from a read-only mapping.
 *
 * Every offset is checked against the file's size, which is asked for anew with each window: what another
 * process cuts off is an error where it is seen in time, and SIGBUS where it goes between that and the read.
 * Formats: pcap-savefile(5); draft-ietf-opsawg-pcapng. What is accepted, and what is not, is libpcap's choice.
 */
#ifndef HP_FILE_H
#define HP_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "hp_err.h"
#include "hp_source.h"

/* How a pcap file of before version 2.4 orders the two lengths of a packet. */
enum hp_lengths {
	HP_LENGTHS_PLAIN,
	HP_LENGTHS_SWAPPED,
	HP_LENGTHS_EITHER,	/* version 2.3: the smaller one is what was captured */
};

struct hp_interface {
	uint64_t ticks_per_s;
	int64_t offset_s;
};

struct hp_file {
	const uint8_t *map;
	size_t map_bytes;	/* more than the file has: it may grow */
	uint64_t size;		/* of the file, when it was last asked for */
	uint64_t until;		/* bytes that may be read without asking again */
	uint64_t at;		/* the next record or block */
	int fd;

	int pcapng;
	int swapped;		/* its byte order is not ours */
	uint32_t snaplen;	/* as libpcap has it: never 0 */
	uint64_t packets;	/* read so far, those that the filter refused included */
	const struct hp_filter *filter;	/* atomic; NULL: none */

	/* pcap */
	uint32_t header_bytes;	/* of each record */
	uint32_t nsec_factor;
	enum hp_lengths lengths;

	/* pcapng, of the current section; its first interface settled the link type */
	struct hp_interface *interfaces;
	uint32_t interface_nr;
	uint32_t interface_room;
	int linktype;		/* -1: no interface yet */

	struct hp_err err;	/* why hp_file_next() failed */
};

/*
 * Maps a file that libpcap has opened, and found to be of this DLT and snapshot length. The descriptor stays the
 * caller's and has to stay open. 0; -EOPNOTSUPP for what is left to libpcap; -errno.
 */
int hp_file_open(struct hp_file *file, int fd, int dlt, uint32_t snaplen);
void hp_file_close(struct hp_file *file);

/*
 * The next packet that the filter accepts: HP_FRAME, HP_EOF, or -errno and `err`. It stays where it is until
 * hp_file_close(). After HP_EOF and errors, another call looks whether the file has grown.
 */
int hp_file_next(struct hp_file *file, struct hp_frame *frame);

/* In hp_pcapng.c: the next packet, filtered or not. */
int hp_pcapng_next(struct hp_file *file, struct hp_frame *frame);

/* The slow path of hp_file_have(), in hp_file.c. */
int hp_file_ask(struct hp_file *file, uint64_t bytes);

/* Whether the file has so many bytes from `at` on; -errno where it cannot be told. */
static inline int hp_file_have(struct hp_file *file, uint64_t bytes)
{
	return HP_LIKELY(bytes <= file->until - file->at) ? 1 : hp_file_ask(file, bytes);
}

static inline uint32_t hp_file_u32(const struct hp_file *file, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return file->swapped ? __builtin_bswap32(value) : value;
}

static inline uint16_t hp_file_u16(const struct hp_file *file, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return file->swapped ? __builtin_bswap16(value) : value;
}

/* How far ahead memory is fetched; the hardware's own prefetcher starts anew in every page. */
#define HP_FILE_AHEAD_BYTES 2048u

static inline void hp_file_prefetch(const uint8_t *record, uint64_t bytes)
{
	for (uint64_t line = 0; line < bytes && line < 256; line += 64)
		__builtin_prefetch(record + HP_FILE_AHEAD_BYTES + line);
}

#endif
