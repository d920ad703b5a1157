/* SPDX-License-Identifier: BSD-3-Clause */
/* The TPACKET_V3 ring: its geometry, the mapping, and peek / release of whole blocks. */
#ifndef HP_RING_H
#define HP_RING_H

#include <linux/if_packet.h>
#include <stddef.h>
#include <stdint.h>

#include "hp_block.h"
#include "hp_err.h"
#include "hp_live.h"
#include "hp_mem.h"

#define HP_BLOCK_BYTES_MIN (256u << 10)
#define HP_BLOCK_BYTES_MAX (2u << 20)
/* af_packet keeps the active block's number in 16 bits: more blocks lose step. */
#define HP_BLOCK_NR_MAX 65535u
#define HP_BLOCK_NR_MIN 2u
#define HP_RING_BYTES_MAX ((uint64_t)HP_BLOCK_NR_MAX * HP_BLOCK_BYTES_MAX)

struct hp_geometry {
	uint32_t block_bytes;
	uint32_t block_nr;
	uint32_t retire_ms;	/* the kernel hands over an unfilled block after this time */
};

struct hp_ring {
	struct hp_geometry geo;
	uint8_t *map;
	size_t map_bytes;
	uint32_t head;		/* the block to be peeked at next */
	uint64_t taken;		/* blocks peeked so far; only the reading thread writes it */
	uint64_t released;	/* blocks given back so far; atomic */
	uint32_t *pins;		/* per block: who still needs it, the reader or a batch; atomic */
	struct hp_grant grant;	/* where its memory came from, and why not from somewhere better */
};

/* What a ring is to be like. */
struct hp_ring_want {
	struct hp_geometry geo;
	enum hp_policy policy;
	int strict;		/* this memory and this size, or none */
	const char *mount;	/* hugetlbfs for the policy hugetlb, or NULL: memfd */
};

/* Blocks for `bytes` of ring whose packets are cut at `snaplen` bytes; block_bytes 0: as suits them. */
void hp_geometry_fit(struct hp_geometry *geo, uint64_t bytes, uint32_t block_bytes, uint32_t snaplen,
		     uint32_t retire_ms);

/*
 * Gives the socket a ring and maps it. Where memory is short it asks for an eighth less
 * until two blocks are left; ring->geo says what it got. 0 or -errno.
 */
int hp_ring_open(struct hp_ring *ring, int fd, const struct hp_ring_want *want, struct hp_err *err);
void hp_ring_close(struct hp_ring *ring);

/* The NUMA node of the ring's first block, or -1 where the kernel does not tell. */
int hp_ring_node(const struct hp_ring *ring);

static inline struct tpacket_block_desc *hp_ring_desc(const struct hp_ring *ring, uint32_t index)
{
	return (struct tpacket_block_desc *)(ring->map + (size_t)index * ring->geo.block_bytes);
}

/* Everything in a block but its status is the owner's alone. */
static inline void hp_ring_block_taken(struct hp_ring *ring, uint32_t index)
{
	hp_live(HP_LIVE_BLOCKS, 1);
	HP_OPEN(hp_ring_desc(ring, index) + 1, ring->geo.block_bytes - sizeof(struct tpacket_block_desc));
}

static inline void hp_ring_block_given(struct hp_ring *ring, uint32_t index)
{
	hp_live(HP_LIVE_BLOCKS, -1);
	HP_SHUT(hp_ring_desc(ring, index) + 1, ring->geo.block_bytes - sizeof(struct tpacket_block_desc));
}

static inline uint32_t hp_ring_after(const struct hp_ring *ring, uint32_t index)
{
	return index + 1 == ring->geo.block_nr ? 0 : index + 1;
}

/*
 * Whether the kernel has handed a block over, and not got it back. Pairs with the store in prb_flush_block /
 * prb_close_block.
 */
static inline int hp_ring_is_users(const struct hp_ring *ring, uint32_t index)
{
	return (__atomic_load_n(&hp_ring_desc(ring, index)->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
}

/* And that nobody here has it yet: a pinned block is one of the last round, the reader has come full circle. */
static inline int hp_ring_ready(const struct hp_ring *ring, uint32_t index)
{
	return __atomic_load_n(&ring->pins[index], __ATOMIC_ACQUIRE) == 0 && hp_ring_is_users(ring, index);
}

/* Takes and pins the next block: 1 and *index, or 0 when the kernel still has it. */
static inline int hp_ring_peek(struct hp_ring *ring, uint32_t *index)
{
	if (!hp_ring_ready(ring, ring->head))
		return 0;
	*index = ring->head;
	ring->head = hp_ring_after(ring, ring->head);
	__atomic_store_n(&ring->taken, ring->taken + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&ring->pins[*index], 1, __ATOMIC_RELAXED);
	hp_ring_block_taken(ring, *index);
	return 1;
}

/* Takes the last peek back: that block is still the next one. */
static inline void hp_ring_unpeek(struct hp_ring *ring, uint32_t index)
{
	hp_ring_block_given(ring, index);
	__atomic_store_n(&ring->pins[index], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&ring->taken, ring->taken - 1, __ATOMIC_RELEASE);
	ring->head = index;
}

/* One more needs a block that is pinned already. */
static inline void hp_ring_pin(const struct hp_ring *ring, uint32_t index)
{
	__atomic_add_fetch(&ring->pins[index], 1, __ATOMIC_RELAXED);
}

/* One less does; the last gives it back. Pairs with the kernel's read of block_status in prb_dispatch_next_block. */
static inline void hp_ring_unpin(struct hp_ring *ring, uint32_t index)
{
	uint32_t pins = __atomic_load_n(&ring->pins[index], __ATOMIC_ACQUIRE);

	/* The status goes before the last pin: without one, a block that still reads USER would be taken again. */
	do {
		if (pins == 1) {
			hp_ring_block_given(ring, index);
			__atomic_store_n(&hp_ring_desc(ring, index)->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		}
	} while (!__atomic_compare_exchange_n(&ring->pins[index], &pins, pins - 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	if (pins == 1)
		__atomic_add_fetch(&ring->released, 1, __ATOMIC_RELAXED);
}

/* Blocks handed over and not yet taken. */
uint32_t hp_ring_pending(const struct hp_ring *ring);

/* Blocks handed over since the ring was opened, or more, while another thread may be taking some. */
uint64_t hp_ring_handed_over(const struct hp_ring *ring);

#endif
