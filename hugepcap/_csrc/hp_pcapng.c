/* SPDX-License-Identifier: BSD-3-Clause */
/* The blocks of the pcapng format. */
#include "hp_file.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET 2u		/* obsolete, but there are files of it */
#define BLOCK_SIMPLE 3u
#define BLOCK_ENHANCED 6u

#define BLOCK_BYTES_MIN 12u
#define BLOCK_BYTES_MAX (16u << 20)
#define SNAPLEN_MAX 262144u
#define ORDER 0x1a2b3c4du

#define OPTION_END 0
#define OPTION_TSRESOL 9
#define OPTION_TSOFFSET 14

#define NS_PER_S 1000000000ull

/* What is in a block, between its two lengths. */
struct body {
	uint32_t kind;
	const uint8_t *at;
	uint32_t bytes;
};

static int corrupt(struct hp_file *file, const char *what, unsigned int number)
{
	return hp_fail(&file->err, EBADMSG, "read", what, number);
}

static int too_short(struct hp_file *file, const struct body *body)
{
	return corrupt(file, "block of type %u is too short for what it should have", body->kind);
}

static int truncated(struct hp_file *file, uint32_t wanted)
{
	return hp_fail(&file->err, EBADMSG, "read", "truncated pcapng dump file: %llu of the %u bytes of a block",
		       (unsigned long long)(file->size - file->at), wanted);
}

/* Looks at the block at file->at, which stays the next. HP_FRAME, HP_EOF or -errno. */
static int peek_block(struct hp_file *file, struct body *body)
{
	const uint8_t *block;
	uint32_t total;
	int rc = hp_file_have(file, 8);

	if (HP_UNLIKELY(rc <= 0)) {
		if (rc < 0)
			return rc;
		return file->size == file->at ? HP_EOF : truncated(file, 8);
	}
	total = hp_file_u32(file, hp_file_here(file) + 4);
	if (HP_UNLIKELY(total < BLOCK_BYTES_MIN || total % 4))
		return corrupt(file, "block has a length of %u: it must be 12 or more, in fours", total);
	if (HP_UNLIKELY(total > BLOCK_BYTES_MAX))
		return corrupt(file, "pcapng block size %u > maximum 16777216", total);
	rc = hp_file_have(file, total);
	if (HP_UNLIKELY(rc <= 0))
		return rc < 0 ? rc : truncated(file, total);
	block = hp_file_here(file);
	if (HP_UNLIKELY(hp_file_u32(file, block + total - 4) != total))
		return corrupt(file, "block begins with a length of %u and ends with another", total);
	body->kind = hp_file_u32(file, block);
	body->at = block + 8;
	body->bytes = total - BLOCK_BYTES_MIN;
	return HP_FRAME;
}

static int open_section(struct hp_file *file, const struct body *body)
{
	uint32_t order;

	if (body->bytes < 16)
		return too_short(file, body);
	order = hp_file_u32(file, body->at);
	if (order == __builtin_bswap32(ORDER))
		return corrupt(file, "the file has sections with different byte orders (%#x)", order);
	if (order != ORDER)
		return corrupt(file, "a section has the byte order mark %#x", order);
	if (hp_file_u16(file, body->at + 4) != 1)
		return corrupt(file, "a section has the unknown major version %u", hp_file_u16(file, body->at + 4));
	file->interface_nr = 0;
	return 0;
}

static int set_resolution(struct hp_file *file, struct hp_interface *interface, uint8_t code)
{
	uint8_t power = code & 0x7f;

	if (power > (code & 0x80 ? 63 : 19))
		return corrupt(file, "an interface's if_tsresol %#x does not fit into 64 bits", code);
	interface->ticks_per_s = 1;
	if (code & 0x80)
		interface->ticks_per_s <<= power;
	else
		while (power--)
			interface->ticks_per_s *= 10;
	return 0;
}

static int set_offset(struct hp_file *file, struct hp_interface *interface, const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	interface->offset_s = (int64_t)(file->swapped ? __builtin_bswap64(value) : value);
	return 0;
}

/* One option; `seen` has a bit for each that may come once. 0, 1 at the end of options, or -errno. */
static int take_option(struct hp_file *file, struct hp_interface *interface, uint16_t code, uint16_t bytes,
		       const uint8_t *at, unsigned int *seen)
{
	unsigned int size = code == OPTION_TSRESOL ? 1 : code == OPTION_TSOFFSET ? 8 : 0;

	if (code != OPTION_END && !size)
		return 0;
	if (bytes != size)
		return corrupt(file, "an interface has an option with a length of %u that its kind does not have", bytes);
	if (code == OPTION_END)
		return 1;
	if (*seen & 1u << code)
		return corrupt(file, "an interface has option %u twice", code);
	*seen |= 1u << code;
	return size == 1 ? set_resolution(file, interface, *at) : set_offset(file, interface, at);
}

/* Blocks and options are whole fours of bytes, so where there is a rest there is an option's header. */
static int take_options(struct hp_file *file, struct hp_interface *interface, const struct body *body, uint32_t from)
{
	unsigned int seen = 0;
	int rc = 0;

	while (rc == 0 && from < body->bytes) {
		uint16_t code, bytes;

		code = hp_file_u16(file, body->at + from);
		bytes = hp_file_u16(file, body->at + from + 2);
		from += 4;
		if ((bytes + 3u) / 4 * 4 > body->bytes - from)
			return too_short(file, body);
		rc = take_option(file, interface, code, bytes, body->at + from, &seen);
		from += (bytes + 3u) / 4 * 4;
	}
	return rc < 0 ? rc : 0;
}

static struct hp_interface *new_interface(struct hp_file *file)
{
	uint32_t room = file->interface_room ? 2 * file->interface_room : 4;
	struct hp_interface *grown;

