/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The walk of one TPACKET_V3 block, all inline: block -> cursor -> frames.
 *
 * The block is memory shared with the kernel, so every offset is read once and
 * checked against the block before it is used; a block that lies ends the walk
 * with -EBADMSG and is never read outside its own bytes.
 * Layout: struct tpacket_block_desc and tpacket3_hdr in <linux/if_packet.h>.
 */
#ifndef HP_BLOCK_H
#define HP_BLOCK_H

#include <errno.h>
#include <linux/if_packet.h>
#include <stdint.h>
#include <string.h>

#define HP_LIKELY(x) __builtin_expect(!!(x), 1)
#define HP_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HP_READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))

/* Where the kernel puts the sockaddr_ll of a frame, and where that one ends. */
#define HP_SLL_OFFSET TPACKET_ALIGN(sizeof(struct tpacket3_hdr))
#define HP_FRAME_HDRLEN TPACKET3_HDRLEN

/* One packet as every reader sees it. `data` points into the block. */
struct hp_frame {
	uint8_t *data;
	uint32_t caplen;	/* bytes at data */
	uint32_t len;		/* bytes on the wire */
	int64_t sec;
	uint32_t nsec;
	uint32_t status;	/* TP_STATUS_* */
	const struct tpacket3_hdr *hdr;	/* NULL when the frame came from libpcap */
};

/* What remains to be walked of one block. */
struct hp_cursor {
	uint8_t *at;		/* the next frame's header */
	uint8_t *last;		/* the last place of the block where a header finds room */
	uint32_t left;		/* frames not yet walked */
};

/* Opens a block that the kernel has handed over. 0, or -EBADMSG. */
static inline int hp_cursor_open(struct hp_cursor *cur, uint8_t *block, uint32_t block_bytes)
{
	const struct tpacket_block_desc *desc = (const struct tpacket_block_desc *)block;
	uint32_t nr = HP_READ_ONCE(desc->hdr.bh1.num_pkts);
	uint32_t first = HP_READ_ONCE(desc->hdr.bh1.offset_to_first_pkt);

	cur->at = block + first;
	cur->last = block + block_bytes - HP_FRAME_HDRLEN;
	cur->left = 0;
	if (nr == 0)
		return 0;
	if (nr > block_bytes / HP_FRAME_HDRLEN || first < sizeof(*desc) ||
	    first > block_bytes - HP_FRAME_HDRLEN || first % 8 != 0)
		return -EBADMSG;
	cur->left = nr;
	return 0;
}

/* What the next frame says of its packet; call only while left > 0. */
static inline uint32_t hp_cursor_peek_status(const struct hp_cursor *cur)
{
	return HP_READ_ONCE(((const struct tpacket3_hdr *)cur->at)->tp_status);
}

static inline uint32_t hp_cursor_peek_caplen(const struct hp_cursor *cur)
{
	return HP_READ_ONCE(((const struct tpacket3_hdr *)cur->at)->tp_snaplen);
}

/* What the caller is going to touch of each packet: it decides how far ahead memory is fetched. */
enum hp_touch {
	HP_TOUCH_HEADS,		/* the header and the first bytes */
	HP_TOUCH_LANES,		/* the same, of several blocks in turns */
	HP_TOUCH_ALL,		/* every byte: a copy, a hash */
};

/* How far ahead memory is fetched. Measured: 2 KiB is too near for a busy memory bus, 12 KiB gains no more. */
#define HP_AHEAD_BYTES 8192u
#define HP_AHEAD_FRAMES 8u

/*
 * Fetches ahead, the cursor being on the next frame and `next` the length of this one. A ring is read once
 * and in order, so what will be touched is known; the hardware's own prefetcher starts anew in every page.
 * A reader of headers alone skips the bytes between them, on the guess that neighbours are of one length.
 */
static inline void hp_cursor_prefetch(const struct hp_cursor *cur, uint32_t next, enum hp_touch touch)
{
	const uint8_t *at = cur->at;

	if (touch == HP_TOUCH_LANES || (touch == HP_TOUCH_HEADS && next > 256)) {
		__builtin_prefetch(at + HP_AHEAD_FRAMES * (size_t)next);
		__builtin_prefetch(at + HP_AHEAD_FRAMES * (size_t)next + 64);
		return;
	}
	for (uint32_t line = 0; line < next; line += 64)
		__builtin_prefetch(at + HP_AHEAD_BYTES + line);
}

/* Walks one frame; call only while left > 0. 0, or -EBADMSG and the cursor stays: the walk of this block is over. */
static inline int hp_cursor_next(struct hp_cursor *cur, struct hp_frame *frame, enum hp_touch touch)
{
	struct tpacket3_hdr *hdr = (struct tpacket3_hdr *)cur->at;
	uint32_t next = HP_READ_ONCE(hdr->tp_next_offset);
	uint32_t mac = HP_READ_ONCE(hdr->tp_mac);
	uint32_t caplen = HP_READ_ONCE(hdr->tp_snaplen);

	if (HP_UNLIKELY(mac < HP_FRAME_HDRLEN))
		return -EBADMSG;
	if (HP_LIKELY(cur->left > 1)) {
		/* Frames are 8-aligned by the kernel (prb_fill_curr_block) and end before the next; the last one's is 0. */
		if (HP_UNLIKELY((uint64_t)mac + caplen > next || next > cur->last - cur->at || next % 8 != 0))
			return -EBADMSG;
		cur->at += next;
		hp_cursor_prefetch(cur, next, touch);
	} else if (HP_UNLIKELY((uint64_t)mac + caplen > (uint64_t)(cur->last - cur->at) + HP_FRAME_HDRLEN)) {
		return -EBADMSG;
	}
	cur->left--;
	frame->hdr = hdr;
	frame->data = (uint8_t *)hdr + mac;
	frame->caplen = caplen;
	frame->len = hdr->tp_len;
	frame->sec = hdr->tp_sec;
	frame->nsec = hdr->tp_nsec;
	frame->status = hdr->tp_status;
	return 0;
}

/* memcpy without the call for the short packets that make up most of a fast link's. */
static inline void hp_copy(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	if (bytes < 16 || bytes > 256) {
		memcpy(to, from, bytes);
		return;
	}
	for (uint32_t at = 0; at < bytes - 16; at += 16)
		memcpy(to + at, from + at, 16);
	memcpy(to + bytes - 16, from + bytes - 16, 16);
}

static inline const struct sockaddr_ll *hp_frame_sll(const struct hp_frame *frame)
{
	return (const struct sockaddr_ll *)((const uint8_t *)frame->hdr + HP_SLL_OFFSET);
}

#endif
