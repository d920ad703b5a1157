/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A sender: puts generated packets, or given ones, on a device at a pace, over
 * sendmmsg(2) or a PACKET_TX_RING, and counts what the kernel took.
 */
#ifndef HP_SEND_H
#define HP_SEND_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "hp_err.h"
#include "hp_gen.h"

#define HP_SEND_BATCH 64u

/* Packets on their way to the kernel by sendmmsg(). */
struct hp_messages {
	uint8_t *slots;			/* HP_SEND_BATCH of slot_bytes each */
	struct mmsghdr headers[HP_SEND_BATCH];
	struct iovec parts[HP_SEND_BATCH];
	unsigned int filled, flushed;
};

/* The same in a ring that is shared with the kernel. Frames from tail to asked were taken and are not yet free
 * again, those from asked to head are to be taken; all three count up for ever. */
struct hp_tx_ring {
	uint8_t *map;			/* NULL: no ring, sendmmsg() */
	size_t map_bytes;
	uint32_t frame_bytes, block_bytes, frame_nr;
	uint64_t head, asked, tail;
};

/* A packet of hp_sender.data. */
struct hp_item {
	uint64_t ts_ns;
	uint64_t offset;
	uint32_t bytes;
};

struct hp_sender {
	/* what is sent: `left` packets of spec from number `next`, or of `items` where there are */
	struct hp_gen_spec spec;
	uint64_t next, left;
	const uint8_t *data;
	const struct hp_item *items;

	/* how fast; all 0: as fast as it goes */
	uint64_t rate_pps, rate_bps;
	double speed;			/* times the pace of the items' time stamps */
	int64_t start_ns;		/* CLOCK_MONOTONIC of the first packet; 0: none yet */
	uint64_t first_ts_ns;
	uint64_t staged, staged_bytes;	/* since start_ns */

	/* what became of it; bytes with the link-layer header, without FCS */
	uint64_t sent, bytes;
	uint64_t refused;		/* items that the device cannot carry: too long, or shorter than its header */

	int fd;
	char device[IFNAMSIZ];
	int64_t no_carrier_since_ns;	/* CLOCK_MONOTONIC; 0: it has one, or has taken all so far */
	uint32_t longest;		/* packet that the device carries, without a VLAN tag */
	uint32_t slot_bytes;
	struct hp_messages messages;
	struct hp_tx_ring ring;
};

/* A socket on the device; fills spec.ethernet and longest from it. qdisc_bypass also hides the packets from
 * captures of what goes out on the device. */
int hp_sender_open(struct hp_sender *sender, const char *device, int qdisc_bypass, struct hp_err *err);
/* Room for packets of slot_bytes, in a ring if so wanted. */
int hp_sender_prepare(struct hp_sender *sender, uint32_t slot_bytes, int ring, struct hp_err *err);

/* Sends for about slice_ms: 1 when the kernel has taken all, 0 to be called again, or -errno. */
int hp_sender_run(struct hp_sender *sender, uint32_t slice_ms, struct hp_err *err);
/* Waits for about slice_ms: 1 when the device is done with all of the ring's packets. */
int hp_sender_settle(struct hp_sender *sender, uint32_t slice_ms);
/* The next packet starts a pace of its own. */
void hp_sender_restart(struct hp_sender *sender);
void hp_sender_close(struct hp_sender *sender);

/* ---- hp_tx_ring.c ---- */

int hp_tx_ring_open(struct hp_tx_ring *ring, int fd, uint32_t packet_bytes, struct hp_err *err);
void hp_tx_ring_close(struct hp_tx_ring *ring);
/* Room for a packet, or NULL while there is none. */
uint8_t *hp_tx_ring_slot(struct hp_tx_ring *ring);
/* The packet in the last slot is to be sent. */
void hp_tx_ring_commit(struct hp_tx_ring *ring, uint32_t bytes);
/* Has the kernel send; adds what it took to *packets and *bytes. 0 or -errno. */
int hp_tx_ring_kick(struct hp_tx_ring *ring, int fd, uint64_t *packets, uint64_t *bytes);
/* How many are with the device. */
uint64_t hp_tx_ring_busy(struct hp_tx_ring *ring);

#endif
