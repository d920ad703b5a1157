/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* What a frame needs beside its snaplen bytes: block and frame headers, 16-byte alignment, a long link header. */
#define HP_FRAME_OVERHEAD 512u
/* Above this many blocks the blocks grow instead. */
#define HP_BLOCK_NR_GOAL 4096u

void hp_geometry_fit(struct hp_geometry *geo, uint64_t bytes, uint32_t snaplen, uint32_t retire_ms)
{
	uint64_t nr;

	geo->block_bytes = HP_BLOCK_BYTES_MIN;
	while (geo->block_bytes < HP_BLOCK_BYTES_MAX &&
	       (geo->block_bytes < snaplen + HP_FRAME_OVERHEAD || bytes / geo->block_bytes > HP_BLOCK_NR_GOAL))
		geo->block_bytes *= 2;
	nr = (bytes + geo->block_bytes - 1) / geo->block_bytes;
	if (nr < HP_BLOCK_NR_MIN)
		nr = HP_BLOCK_NR_MIN;
	geo->block_nr = nr > HP_BLOCK_NR_MAX ? HP_BLOCK_NR_MAX : (uint32_t)nr;
	geo->retire_ms = retire_ms;
}

static int ring_request(int fd, const struct hp_geometry *geo)
{
	struct tpacket_req3 req = {
		.tp_block_size = geo->block_bytes,
		.tp_block_nr = geo->block_nr,
		.tp_frame_size = geo->block_bytes,	/* V3 packs frames of any length: one "frame" a block */
		.tp_frame_nr = geo->block_nr,
		.tp_retire_blk_tov = geo->retire_ms,
		.tp_feature_req_word = TP_FT_REQ_FILL_RXHASH,
	};

	return setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0 ? -errno : 0;
}

static void ring_forget(int fd)
{
	struct tpacket_req3 none = { 0 };

	setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none));
}

static int ring_try(struct hp_ring *ring, int fd)
{
	int rc = ring_request(fd, &ring->geo);

	if (rc < 0)
		return rc;
	ring->map_bytes = (size_t)ring->geo.block_bytes * ring->geo.block_nr;
	ring->map = mmap(NULL, ring->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ring->map != MAP_FAILED)
		return 0;
	rc = -errno;
	ring->map = NULL;
	ring_forget(fd);
	return rc;
}

int hp_ring_open(struct hp_ring *ring, int fd, const struct hp_geometry *want, struct hp_err *err)
{
	int version = TPACKET_V3;
	int rc;

	memset(ring, 0, sizeof(*ring));
	ring->geo = *want;
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0)
		return hp_fail(err, errno, "PACKET_VERSION", "TPACKET_V3; it takes Linux 3.2 and CONFIG_PACKET");
	while ((rc = ring_try(ring, fd)) == -ENOMEM && ring->geo.block_nr > HP_BLOCK_NR_MIN)
		ring->geo.block_nr -= (ring->geo.block_nr + 7) / 8;
	if (rc < 0)
		return hp_fail(err, -rc, "PACKET_RX_RING", "%u blocks of %u bytes; a smaller set_buffer_size() may fit",
			       ring->geo.block_nr, ring->geo.block_bytes);
	return 0;
}

void hp_ring_close(struct hp_ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->map_bytes);
	ring->map = NULL;
}

uint32_t hp_ring_pending(const struct hp_ring *ring)
{
	uint32_t index = ring->head;
	uint32_t nr = 0;

	while (nr < ring->geo.block_nr && hp_ring_ready(ring, index)) {
		index = index + 1 == ring->geo.block_nr ? 0 : index + 1;
		nr++;
	}
	return nr;
}
