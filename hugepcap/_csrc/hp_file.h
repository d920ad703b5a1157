/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Regular pcap and pcapng files, packet by packet from chunks that pread(2) fills, or from a mapping.
 *
 * A mapping spares the copy and has page faults instead. How many, is for the page cache to say: of pages of 4 KiB
 * (as of a file that was written in such pieces) they cost nearly what the copy into memory does that is in the CPU's
 * cache already; of large folios (of a file that was written in large pieces, or read ahead from the disk) little.
 * But what another process cuts off from under it is SIGBUS instead of an error: it is for who asks for it.
 * Formats: pcap-savefile(5); draft-ietf-opsawg-pcapng. What is accepted, and what is not, is libpcap's choice.
 */
#ifndef HP_FILE_H
#define HP_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "hp_columns.h"
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

/* Bytes of a file; they stay as long as anybody but the file refers to them. */
struct hp_chunk {
	uint32_t refs;		/* atomic */
	size_t room;		/* 0: nothing is read into it */
	size_t mapped;		/* 0: its memory is its own */
	uint64_t from;		/* where in the file the mapping begins */
	uint8_t *bytes;
};

static inline void hp_chunk_ref(struct hp_chunk *chunk)
{
	__atomic_add_fetch(&chunk->refs, 1, __ATOMIC_RELAXED);
}

void hp_chunk_unref(struct hp_chunk *chunk);	/* NULL is nothing */

/* What a call looks through at most: it may hold the GIL, and be asked to end. */
#ifndef HP_FILE_STRETCH_BYTES
#define HP_FILE_STRETCH_BYTES (256u << 10)
#endif

/* How many chunks a file keeps: the one it reads, and those that batches give back by and by. */
#define HP_FILE_CHUNKS 4u

struct hp_file {
	struct hp_chunk *chunk;	/* has the file's bytes from `from` to `until` */
	uint64_t from;
	uint64_t until;
	uint64_t at;		/* the next record or block */
	uint64_t size;		/* of the file, when it was last asked for */
	int fd;
	int mapped;		/* chunks are mappings */
	int pinned;		/* packets of the batch being made lie in the chunk: it has to do */
	struct hp_chunk *chunks[HP_FILE_CHUNKS];
	uint32_t replaced;	/* how often one of them gave way to another */

	int pcapng;
	int swapped;		/* its byte order is not ours */
	uint32_t snaplen;	/* as libpcap has it: never 0 */
	uint64_t packets;	/* read so far, those that the filter refused included */
	uint64_t pause_at;	/* where a call that has found nothing returns */
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
 * Reads a file that libpcap has opened, and found to be of this DLT and snapshot length. The descriptor stays the
 * caller's, has to stay open, and its position is not used. 0; -EOPNOTSUPP for what is left to libpcap; -errno.
 * `mapped`: the file's size is asked for before each batch, and every MiB; what is cut off after that is SIGBUS.
 */
int hp_file_open(struct hp_file *file, int fd, int dlt, uint32_t snaplen, int mapped);
void hp_file_close(struct hp_file *file);

/*
 * The next packet that the filter accepts: HP_FRAME, HP_EOF, or -errno and `err`. It stays where it is until the
 * next call. After HP_EOF and errors, another call looks whether the file has grown. HP_AGAIN: there was none in
 * HP_FILE_STRETCH_BYTES, and the next call goes on.
 */
int hp_file_next(struct hp_file *file, struct hp_frame *frame);

/*
 * Fills empty columns with what comes next, all of it in file->chunk, which stays as it is for whoever refers to it.
 * As hp_file_next(), HP_AGAIN with no row only; HP_FRAME also where another chunk would be needed.
 */
int hp_file_columns(struct hp_file *file, struct hp_columns *columns);

/* In hp_pcapng.c: the next packet, filtered or not. */
int hp_pcapng_next(struct hp_file *file, struct hp_frame *frame);

/* The slow path of hp_file_have(), in hp_file.c: reads on. */
int hp_file_ask(struct hp_file *file, uint64_t bytes);

/* Whether the file has so many bytes from `at` on, which are then in the chunk; -errno where it cannot be told. */
static inline int hp_file_have(struct hp_file *file, uint64_t bytes)
{
	return HP_LIKELY(bytes <= file->until - file->at) ? 1 : hp_file_ask(file, bytes);
}

static inline const uint8_t *hp_file_here(const struct hp_file *file)
{
	return file->chunk->bytes + (file->at - file->from);
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

#endif
