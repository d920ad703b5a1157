/* SPDX-License-Identifier: BSD-3-Clause */
/* The mapping of a file, and the records of the pcap format. */
#include "hp_file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define FILE_HEADER_BYTES 24u
#define RECORD_BYTES 16u
#define RECORD_BYTES_MODIFIED 24u	/* with an interface and a protocol behind it, which nobody reads */
#define CAPLEN_MAX 262144u

#define MAGIC_MICRO 0xa1b2c3d4u
#define MAGIC_NANO 0xa1b23c4du
#define MAGIC_MODIFIED 0xa1b2cd34u
#define MAGIC_PCAPNG 0x0a0d0d0au
#define ORDER_PCAPNG 0x1a2b3c4du

/* So much is mapped behind the file's end; address space alone, which reading never touches before the file does. */
#define GROWTH_BYTES (16ull << 30)
/* How often the size is asked for. Measured: MADV_POPULATE_READ of such windows is slower than the faults it saves. */
#define WINDOW_BYTES (64u << 10)

static int ask_size(struct hp_file *file)
{
	struct stat now;

	if (fstat(file->fd, &now) < 0)
		return hp_fail(&file->err, errno, "fstat", "the file's size cannot be had");
	if ((uint64_t)now.st_size < file->at)
		return hp_fail(&file->err, EBADMSG, "read", "the file was cut off to %llu bytes while it was being read",
			       (unsigned long long)now.st_size);
	if ((uint64_t)now.st_size > file->map_bytes)
		return hp_fail(&file->err, EFBIG, "read", "the file has grown to %llu bytes, of which %zu are mapped: "
			       "open it again", (unsigned long long)now.st_size, file->map_bytes);
	file->size = (uint64_t)now.st_size;
	return 0;
}

int hp_file_ask(struct hp_file *file, uint64_t bytes)
{
	uint64_t left, window = bytes < WINDOW_BYTES ? WINDOW_BYTES : bytes;
	int rc = ask_size(file);

	if (rc < 0) {
		file->until = file->at;
		return rc;
	}
	left = file->size - file->at;
	file->until = file->at + (left < window ? left : window);
	return bytes <= left;
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
	const uint8_t *record = file->map + file->at;
	uint64_t whole;
	int rc = hp_file_have(file, file->header_bytes);

	if (HP_UNLIKELY(rc <= 0)) {
		if (rc < 0)
			return rc;
		return file->size == file->at ? HP_EOF : truncated(file, file->header_bytes, "packet header");
	}
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
	frame->data = (uint8_t *)(uintptr_t)(record + file->header_bytes);
	file->at += whole;
	hp_file_prefetch(record, whole);
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
	do {
		rc = HP_UNLIKELY(file->pcapng) ? hp_pcapng_next(file, frame) : next_record(file, frame);
		if (HP_UNLIKELY(rc != HP_FRAME))
			return rc;
		file->packets++;
	} while (HP_UNLIKELY(filter != NULL) && !wanted(filter, frame));
	return HP_FRAME;
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
	uint16_t major = hp_file_u16(file, file->map + 4), minor = hp_file_u16(file, file->map + 6);

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
	uint32_t magic = hp_file_u32(file, file->map);

	if (magic == MAGIC_PCAPNG) {	/* the same in either order: another word tells */
		file->pcapng = 1;
		file->swapped = hp_file_u32(file, file->map + 8) != ORDER_PCAPNG;
		file->at = hp_file_u32(file, file->map + 4);	/* libpcap has looked at the first section's header */
		return file->at <= file->size ? 0 : -EOPNOTSUPP;
	}
	file->swapped = magic != MAGIC_MICRO && magic != MAGIC_NANO && magic != MAGIC_MODIFIED;
	magic = hp_file_u32(file, file->map);
	if (magic != MAGIC_MICRO && magic != MAGIC_NANO && magic != MAGIC_MODIFIED)
		return -EOPNOTSUPP;
	return open_pcap(file, magic);
}

static int map(struct hp_file *file)
{
	struct stat now;
	void *at;

	if (fstat(file->fd, &now) < 0)
		return -errno;
	if (!S_ISREG(now.st_mode) || now.st_size < FILE_HEADER_BYTES)
		return -EOPNOTSUPP;
	file->size = (uint64_t)now.st_size;
	file->map_bytes = file->size + GROWTH_BYTES;
	at = mmap(NULL, file->map_bytes, PROT_READ, MAP_SHARED, file->fd, 0);
	if (at == MAP_FAILED) {		/* where address space is limited (ulimit -v) */
		file->map_bytes = file->size;
		at = mmap(NULL, file->map_bytes, PROT_READ, MAP_SHARED, file->fd, 0);
	}
	if (at == MAP_FAILED)
		return -errno;
	file->map = at;
	madvise(at, file->size, MADV_SEQUENTIAL);
	return 0;
}

int hp_file_open(struct hp_file *file, int fd, int dlt, uint32_t snaplen)
{
	int rc;

	memset(file, 0, sizeof(*file));
	file->fd = fd;
	file->snaplen = snaplen;
	file->linktype = -1;
	rc = map(file);
	if (rc < 0)
		return rc;
	rc = recognise(file);
	if (rc == 0 && left_to_libpcap(file, dlt))
		rc = -EOPNOTSUPP;
	file->until = file->at;
	if (rc < 0)
		hp_file_close(file);
	return rc;
}

void hp_file_close(struct hp_file *file)
{
	if (file->map)
		munmap((void *)(uintptr_t)file->map, file->map_bytes);
	free(file->interfaces);
	file->map = NULL;
	file->interfaces = NULL;
	file->interface_nr = file->interface_room = 0;
}
