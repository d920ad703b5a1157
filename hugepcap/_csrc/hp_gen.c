/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "hp_gen.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <string.h>

#define TAG_BYTES 4u
#define IPV4_BYTES 20u
#define IPV6_BYTES 40u
#define UDP_BYTES 8u
#define MAGIC_BYTES 6u
#define MARK_BYTES (MAGIC_BYTES + 6u)
/* The deepest headers that are looked behind for the mark: SLL2, two tags, IPv6, UDP. */
#define MARK_WITHIN (20u + 2 * TAG_BYTES + IPV6_BYTES + UDP_BYTES)

static const uint8_t magic[MAGIC_BYTES] = { 'H', 'P', 'S', 'E', 'Q', 0xc7 };

/* splitmix64: one multiply-and-shift round gives each (seed, number) its own 64 bits. */
static uint64_t mix(uint64_t seed, uint64_t number)
{
	uint64_t z = seed + (number + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put48(uint8_t *at, uint64_t value)
{
	for (int i = 0; i < 6; i++)
		at[i] = (uint8_t)(value >> (40 - 8 * i));
}

/* Adds bytes, as big-endian 16-bit words, to a one's complement sum (RFC 1071). */
static uint64_t sum_words(uint64_t sum, const uint8_t *at, uint32_t bytes)
{
	uint32_t i;

	for (i = 0; i + 1 < bytes; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	if (i < bytes)
		sum += (uint32_t)at[i] << 8;
	return sum;
}

static uint16_t checksum(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t l2_bytes(const struct hp_gen_spec *spec)
{
	if (!spec->ethernet)
		return 0;
	return ETH_HLEN + (spec->vlan >= 0 ? TAG_BYTES : 0);
}

static uint32_t ip_bytes(const struct hp_gen_spec *spec)
{
	return spec->ipv6 ? IPV6_BYTES : IPV4_BYTES;
}

uint32_t hp_gen_least(const struct hp_gen_spec *spec)
{
	return l2_bytes(spec) + ip_bytes(spec) + UDP_BYTES + MARK_BYTES;
}

static uint32_t size_of(const struct hp_gen_spec *spec, uint64_t sequence)
{
	uint32_t span = spec->bytes_max - spec->bytes_min + 1;

	return spec->bytes_min + (uint32_t)(mix(~spec->seed, sequence) % span);
}

static void build_ethernet(const struct hp_gen_spec *spec, uint64_t flow, uint8_t *at)
{
	const uint64_t local_unicast = 0x020000000000ull;

	put48(at, local_unicast | (mix(spec->seed ^ 1, flow) & 0xffffffffffull));
	put48(at + ETH_ALEN, local_unicast | (mix(spec->seed ^ 2, flow) & 0xffffffffffull));
	at += 2 * ETH_ALEN;
	if (spec->vlan >= 0) {
		put16(at, ETH_P_8021Q);
		put16(at + 2, (uint32_t)spec->vlan);
		at += TAG_BYTES;
	}
	put16(at, spec->ipv6 ? ETH_P_IPV6 : ETH_P_IP);
}

/* 198.18.0.0/16 to 198.19.0.0/16. */
static void build_ipv4(const struct hp_gen_spec *spec, uint64_t flow, uint64_t sequence, uint8_t *at, uint32_t bytes)
{
	uint64_t hosts = mix(spec->seed ^ 3, flow);

	memset(at, 0, IPV4_BYTES);
	at[0] = 0x45;
	put16(at + 2, bytes);
	put16(at + 4, (uint16_t)sequence);
	at[8] = 64;
	at[9] = IPPROTO_UDP;
	put16(at + 12, 198u << 8 | 18);
	put16(at + 14, (uint16_t)hosts);
	put16(at + 16, 198u << 8 | 19);
	put16(at + 18, (uint16_t)(hosts >> 16));
	put16(at + 10, checksum(sum_words(0, at, IPV4_BYTES)));
}

/* 2001:2::/48, the host parts random. */
static void build_ipv6(const struct hp_gen_spec *spec, uint64_t flow, uint8_t *at, uint32_t bytes)
{
	memset(at, 0, IPV6_BYTES);
	at[0] = 0x60;
	put16(at + 4, bytes - IPV6_BYTES);
	at[6] = IPPROTO_UDP;
	at[7] = 64;
	for (int i = 0; i < 2; i++) {
		uint8_t *address = at + 8 + 16 * i;

		put16(address, 0x2001);
		put16(address + 2, 0x0002);
		put48(address + 10, mix(spec->seed ^ 3, 2 * flow + i));
	}
}

static void build_payload(const struct hp_gen_spec *spec, uint64_t sequence, uint8_t *at, uint32_t bytes)
{
	uint64_t word = mix(spec->seed ^ 4, sequence);
	uint32_t i;

	memcpy(at, magic, MAGIC_BYTES);
	put48(at + MAGIC_BYTES, sequence);
	for (i = MARK_BYTES; i + 8 <= bytes; i += 8) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		memcpy(at + i, &word, 8);
	}
	memcpy(at + i, &word, bytes - i);
}

static void build_udp(const struct hp_gen_spec *spec, uint64_t flow, uint8_t *at, uint32_t bytes,
		      const uint8_t *addresses)
{
	uint64_t ports = mix(spec->seed ^ 5, flow);
	uint16_t sum;

	put16(at, 1024 + (uint32_t)(ports & 0xffff) % 64512);
	put16(at + 2, 1024 + (uint32_t)(ports >> 16 & 0xffff) % 64512);
	put16(at + 4, bytes);
	put16(at + 6, 0);
	/* the pseudo-header: both addresses, the protocol, the length */
	sum = checksum(sum_words(IPPROTO_UDP + bytes, addresses, spec->ipv6 ? 32 : 8) + sum_words(0, at, bytes));
	put16(at + 6, sum ? sum : 0xffff);
}

uint32_t hp_gen_build(const struct hp_gen_spec *spec, uint64_t sequence, uint8_t *packet)
{
	uint64_t flow = sequence % spec->flows;
	uint32_t bytes = size_of(spec, sequence);
	uint8_t *ip = packet + l2_bytes(spec);
	uint8_t *udp = ip + ip_bytes(spec);
	uint8_t *end = packet + bytes;

	if (spec->ethernet)
		build_ethernet(spec, flow, packet);
	if (spec->ipv6)
		build_ipv6(spec, flow, ip, (uint32_t)(end - ip));
	else
		build_ipv4(spec, flow, sequence, ip, (uint32_t)(end - ip));
	build_payload(spec, sequence, udp + UDP_BYTES, (uint32_t)(end - udp) - UDP_BYTES);
	build_udp(spec, flow, udp, (uint32_t)(end - udp), spec->ipv6 ? ip + 8 : ip + 12);
	return bytes;
}

int64_t hp_gen_sequence(const uint8_t *packet, uint64_t bytes)
{
	uint64_t within = bytes < MARK_WITHIN + MARK_BYTES ? bytes : MARK_WITHIN + MARK_BYTES;
	const uint8_t *mark = memmem(packet, within, magic, MAGIC_BYTES);
	int64_t sequence = 0;

	if (!mark || mark + MARK_BYTES > packet + within)
		return -1;
	for (int i = 0; i < 6; i++)
		sequence = sequence << 8 | mark[MAGIC_BYTES + i];
	return sequence;
}
