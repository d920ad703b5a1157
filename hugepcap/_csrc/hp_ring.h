/* SPDX-License-Identifier: BSD-3-Clause */
/* The TPACKET_V3 ring: its geometry, the mapping, and peek / release of whole blocks. */
#ifndef HP_RING_H
#define HP_RING_H

#include <linux/if_packet.h>
#include <stddef.h>
#include <stdint.h>

#include "hp_block.h"
#include "hp_err.h"

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
};

/* Blocks for `bytes` of ring whose packets are cut at `snaplen` bytes. */
void hp_geometry_fit(struct hp_geometry *geo, uint64_t bytes, uint32_t snaplen, uint32_t retire_ms);

/*
 * Gives the socket a ring and maps it. Where memory is short it asks for an eighth less
 * until two blocks are left; ring->geo says what it got. 0 or -errno.
 */
int hp_ring_open(struct hp_ring *ring, int fd, const struct hp_geometry *want, struct hp_err *err);
void hp_ring_close(struct hp_ring *ring);

static inline struct tpacket_block_desc *hp_ring_desc(const struct hp_ring *ring, uint32_t index)
{
	return (struct tpacket_block_desc *)(ring->map + (size_t)index * ring->geo.block_bytes);
}

/* Whether the kernel has handed a block over. Pairs with the store in prb_flush_block / prb_close_block. */
static inline int hp_ring_ready(const struct hp_ring *ring, uint32_t index)
{
	return (__atomic_load_n(&hp_ring_desc(ring, index)->hdr.bh1.block_status, __ATOMIC_ACQUIRE) &
		TP_STATUS_USER) != 0;
}

/* Takes the next block: 1 and *index, or 0 when the kernel still has it. */
static inline int hp_ring_peek(struct hp_ring *ring, uint32_t *index)
{
	if (!hp_ring_ready(ring, ring->head))
		return 0;
	*index = ring->head;
	ring->head = ring->head + 1 == ring->geo.block_nr ? 0 : ring->head + 1;
	ring->taken++;
	return 1;
}

/* Gives a block back. Pairs with the kernel's read of block_status in prb_dispatch_next_block. */
static inline void hp_ring_release(const struct hp_ring *ring, uint32_t index)
{
	__atomic_store_n(&hp_ring_desc(ring, index)->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

/* Blocks handed over and not yet taken. */
uint32_t hp_ring_pending(const struct hp_ring *ring);

#endif
