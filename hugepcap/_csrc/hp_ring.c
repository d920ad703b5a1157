/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_ring.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a frame needs beside its snaplen bytes: block and frame headers, 16-byte alignment, a long link header. */
#define HP_FRAME_OVERHEAD 512u
/* Above this many blocks the blocks grow instead. */
#define HP_BLOCK_NR_GOAL 4096u

static uint32_t fitting_block(uint64_t bytes, uint32_t snaplen)
{
	uint32_t block = HP_BLOCK_BYTES_MIN;

	while (block < HP_BLOCK_BYTES_MAX &&
	       (block < snaplen + HP_FRAME_OVERHEAD || bytes / block > HP_BLOCK_NR_GOAL))
		block *= 2;
	return block;
}

void hp_geometry_fit(struct hp_geometry *geo, uint64_t bytes, uint32_t block_bytes, uint32_t snaplen,
		     uint32_t retire_ms)
{
	uint64_t nr;

	geo->block_bytes = block_bytes ? block_bytes : fitting_block(bytes, snaplen);
	nr = (bytes + geo->block_bytes - 1) / geo->block_bytes;
	if (nr < HP_BLOCK_NR_MIN)
		nr = HP_BLOCK_NR_MIN;
	geo->block_nr = nr > HP_BLOCK_NR_MAX ? HP_BLOCK_NR_MAX : (uint32_t)nr;
	geo->retire_ms = retire_ms;
}

static int ring_request(struct hp_ring *ring, int fd, const struct hp_ring_want *want, struct hp_err *err)
{
	struct tpacket_req3 req = {
		.tp_block_size = ring->geo.block_bytes,
		.tp_block_nr = ring->geo.block_nr,
		.tp_frame_size = ring->geo.block_bytes,	/* V3 packs frames of any length: one "frame" a block */
		.tp_frame_nr = ring->geo.block_nr,
		.tp_retire_blk_tov = ring->geo.retire_ms,
		.tp_feature_req_word = TP_FT_REQ_FILL_RXHASH,
	};
	struct hp_want memory = {
		.policy = want->policy,
		.strict = want->strict,
		.mount = want->mount,
		.req = &req,
		.req_bytes = sizeof(req),
	};

	return hp_grant_take(&ring->grant, fd, &memory, err);
}

static void ring_forget(struct hp_ring *ring, int fd)
{
	struct tpacket_req3 none = { 0 };

	setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none));
	hp_mem_close(&ring->grant.mem);
}

/* Memory of ours is mapped from its own descriptor; pages there are touched now, not when packets wait. */
static int ring_map(struct hp_ring *ring, int fd, struct hp_err *err)
{
	int ours = ring->grant.mem.fd >= 0;

	ring->map_bytes = ours ? ring->grant.mem.bytes : (size_t)ring->geo.block_bytes * ring->geo.block_nr;
	ring->map = mmap(NULL, ring->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (ours ? MAP_POPULATE : 0),
			 ours ? ring->grant.mem.fd : fd, 0);
	if (ring->map == MAP_FAILED) {
		ring->map = NULL;
		return hp_fail(err, errno, "mmap", "%zu bytes of ring", ring->map_bytes);
	}
	hp_mem_close(&ring->grant.mem);	/* the mapping keeps it */
	hp_live(HP_LIVE_RINGS, 1);
	return 0;
}

static int ring_try(struct hp_ring *ring, int fd, const struct hp_ring_want *want, struct hp_err *err)
{
	int rc = ring_request(ring, fd, want, err);

	if (rc < 0)
		return rc;
	rc = ring_map(ring, fd, err);
	if (rc < 0)
		ring_forget(ring, fd);
	return rc;
}

int hp_ring_open(struct hp_ring *ring, int fd, const struct hp_ring_want *want, struct hp_err *err)
{
	int version = TPACKET_V3;
	int rc;

	memset(ring, 0, sizeof(*ring));
	ring->geo = want->geo;
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0)
		return hp_fail(err, errno, "PACKET_VERSION", "TPACKET_V3; it takes Linux 3.2 and CONFIG_PACKET");
	while ((rc = ring_try(ring, fd, want, err)) == -ENOMEM && !want->strict && ring->geo.block_nr > HP_BLOCK_NR_MIN)
		ring->geo.block_nr -= (ring->geo.block_nr + 7) / 8;
	if (rc < 0)
		return rc;
	ring->pins = calloc(ring->geo.block_nr, sizeof(*ring->pins));
	if (ring->pins)
		return 0;
	hp_ring_close(ring);
	return hp_fail(err, ENOMEM, "ring", "a count for each of %u blocks", ring->geo.block_nr);
}

void hp_ring_close(struct hp_ring *ring)
{
	if (!ring->map)
		return;
	hp_live(HP_LIVE_RINGS, -1);
	HP_OPEN(ring->map, ring->map_bytes);	/* what comes to lie there next is not this ring's */
	munmap(ring->map, ring->map_bytes);
	free(ring->pins);
	ring->map = NULL;
	ring->pins = NULL;
}

int hp_ring_node(const struct hp_ring *ring)
{
	int node = -1;

	if (syscall(SYS_get_mempolicy, &node, NULL, 0, ring->map, MPOL_F_NODE | MPOL_F_ADDR) < 0)
		return -1;
	return node;
}

uint32_t hp_ring_pending(const struct hp_ring *ring)
{
	uint32_t index = ring->head;
	uint32_t nr = 0;

	while (nr < ring->geo.block_nr && hp_ring_ready(ring, index)) {
		index = hp_ring_after(ring, index);
		nr++;
	}
	return nr;
}

/*
 * A block that was taken but not given back reads as handed over, too, so only a block that has gone back to the kernel
 * ends the count early; by then it was counted in `taken`, which tells.
 */
uint64_t hp_ring_handed_over(const struct hp_ring *ring)
{
	uint64_t taken = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE), before;
	uint32_t nr;

	do {
		uint32_t index = HP_READ_ONCE(ring->head);

		before = taken;
		for (nr = 0; nr < ring->geo.block_nr && hp_ring_is_users(ring, index); nr++)
			index = hp_ring_after(ring, index);
		taken = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE);
	} while (taken != before);
	return taken + nr;
}
