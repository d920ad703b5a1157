/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traffic of known content: packets that are a pure function of (spec, sequence
 * number), and a sender that puts a run of them on a device.
 *
 * Each is UDP over IPv4 or IPv6 with right checksums. The UDP payload starts with
 * a magic of 6 bytes and the sequence number in 6 bytes, big-endian; the rest is
 * pseudo-random. Addresses are those set aside for benchmarks (RFC 2544, RFC 5180).
 */
#ifndef HP_GEN_H
#define HP_GEN_H

#include <net/if.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "hp_err.h"

#define HP_GEN_BATCH 64u
#define HP_GEN_BYTES_MAX 65535u
#define HP_GEN_SEQUENCE_MAX ((1ull << 48) - 1)

struct hp_gen_spec {
	uint64_t seed;
	uint32_t bytes_min;	/* of the whole packet, link-layer header and tag included, without FCS */
	uint32_t bytes_max;
	uint32_t flows;		/* packet n belongs to flow n % flows */
	int vlan;		/* TCI of an 802.1Q tag in the packet; -1: none */
	int ipv6;
	int ethernet;		/* 0: packets start with their IP header */
};

/* ---- building: no state, no system calls ---- */

/* The least bytes_min that leaves room for headers and sequence number. */
uint32_t hp_gen_least(const struct hp_gen_spec *spec);

/* Writes packet number `sequence` to `packet` (bytes_max bytes of room); its length. */
uint32_t hp_gen_build(const struct hp_gen_spec *spec, uint64_t sequence, uint8_t *packet);

/* The sequence number of a packet, whatever headers stand before it; -1 where there is none. */
int64_t hp_gen_sequence(const uint8_t *packet, uint64_t bytes);

/* ---- sending ---- */

struct hp_sender {
	struct hp_gen_spec spec;
	uint64_t next;			/* sequence number of the next packet to build */
	uint64_t left;			/* packets still to send */
	uint64_t rate_pps;		/* 0: as fast as it goes */
	uint64_t sent, bytes;
	int64_t start_ns;		/* CLOCK_MONOTONIC of the first packet */

	int fd;
	char device[IFNAMSIZ];
	uint8_t *slots;			/* HP_GEN_BATCH packets of bytes_max each */
	struct mmsghdr messages[HP_GEN_BATCH];
	struct iovec parts[HP_GEN_BATCH];
	unsigned int staged, flushed;	/* of the batch: built, and sent */
};

/* A socket on the device; fills spec.ethernet from the device's kind. qdisc_bypass also hides the packets
 * from captures of what goes out on the device. */
int hp_sender_open(struct hp_sender *sender, const char *device, int qdisc_bypass, struct hp_err *err);
int hp_sender_prepare(struct hp_sender *sender, struct hp_err *err);	/* after spec is complete */

/* Sends for about slice_ms: 1 when all is sent, 0 to be called again, or -errno. */
int hp_sender_run(struct hp_sender *sender, uint32_t slice_ms, struct hp_err *err);
void hp_sender_close(struct hp_sender *sender);

#endif
