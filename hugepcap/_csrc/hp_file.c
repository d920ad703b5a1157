/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading a file in chunks, and the records of the pcap format. */
#include "hp_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_HEADER_BYTES 24u
#define RECORD_BYTES 16u
#define RECORD_BYTES_MODIFIED 24u	/* with an interface and a protocol behind it, which nobody reads */
#define CAPLEN_MAX 262144u

#define MAGIC_MICRO 0xa1b2c3d4u
#define MAGIC_NANO 0xa1b23c4du
#define MAGIC_MODIFIED 0xa1b2cd34u
#define MAGIC_PCAPNG 0x0a0d0d0au
#define ORDER_PCAPNG 0x1a2b3c4du

/* Room of a chunk; longer records get one of their own. It has to stay in the cache from the copy to the walk. */
#ifndef HP_FILE_CHUNK_BYTES
#define HP_FILE_CHUNK_BYTES (1u << 20)
#endif

void hp_chunk_unref(struct hp_chunk *chunk)
{
	if (chunk && __atomic_sub_fetch(&chunk->refs, 1, __ATOMIC_ACQ_REL) == 0) {
		hp_live(HP_LIVE_CHUNKS, -1);
		if (chunk->mapped)
			munmap(chunk->bytes, chunk->mapped);
		free(chunk);
	}
}

/* Whether it may be overwritten: nobody but the file has it. */
static int usable(const struct hp_chunk *chunk, size_t room)
{
	return chunk && chunk->room >= room && __atomic_load_n(&chunk->refs, __ATOMIC_ACQUIRE) == 1;
}

/* Where there is a usable chunk, or else where one has to be put. */
static struct hp_chunk **choose_slot(struct hp_file *file, size_t room)
{
	struct hp_chunk **slot, **end = file->chunks + HP_FILE_CHUNKS;

	for (slot = file->chunks; slot < end; slot++)
		if (usable(*slot, room))
			return slot;
	for (slot = file->chunks; slot < end; slot++)
		if (!*slot)
			return slot;
	return &file->chunks[file->replaced++ % HP_FILE_CHUNKS];
}

static struct hp_chunk *new_chunk(size_t room)
{
	struct hp_chunk *chunk = malloc(sizeof(*chunk) + room);

	if (chunk) {
		memset(chunk, 0, sizeof(*chunk));
		chunk->refs = 1;
		chunk->room = room;
		chunk->bytes = (uint8_t *)(chunk + 1);
		hp_live(HP_LIVE_CHUNKS, 1);
	}
	return chunk;
}

static int ask_size(struct hp_file *file)
{
	struct stat now;

	if (fstat(file->fd, &now) < 0)
		return hp_fail(&file->err, errno, "fstat", "the file's size cannot be had");
	if ((uint64_t)now.st_size < file->at)
		return hp_fail(&file->err, EBADMSG, "read", "the file was cut off to %llu bytes while it was being read",
			       (unsigned long long)now.st_size);
	file->size = (uint64_t)now.st_size;
	return 0;
}

/* Reads from the file's `from` on until the chunk has `bytes`; fewer where the file has no more. */
static int fill(struct hp_file *file, uint64_t have, uint64_t bytes)
{
	ssize_t got = 1;

	while (have < bytes && got) {
		got = pread(file->fd, file->chunk->bytes + have, bytes - have, (off_t)(file->from + have));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return hp_fail(&file->err, errno, "read", "%s", strerror(errno));
		have += (uint64_t)got;
		file->until = file->from + have;
	}
	return 0;
}

/* Makes `at` the chunk's beginning, and the chunk as full as it gets, at least with `bytes` if the file has them. */
static int refill(struct hp_file *file, uint64_t bytes)
{
	size_t room = bytes < HP_FILE_CHUNK_BYTES ? HP_FILE_CHUNK_BYTES : bytes;
	uint64_t have = file->until - file->at, left = file->size - file->at;
	struct hp_chunk **slot = choose_slot(file, room);
	struct hp_chunk *chunk = usable(*slot, room) ? *slot : new_chunk(room);

	if (!chunk)
		return hp_fail(&file->err, ENOMEM, "read", "no memory for %zu bytes of the file", room);
	if (have)
		memmove(chunk->bytes, hp_file_here(file), have);
	if (chunk != *slot)
		hp_chunk_unref(*slot);
	*slot = file->chunk = chunk;
	file->from = file->at;
	file->until = file->at + have;
	return fill(file, have, left < chunk->room ? left : chunk->room);
}

