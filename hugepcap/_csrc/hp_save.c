/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_save.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* What is copied before it is written: it should still be in the CPU's cache then. */
#define DRAIN_BYTES (256u << 10)
#define RECORD_OVERHEAD_MAX 64u
#define ARENA_BYTES (DRAIN_BYTES + HP_SAVE_SNAPLEN_MAX + RECORD_OVERHEAD_MAX)
#define RECORDS_MAX 8192u
#define PIECES_MAX 1024u	/* IOV_MAX of Linux */

/* From this size on a piece of its own costs less than a copy. Measured on ext4 and tmpfs. */
#ifndef IN_PLACE_BYTES
#define IN_PLACE_BYTES 1024u
#endif

#define NS_PER_S 1000000000
#define PCAP_HEADER_BYTES 16u
#define ENHANCED_HEADER_BYTES 28u
#define ENHANCED_BLOCK 6u
#define FLAGS_OPTION_BYTES 12u	/* epb_flags and the end of options */

int hp_save_open(struct hp_save *save)
{
	save->arena = malloc(ARENA_BYTES);
	save->pieces = malloc(PIECES_MAX * sizeof(*save->pieces));
	save->sizes = malloc(RECORDS_MAX * sizeof(*save->sizes));
	return save->arena && save->pieces && save->sizes ? 0 : -ENOMEM;
}

void hp_save_close(struct hp_save *save)
{
	free(save->arena);
	free(save->pieces);
	free(save->sizes);
	save->arena = NULL;
	save->pieces = NULL;
	save->sizes = NULL;
}

#define BLOCK_BYTES_MIN 12u
#define LOOKED_AT_MAX 65536u

int hp_save_find_end(const struct hp_save *save, uint64_t size, uint64_t *end)
{
	uint32_t head[3], need = save->pcapng ? 8 : 12;	/* as far as the length */

	for (uint32_t left = LOOKED_AT_MAX; left; left--) {
		uint64_t bytes;
		ssize_t got = pread(save->fd, head, need, (off_t)*end);

		if (got < 0)
			return -errno;
		bytes = save->pcapng ? head[1] : (uint64_t)PCAP_HEADER_BYTES + head[2];
		if ((size_t)got < need || bytes > size - *end || bytes < BLOCK_BYTES_MIN)
			return 0;
		*end += bytes;
	}
	return 1;
}

static void forget(struct hp_save *save)
{
	save->arena_used = save->piece_nr = save->piece_at = save->record_nr = 0;
	save->drained = 0;
}

/* Takes written bytes off the front of the pieces. */
static void advance(struct hp_save *save, size_t bytes)
{
	save->drained += bytes;
	while (bytes) {
		struct iovec *piece = &save->pieces[save->piece_at];
		size_t part = bytes < piece->iov_len ? bytes : piece->iov_len;

		piece->iov_base = (uint8_t *)piece->iov_base + part;
		piece->iov_len -= part;
		bytes -= part;
		save->piece_at += piece->iov_len == 0;
	}
}

int hp_save_drain(struct hp_save *save)
{
	while (save->piece_at < save->piece_nr) {
		ssize_t done = writev(save->fd, save->pieces + save->piece_at, (int)(save->piece_nr - save->piece_at));

		if (done < 0)
			return hp_fail(&save->err, errno, "write", "after %llu packets", (unsigned long long)save->packets);
		advance(save, (size_t)done);
	}
	forget(save);
	return 0;
}

/* Cuts `bytes` off the end of what was written. */
static int take_back(struct hp_save *save, uint64_t bytes)
{
	off_t end;

	if (!save->regular) {
		save->broken = 1;
		return 0;
	}
	end = lseek(save->fd, 0, SEEK_CUR) - (off_t)bytes;
	if (end < 0 || ftruncate(save->fd, end) < 0 || lseek(save->fd, end, SEEK_SET) < 0) {
		save->broken = 1;
		return hp_fail(&save->err, errno, "truncate", "to the last whole record");
	}
	return 0;
}

int hp_save_abandon(struct hp_save *save)
{
	uint64_t whole = 0;
	uint32_t record = 0;
	int rc = 0;

	while (record < save->record_nr && whole + save->sizes[record] <= save->drained)
		whole += save->sizes[record++];
	if (save->drained > whole)
		rc = take_back(save, save->drained - whole);
	save->packets -= save->record_nr - record;
	for (; record < save->record_nr; record++)
		save->bytes -= save->sizes[record];
	forget(save);
	return rc;
}

static void add_piece(struct hp_save *save, const uint8_t *at, uint32_t bytes)
{
	struct iovec *last = save->piece_nr ? &save->pieces[save->piece_nr - 1] : NULL;

	if (last && (uint8_t *)last->iov_base + last->iov_len == at) {
		last->iov_len += bytes;
		return;
	}
	save->pieces[save->piece_nr].iov_base = (void *)(uintptr_t)at;
	save->pieces[save->piece_nr++].iov_len = bytes;
}

