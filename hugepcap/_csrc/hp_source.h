/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where packets come from: the ring, or libpcap behind `pull`. Every way of reading
 * is written once over hp_source_next(), which never blocks and never needs the GIL.
 */
#ifndef HP_SOURCE_H
#define HP_SOURCE_H

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>

#include "hp_block.h"
#include "hp_ring.h"
#include "hp_sock.h"

#define HP_NONE 0	/* nothing there now: wait */
#define HP_FRAME 1
#define HP_EOF 2
/* A file's filter refused all of a stretch: call again, unless something is to end the read. 3 is HP_BUDGET. */
#define HP_AGAIN 5

/* Matches libpcap's direction values. */
#define HP_DIR_IN 1
#define HP_DIR_OUT 2

/* A filter that runs here: bpf_filter(3PCAP) and its program. Immutable once a source has it. */
struct hp_filter {
	const struct sock_filter *insns[2];	/* for packets coming in, going out */
	unsigned int (*run)(const void *insns, const uint8_t *data, unsigned int len, unsigned int caplen);
	int tests_vlan;
};

struct hp_source {
	struct hp_cursor cur;
	struct hp_ring *ring;		/* NULL: frames come from pull */
	int (*pull)(void *ctx, struct hp_frame *frame);	/* HP_AGAIN, too */
	void *ctx;

	uint32_t index;			/* of the block under cur */
	int held;			/* whether there is one */
	int broken;			/* breakloop() was called; atomic */

	/* what has to be done to a frame before Python sees it */
	enum hp_link link;
	uint32_t snaplen;
	int direction;			/* 0: both */
	int loopback;			/* its packets come twice: those going out are not wanted */
	const struct hp_filter *filter;	/* atomic; NULL: the kernel's does all */
	uint64_t filter_until;		/* blocks up to this count may hold packets of an older filter */
	int plain;			/* nothing of the above applies */
};

/* Call after any of the fields above changed. */
static inline void hp_source_settle(struct hp_source *src)
{
	src->plain = src->link <= HP_LINK_RAW && !src->direction && !src->loopback && !src->filter;
}

/* breakloop() sets it from any thread or signal handler. */
static inline int hp_broken(const struct hp_source *src)
{
	return __atomic_load_n(&src->broken, __ATOMIC_ACQUIRE);
}

static inline void hp_break(struct hp_source *src, int on)
{
	__atomic_store_n(&src->broken, on, __ATOMIC_RELEASE);
}

/* Gives a thread that may be reading another filter. */
static inline void hp_filter_publish(struct hp_source *src, const struct hp_filter *filter)
{
	__atomic_store_n(&src->filter, filter, __ATOMIC_RELEASE);
}

static inline int hp_frame_tagged(const struct hp_frame *frame)
{
	return (frame->status & TP_STATUS_VLAN_VALID) != 0;
}

static inline uint16_t hp_frame_tpid(const struct hp_frame *frame)
{
	return frame->status & TP_STATUS_VLAN_TPID_VALID ? frame->hdr->hv1.tp_vlan_tpid : ETH_P_8021Q;
}

/* By how much hp_frame_finish() makes a packet longer at most: an SLL2 header and a VLAN tag. */
#define HP_FINISH_BYTES_MAX 24u

/* The slow path of hp_source_next(), in hp_source.c: 1 keep, 0 not wanted, -EBADMSG. */
int hp_frame_finish(const struct hp_source *src, struct hp_frame *frame);

static inline void hp_source_release(struct hp_source *src)
{
	if (src->held)
		hp_ring_unpin(src->ring, src->index);
	src->held = 0;
}

/* Takes the next block of the ring: HP_FRAME (it has frames), HP_NONE or -EBADMSG. */
static inline int hp_source_advance(struct hp_source *src, struct hp_cursor *cur)
{
	int rc;

	do {
		hp_source_release(src);
		if (!hp_ring_peek(src->ring, &src->index))
			return HP_NONE;
		src->held = 1;
		rc = hp_cursor_open(cur, (uint8_t *)hp_ring_desc(src->ring, src->index), src->ring->geo.block_bytes);
		if (HP_UNLIKELY(rc < 0))
			return rc;
	} while (cur->left == 0);
	return HP_FRAME;
}

/* Walks one frame of the block under the cursor: HP_FRAME, HP_NONE (its packet is not wanted) or -EBADMSG. */
static inline int hp_source_step(const struct hp_source *src, struct hp_cursor *cur, struct hp_frame *frame,
				 enum hp_touch touch)
{
	int rc = hp_cursor_next(cur, frame, touch);

	if (HP_UNLIKELY(rc < 0)) {
		cur->left = 0;
		return rc;
	}
	if (HP_LIKELY(src->plain && !hp_frame_tagged(frame)))
		return HP_FRAME;

	struct hp_frame finished = *frame;	/* a copy of its own leaves the fast path's in registers */

	rc = hp_frame_finish(src, &finished);
	*frame = finished;
	if (HP_UNLIKELY(rc < 0))
		cur->left = 0;
	return rc;
}

/* The next packet of the block under the cursor: HP_FRAME, HP_NONE (it has no more) or -EBADMSG. */
static inline int hp_source_next_here(const struct hp_source *src, struct hp_cursor *cur, struct hp_frame *frame,
				      enum hp_touch touch)
{
	while (HP_LIKELY(cur->left != 0)) {
		int rc = hp_source_step(src, cur, frame, touch);

		if (HP_LIKELY(rc != HP_NONE))
			return rc;
	}
	return HP_NONE;
}

/*
 * The next packet: HP_FRAME, HP_NONE, HP_EOF, HP_AGAIN, or -errno (-EBADMSG: the ring's contents
 * cannot be right; the rest of that block is given up). `frame` is good until the next call.
 * `cur` is &src->cur, or a loop's own copy of it that goes back when the loop ends: memory that
 * the loop writes to cannot alias that one, so it stays in registers.
 */
static inline int hp_source_next(struct hp_source *src, struct hp_cursor *cur, struct hp_frame *frame,
				 enum hp_touch touch)
{
	int rc;

	if (HP_UNLIKELY(!src->ring))
		return src->pull(src->ctx, frame);
	do {
		rc = hp_source_next_here(src, cur, frame, touch);
		if (HP_LIKELY(rc != HP_NONE))
			return rc;
		rc = hp_source_advance(src, cur);
	} while (rc == HP_FRAME);
	return rc;
}

/* Gives a block back as soon as it is walked, so that poll(2) tells the truth; call when done with a frame. */
static inline void hp_source_settle_block(struct hp_source *src)
{
	if (src->cur.left == 0)
		hp_source_release(src);
}

#endif