	if (file->interface_nr == file->interface_room) {
		grown = realloc(file->interfaces, room * sizeof(*grown));
		if (!grown)
			return NULL;
		file->interfaces = grown;
		file->interface_room = room;
	}
	return &file->interfaces[file->interface_nr];
}

/* libpcap's reading of a snapshot length that says nothing. */
static uint32_t settled_snaplen(uint32_t snaplen)
{
	return snaplen == 0 || snaplen > INT_MAX ? SNAPLEN_MAX : snaplen;
}

static int add_interface(struct hp_file *file, const struct body *body)
{
	struct hp_interface *interface;
	int linktype, rc;

	if (body->bytes < 8)
		return too_short(file, body);
	linktype = hp_file_u16(file, body->at);
	if (file->linktype >= 0 && linktype != file->linktype)
		return corrupt(file, "an interface has a type %u different from the type of the first", linktype);
	if (settled_snaplen(hp_file_u32(file, body->at + 4)) != file->snaplen)
		return corrupt(file, "an interface has a snapshot length %u different from the first's",
			       hp_file_u32(file, body->at + 4));
	interface = new_interface(file);
	if (!interface)
		return hp_fail(&file->err, ENOMEM, "read", "no memory for %u interfaces", file->interface_nr + 1);
	interface->ticks_per_s = 1000000;
	interface->offset_s = 0;
	rc = take_options(file, interface, body, 8);
	if (rc < 0)
		return rc;
	file->linktype = linktype;
	file->interface_nr++;
	return 0;
}

/* As libpcap does, down to where a product does not fit into 64 bits. The usual resolutions need no division. */
static void set_time(struct hp_frame *frame, const struct hp_interface *interface, uint64_t ticks)
{
	uint64_t per_s = interface->ticks_per_s, sec, rest;

	if (per_s == 1000000) {
		sec = ticks / 1000000;
		frame->nsec = (uint32_t)(ticks % 1000000) * 1000;
	} else if (per_s == NS_PER_S) {
		sec = ticks / NS_PER_S;
		frame->nsec = (uint32_t)(ticks % NS_PER_S);
	} else {
		sec = ticks / per_s;
		rest = ticks % per_s;
		if (per_s & (per_s - 1))
			frame->nsec = (uint32_t)(per_s < NS_PER_S ? rest * (NS_PER_S / per_s) : rest / (per_s / NS_PER_S));
		else
			frame->nsec = (uint32_t)(rest * NS_PER_S / per_s);
	}
	frame->sec = (int64_t)(sec + (uint64_t)interface->offset_s);
}

/* What a packet block says of its packet, the first `fixed` bytes of it. */
static int take_packet(struct hp_file *file, struct hp_frame *frame, const struct body *body, uint32_t fixed,
		       uint32_t interface, uint64_t ticks)
{
	if (HP_UNLIKELY(interface >= file->interface_nr))
		return corrupt(file, "a packet is of interface %u, which has no description", interface);
	if (HP_UNLIKELY(frame->caplen > file->snaplen))
		return hp_fail(&file->err, EBADMSG, "read", "invalid packet capture length %u, bigger than snaplen of %u",
			       frame->caplen, file->snaplen);
	if (HP_UNLIKELY(frame->caplen > body->bytes - fixed))
		return too_short(file, body);
	set_time(frame, &file->interfaces[interface], ticks);
	frame->data = (uint8_t *)(uintptr_t)(body->at + fixed);
	return HP_FRAME;
}

/* Enhanced and obsolete packet blocks differ in the width of the interface's number alone. */
static int take_timed(struct hp_file *file, struct hp_frame *frame, const struct body *body)
{
	uint32_t interface;

	if (HP_UNLIKELY(body->bytes < 20))
		return too_short(file, body);
	interface = body->kind == BLOCK_ENHANCED ? hp_file_u32(file, body->at) : hp_file_u16(file, body->at);
	frame->caplen = hp_file_u32(file, body->at + 12);
	frame->len = hp_file_u32(file, body->at + 16);
	return take_packet(file, frame, body, 20, interface,
			   (uint64_t)hp_file_u32(file, body->at + 4) << 32 | hp_file_u32(file, body->at + 8));
}

static int take_simple(struct hp_file *file, struct hp_frame *frame, const struct body *body)
{
	if (body->bytes < 4)
		return too_short(file, body);
	frame->len = hp_file_u32(file, body->at);
	frame->caplen = frame->len < file->snaplen ? frame->len : file->snaplen;
	return take_packet(file, frame, body, 4, 0, 0);
}

/* HP_FRAME for a packet, 0 for what is none, -errno. */
static int take_block(struct hp_file *file, struct hp_frame *frame, const struct body *body)
{
	switch (body->kind) {
	case BLOCK_ENHANCED:
	case BLOCK_PACKET:
		return take_timed(file, frame, body);
	case BLOCK_SIMPLE:
		return take_simple(file, frame, body);
	case BLOCK_INTERFACE:
		return add_interface(file, body);
	case BLOCK_SECTION:
		return open_section(file, body);
	default:
		return 0;
	}
}

int hp_pcapng_next(struct hp_file *file, struct hp_frame *frame)
{
	struct body body;
	int rc;

	do {
		if (HP_UNLIKELY(file->at >= file->pause_at))
			return HP_AGAIN;
		rc = peek_block(file, &body);
		if (HP_UNLIKELY(rc != HP_FRAME))
			return rc;
		rc = take_block(file, frame, &body);
		if (HP_UNLIKELY(rc < 0))
			return rc;
		file->at += body.bytes + BLOCK_BYTES_MIN;
	} while (rc != HP_FRAME);
	return rc;
}
