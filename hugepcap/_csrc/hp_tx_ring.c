/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "hp_send.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAME_NR 1024u
#define BLOCK_BYTES (256u << 10)
/* The kernel looks for the packet behind the header, not behind the address that received packets have there. */
#define DATA_OFFSET TPACKET_ALIGN(sizeof(struct tpacket2_hdr))

static struct tpacket2_hdr *frame(const struct hp_tx_ring *ring, uint64_t number)
{
	uint32_t per_block = ring->block_bytes / ring->frame_bytes;
	uint32_t index = (uint32_t)(number % ring->frame_nr);

	return (struct tpacket2_hdr *)(ring->map + (size_t)(index / per_block) * ring->block_bytes +
				       (size_t)(index % per_block) * ring->frame_bytes);
}

/* The partners are __packet_get_status() and __packet_set_status() of net/packet/af_packet.c. */
static uint32_t status(const struct hp_tx_ring *ring, uint64_t number)
{
	return __atomic_load_n(&frame(ring, number)->tp_status, __ATOMIC_ACQUIRE);
}

int hp_tx_ring_open(struct hp_tx_ring *ring, int fd, uint32_t packet_bytes, struct hp_err *err)
{
	int version = TPACKET_V2;
	struct tpacket_req req = { .tp_frame_nr = FRAME_NR, .tp_frame_size = 2048 };

	while (req.tp_frame_size < packet_bytes + DATA_OFFSET)
		req.tp_frame_size *= 2;
	req.tp_block_size = req.tp_frame_size > BLOCK_BYTES ? req.tp_frame_size : BLOCK_BYTES;
	req.tp_block_nr = FRAME_NR / (req.tp_block_size / req.tp_frame_size);
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &req, sizeof(req)) < 0)
		return hp_fail(err, errno, "PACKET_TX_RING", "%u blocks of %u bytes", req.tp_block_nr,
			       req.tp_block_size);
	ring->frame_bytes = req.tp_frame_size;
	ring->block_bytes = req.tp_block_size;
	ring->frame_nr = req.tp_frame_nr;
	ring->map_bytes = (size_t)req.tp_block_size * req.tp_block_nr;
	ring->map = mmap(NULL, ring->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (ring->map != MAP_FAILED)
		return 0;
	ring->map = NULL;
	return hp_fail(err, errno, "mmap", "a TX ring of %zu bytes", ring->map_bytes);
}

void hp_tx_ring_close(struct hp_tx_ring *ring)
{
	if (ring->map)
		munmap(ring->map, ring->map_bytes);
	ring->map = NULL;
}

uint64_t hp_tx_ring_busy(struct hp_tx_ring *ring)
{
	while (ring->tail < ring->asked && status(ring, ring->tail) == TP_STATUS_AVAILABLE)
		ring->tail++;
	return ring->asked - ring->tail;
}

uint8_t *hp_tx_ring_slot(struct hp_tx_ring *ring)
{
	if (ring->head - ring->tail == ring->frame_nr)
		(void)hp_tx_ring_busy(ring);
	if (ring->head - ring->tail == ring->frame_nr)
		return NULL;
	return (uint8_t *)frame(ring, ring->head) + DATA_OFFSET;
}

void hp_tx_ring_commit(struct hp_tx_ring *ring, uint32_t bytes)
{
	struct tpacket2_hdr *header = frame(ring, ring->head++);

	header->tp_len = bytes;
	__atomic_store_n(&header->tp_status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
}

int hp_tx_ring_kick(struct hp_tx_ring *ring, int fd, uint64_t *packets, uint64_t *bytes)
{
	int rc = send(fd, NULL, 0, MSG_DONTWAIT) < 0 ? -errno : 0;

	for (; ring->asked < ring->head; ring->asked++) {
		uint32_t now = status(ring, ring->asked);

		/* a frame that was refused waits again, or has the wrong format and rc says why */
		if (now & (TP_STATUS_SEND_REQUEST | TP_STATUS_WRONG_FORMAT))
			break;
		++*packets;
		*bytes += frame(ring, ring->asked)->tp_len;
	}
	return rc;
}