/* The next bytes of the arena, which become part of what is written. */
static uint8_t *take_arena(struct hp_save *save, uint32_t bytes)
{
	uint8_t *at = save->arena + save->arena_used;

	add_piece(save, at, bytes);
	save->arena_used += bytes;
	return at;
}

static uint8_t *put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static uint8_t *put16(uint8_t *at, uint16_t value)
{
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static void put_data(struct hp_save *save, const struct hp_saved *packet, uint32_t caplen)
{
	if (packet->stays && caplen >= IN_PLACE_BYTES)
		add_piece(save, packet->data, caplen);
	else if (caplen)
		hp_copy(take_arena(save, caplen), packet->data, caplen);
}

static void put_pcap(struct hp_save *save, const struct hp_saved *packet, uint32_t caplen)
{
	uint8_t *at = take_arena(save, PCAP_HEADER_BYTES);
	uint32_t nsec = (uint32_t)(packet->ts_ns % NS_PER_S);

	at = put32(at, (uint32_t)(packet->ts_ns / NS_PER_S));
	at = put32(at, save->nanoseconds ? nsec : nsec / 1000);
	at = put32(at, caplen);
	put32(at, packet->len);
	put_data(save, packet, caplen);
}

/* Behind the packet: padding, the direction, the block's length once more. */
static void end_enhanced(struct hp_save *save, uint32_t padding, uint8_t direction, uint32_t total)
{
	uint8_t *at = take_arena(save, padding + (direction ? FLAGS_OPTION_BYTES : 0) + 4);

	memset(at, 0, padding);
	at += padding;
	if (direction) {
		at = put16(at, 2);
		at = put16(at, 4);
		at = put32(at, direction);	/* 1 in, 2 out, as HP_DIR_* */
		at = put32(at, 0);
	}
	put32(at, total);
}

static void put_enhanced(struct hp_save *save, const struct hp_saved *packet, uint32_t caplen, uint32_t total)
{
	uint64_t ticks = (uint64_t)(save->nanoseconds ? packet->ts_ns : packet->ts_ns / 1000);
	uint8_t *at = take_arena(save, ENHANCED_HEADER_BYTES);

	at = put32(at, ENHANCED_BLOCK);
	at = put32(at, total);
	at = put32(at, 0);
	at = put32(at, (uint32_t)(ticks >> 32));
	at = put32(at, (uint32_t)ticks);
	at = put32(at, caplen);
	put32(at, packet->len);
	put_data(save, packet, caplen);
	end_enhanced(save, -caplen % 4, packet->direction, total);
}

static uint32_t captured(const struct hp_save *save, const struct hp_saved *packet)
{
	return packet->caplen < save->snaplen ? packet->caplen : save->snaplen;
}

static uint32_t record_bytes(const struct hp_save *save, const struct hp_saved *packet)
{
	uint32_t caplen = captured(save, packet);

	if (!save->pcapng)
		return PCAP_HEADER_BYTES + caplen;
	return ENHANCED_HEADER_BYTES + caplen + -caplen % 4 + (packet->direction ? FLAGS_OPTION_BYTES : 0) + 4;
}

static int full(const struct hp_save *save)
{
	/* a record is at most three pieces */
	return save->piece_at || save->arena_used >= DRAIN_BYTES || save->record_nr == RECORDS_MAX ||
	       save->piece_nr > PIECES_MAX - 3;
}

static int time_fits(const struct hp_save *save, int64_t ts_ns)
{
	return ts_ns >= 0 && (save->pcapng || ts_ns / NS_PER_S <= UINT32_MAX);
}

int hp_save_put(struct hp_save *save, const struct hp_saved *packet)
{
	uint32_t bytes = record_bytes(save, packet);
	int rc;

	if (HP_UNLIKELY(!time_fits(save, packet->ts_ns)))
		return hp_fail(&save->err, EOVERFLOW, "write", "packet %llu is of second %lld: %s",
			       (unsigned long long)save->packets, (long long)(packet->ts_ns / NS_PER_S),
			       packet->ts_ns < 0 ? "files have none before 1970" : "pcap has 32 bits, format=\"pcapng\" has more");
	if (HP_UNLIKELY(full(save))) {
		rc = hp_save_drain(save);
		if (rc < 0)
			return rc;
	}
	if (save->pcapng)
		put_enhanced(save, packet, captured(save, packet), bytes);
	else
		put_pcap(save, packet, captured(save, packet));
	save->sizes[save->record_nr++] = bytes;
	save->packets++;
	save->bytes += bytes;
	return 0;
}

int hp_save_columns(struct hp_save *save, const struct hp_columns *columns, uint32_t *row)
{
	int rc;

	for (; *row < columns->nr; ++*row) {
		struct hp_saved packet = {
			.data = columns->base + columns->offset[*row],
			.ts_ns = columns->ts_ns[*row],
			.caplen = columns->caplen[*row],
			.len = columns->len[*row],
			.direction = columns->direction[*row],
			.stays = 1,
		};

		if (save->bytes + record_bytes(save, &packet) > save->most)
			break;
		rc = hp_save_put(save, &packet);
		if (rc < 0)
			return rc;
	}
	return hp_save_drain(save);
}