/* Maps all that the file has from `at` on. */
static int map_rest(struct hp_file *file)
{
	uint64_t from = file->at & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
	size_t bytes = file->size - from;
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file->fd, (off_t)from);
	struct hp_chunk *chunk;

	if (map == MAP_FAILED)
		return hp_fail(&file->err, errno, "mmap", "%zu bytes of the file: %s", bytes, strerror(errno));
	chunk = new_chunk(0);
	if (!chunk) {
		munmap(map, bytes);
		return hp_fail(&file->err, ENOMEM, "read", "no memory for a mapping's description");
	}
	madvise(map, bytes, MADV_SEQUENTIAL);
	chunk->bytes = map;
	chunk->mapped = bytes;
	chunk->from = from;
	hp_chunk_unref(file->chunks[0]);
	file->chunks[0] = file->chunk = chunk;
	return 0;
}

/* As refill(): shows as much of the mapping as a chunk would have, until the file's size is asked for again. */
static int show(struct hp_file *file, uint64_t bytes)
{
	struct hp_chunk *chunk = file->chunk;
	uint64_t end = chunk ? chunk->from + chunk->mapped : 0, wanted = file->at + bytes;

	if (wanted > end) {
		int rc = map_rest(file);

		if (rc < 0)
			return rc;
		end = file->size;
	}
	if (wanted < file->at + HP_FILE_CHUNK_BYTES)
		wanted = file->at + HP_FILE_CHUNK_BYTES;
	if (wanted > file->size)
		wanted = file->size;
	file->from = file->chunk->from;
	file->until = wanted < end ? wanted : end;
	return 0;
}

int hp_file_ask(struct hp_file *file, uint64_t bytes)
{
	int rc;

	if (file->pinned)
		return -EAGAIN;
	rc = ask_size(file);
	if (rc == 0 && bytes <= file->size - file->at)
		rc = file->mapped ? show(file, bytes) : refill(file, bytes);
	if (rc == 0 && bytes <= file->until - file->at)
		return 1;
	file->from = file->until = file->at;	/* what is read later is read anew: by then it may be different */
	return rc;
}

/* A short rest of a file, and how much of what it is. */
static int truncated(struct hp_file *file, uint64_t wanted, const char *what)
{
	return hp_fail(&file->err, EBADMSG, "read", "truncated dump file: %llu of the %llu bytes of a %s",
		       (unsigned long long)(file->size - file->at), (unsigned long long)wanted, what);
}

static int too_long(struct hp_file *file, uint32_t caplen)
{
	return hp_fail(&file->err, EBADMSG, "read", "invalid packet capture length %u, bigger than %s of %u", caplen,
		       caplen > file->snaplen ? "snaplen" : "maximum", caplen > file->snaplen ? file->snaplen : CAPLEN_MAX);
}

static void order_lengths(const struct hp_file *file, struct hp_frame *frame)
{
	uint32_t caplen = frame->caplen;

	if (file->lengths == HP_LENGTHS_EITHER && caplen <= frame->len)
		return;
	frame->caplen = frame->len;
	frame->len = caplen;
}

static int next_record(struct hp_file *file, struct hp_frame *frame)
{
	const uint8_t *record;
	uint64_t whole;
	int rc = hp_file_have(file, file->header_bytes);

	if (HP_UNLIKELY(rc <= 0)) {
		if (rc < 0)
			return rc;
		return file->size == file->at ? HP_EOF : truncated(file, file->header_bytes, "packet header");
	}
	record = hp_file_here(file);
	frame->sec = hp_file_u32(file, record);
	frame->nsec = hp_file_u32(file, record + 4) * file->nsec_factor;
	frame->caplen = hp_file_u32(file, record + 8);
	frame->len = hp_file_u32(file, record + 12);
	if (HP_UNLIKELY(file->lengths != HP_LENGTHS_PLAIN))
		order_lengths(file, frame);
	if (HP_UNLIKELY(frame->caplen > CAPLEN_MAX))
		return too_long(file, frame->caplen);
	whole = (uint64_t)file->header_bytes + frame->caplen;
	rc = hp_file_have(file, whole);
	if (HP_UNLIKELY(rc <= 0))
		return rc < 0 ? rc : truncated(file, whole, "packet and its header");
	frame->data = (uint8_t *)(uintptr_t)(hp_file_here(file) + file->header_bytes);
	file->at += whole;
	if (HP_UNLIKELY(frame->caplen > file->snaplen))
		frame->caplen = file->snaplen;
	return HP_FRAME;
}

static int wanted(const struct hp_filter *filter, const struct hp_frame *frame)
{
	return filter->run(filter->insns[0], frame->data, frame->len, frame->caplen) != 0;
}

int hp_file_next(struct hp_file *file, struct hp_frame *frame)
{
	const struct hp_filter *filter = __atomic_load_n(&file->filter, __ATOMIC_ACQUIRE);
	int rc;

	frame->hdr = NULL;
	frame->status = 0;
	file->pause_at = file->at + HP_FILE_STRETCH_BYTES;
	do {
		if (HP_UNLIKELY(file->at >= file->pause_at))
			return HP_AGAIN;
		rc = HP_UNLIKELY(file->pcapng) ? hp_pcapng_next(file, frame) : next_record(file, frame);
		if (HP_UNLIKELY(rc != HP_FRAME))
			return rc;
		file->packets++;
	} while (HP_UNLIKELY(filter != NULL) && !wanted(filter, frame));
	return HP_FRAME;
}

