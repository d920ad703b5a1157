/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Traffic of known content: packets that are a pure function of (spec, sequence
 * number). No state, no system calls.
 *
 * Each is UDP over IPv4 or IPv6 with right checksums. The UDP payload starts with
 * a magic of 6 bytes and the sequence number in 6 bytes, big-endian; the rest is
 * pseudo-random. Addresses are those set aside for benchmarks (RFC 2544, RFC 5180).
 */
#ifndef HP_GEN_H
#define HP_GEN_H

#include <stdint.h>

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

/* The least bytes_min that leaves room for headers and sequence number. */
uint32_t hp_gen_least(const struct hp_gen_spec *spec);

/* Writes packet number `sequence` to `packet` (bytes_max bytes of room); its length. */
uint32_t hp_gen_build(const struct hp_gen_spec *spec, uint64_t sequence, uint8_t *packet);

/* The sequence number of a packet, whatever headers stand before it; -1 where there is none. */
int64_t hp_gen_sequence(const uint8_t *packet, uint64_t bytes);

#endif