/* What of a mapping is no longer in the file is not shown any more. */
static int look_again(struct hp_file *file)
{
	int rc = ask_size(file);

	if (rc == 0 && file->size < file->until)
		file->until = file->size;
	return rc;
}

int hp_file_columns(struct hp_file *file, struct hp_columns *columns)
{
	struct hp_columns into = *columns;
	struct hp_frame frame;
	int rc = file->mapped ? look_again(file) : 0;

	if (rc < 0)
		return rc;
	rc = HP_FRAME;
	while (into.nr < into.capacity && (rc = hp_file_next(file, &frame)) == HP_FRAME) {
		file->pinned = 1;
		into.base = file->chunk->bytes;
		hp_columns_add(&into, &frame);
	}
	file->pinned = 0;
	columns->base = into.base;
	columns->nr = into.nr;
	return rc == -EAGAIN || (rc == HP_AGAIN && into.nr) ? HP_FRAME : rc;
}

/* Link types whose packets libpcap mends, or allows to be longer than others. */
static int left_to_libpcap(const struct hp_file *file, int dlt)
{
	switch (dlt) {
	case 189: case 220: case 231: case 249: case 266: case 279:	/* USB, D-Bus, EBHSCR */
		return 1;
	case 1: case 12: case 105: case 127: case 228: case 229:	/* nothing in them has the writer's byte order */
		return 0;
	default:
		return file->swapped;
	}
}

static int open_pcap(struct hp_file *file, uint32_t magic)
{
	uint16_t major = hp_file_u16(file, file->chunk->bytes + 4), minor = hp_file_u16(file, file->chunk->bytes + 6);

	file->nsec_factor = magic == MAGIC_NANO ? 1 : 1000;
	file->header_bytes = magic == MAGIC_MODIFIED ? RECORD_BYTES_MODIFIED : RECORD_BYTES;
	file->at = FILE_HEADER_BYTES;
	if (major == 543 || minor < 3)	/* 543.0 is DG/UX */
		file->lengths = HP_LENGTHS_SWAPPED;
	else if (minor == 3)
		file->lengths = HP_LENGTHS_EITHER;
	return 0;
}

static int recognise(struct hp_file *file)
{
	uint32_t magic = hp_file_u32(file, file->chunk->bytes);

	if (magic == MAGIC_PCAPNG) {	/* the same in either order: another word tells */
		file->pcapng = 1;
		file->swapped = hp_file_u32(file, file->chunk->bytes + 8) != ORDER_PCAPNG;
		file->at = hp_file_u32(file, file->chunk->bytes + 4);	/* libpcap has looked at the first section's header */
		return file->at <= file->size ? 0 : -EOPNOTSUPP;
	}
	file->swapped = magic != MAGIC_MICRO && magic != MAGIC_NANO && magic != MAGIC_MODIFIED;
	magic = hp_file_u32(file, file->chunk->bytes);
	if (magic != MAGIC_MICRO && magic != MAGIC_NANO && magic != MAGIC_MODIFIED)
		return -EOPNOTSUPP;
	return open_pcap(file, magic);
}

/* The first bytes. */
static int begin(struct hp_file *file)
{
	struct stat now;
	int rc;

	if (fstat(file->fd, &now) < 0)
		return -errno;
	if (!S_ISREG(now.st_mode))
		return -EOPNOTSUPP;
	rc = hp_file_ask(file, FILE_HEADER_BYTES);
	return rc < 0 ? rc : rc ? 0 : -EOPNOTSUPP;
}

int hp_file_open(struct hp_file *file, int fd, int dlt, uint32_t snaplen, int mapped)
{
	int rc;

	memset(file, 0, sizeof(*file));
	file->fd = fd;
	file->mapped = mapped;
	file->snaplen = snaplen;
	file->linktype = -1;
	rc = begin(file);
	if (rc == 0)
		rc = recognise(file);
	if (rc == 0 && left_to_libpcap(file, dlt))
		rc = -EOPNOTSUPP;
	if (rc == 0 && file->at > file->until)
		file->from = file->until = file->at;
	if (rc < 0)
		hp_file_close(file);
	return rc;
}

void hp_file_close(struct hp_file *file)
{
	for (uint32_t i = 0; i < HP_FILE_CHUNKS; i++) {
		hp_chunk_unref(file->chunks[i]);
		file->chunks[i] = NULL;
	}
	free(file->interfaces);
	file->chunk = NULL;
	file->interfaces = NULL;
	file->interface_nr = file->interface_room = 0;
}
