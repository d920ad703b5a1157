/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_decode.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#define VLAN_TAGS_MAX 4
#define EXTENSIONS_MAX 8
#define PREFETCH_ROWS 32	/* measured: 12 leave the memory's latency in sight, more gain nothing */
#define LINE_BYTES 64

enum { LINK_TYPED, LINK_RAW, LINK_FAMILY };

struct packet {
	const uint8_t *data;
	uint32_t end;		/* what lies behind is not captured, or padding */
	uint32_t at;
};

struct row {
	uint8_t src[16], dst[16];
	uint32_t payload_offset, payload_len;
	uint16_t sport, dport;
	uint8_t ip_version, proto, tcp_flags, fragment;
};

static inline uint16_t load16be(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, 2);
	return __builtin_bswap16(value);
}

static inline int has(const struct packet *p, uint32_t bytes)
{
	return p->end - p->at >= bytes;
}

static inline uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- transport ---- */

static inline void decode_transport(struct packet *p, struct row *row)
{
	const uint8_t *l4 = p->data + p->at;
	uint32_t header = row->proto == IPPROTO_SCTP ? 12 : 8;

	if (row->proto != IPPROTO_TCP && row->proto != IPPROTO_UDP && row->proto != IPPROTO_UDPLITE &&
	    row->proto != IPPROTO_SCTP)
		return;
	if (!has(p, 4))
		return;
	row->sport = load16be(l4);
	row->dport = load16be(l4 + 2);
	if (row->proto == IPPROTO_TCP) {
		if (has(p, 14))
			row->tcp_flags = l4[13];
		header = has(p, 13) ? (l4[12] >> 4) * 4u : 20;
		if (header < 20)	/* it lies */
			header = 20;
	}
	p->at += min32(header, p->end - p->at);
}

/* ---- IP ---- */

static inline void map4(uint8_t *to, const uint8_t *from)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	memcpy(to, mapped, 12);
	memcpy(to + 12, from, 4);
}

/* A length of 0 is a segment that the kernel or NIC had yet to cut. */
static inline void bound(struct packet *p, uint32_t length)
{
	if (length)
		p->end = p->at + min32(length, p->end - p->at);
}

static inline int decode4(struct packet *p, struct row *row)
{
	const uint8_t *ip = p->data + p->at;
	uint32_t header, frag;

	if (!has(p, 20) || ip[0] >> 4 != 4)
		return 0;
	header = (ip[0] & 15u) * 4;
	row->ip_version = 4;
	row->proto = ip[9];
	map4(row->src, ip + 12);
	map4(row->dst, ip + 16);
	bound(p, load16be(ip + 2));
	frag = load16be(ip + 6);
	row->fragment = frag & 0x1fff ? HP_FRAG_LATER : frag & 0x2000 ? HP_FRAG_FIRST : HP_FRAG_NONE;
	if (header < 20 || !has(p, header)) {
		p->at = p->end;
		return 0;
	}
	p->at += header;
	return row->fragment != HP_FRAG_LATER;
}

static inline int is_extension(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_HOPOPTS: case IPPROTO_ROUTING: case IPPROTO_FRAGMENT: case IPPROTO_AH: case IPPROTO_DSTOPTS:
	case IPPROTO_MH: case 139 /* HIP */: case 140 /* Shim6 */:
		return 1;
	default:
		return 0;
	}
}

static inline uint32_t extension_bytes(uint8_t proto, const uint8_t *ext)
{
	if (proto == IPPROTO_FRAGMENT)
		return 8;
	return proto == IPPROTO_AH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;
}

/* Steps over one extension header; whether the next may be looked at. */
static inline int step_extension(struct packet *p, struct row *row)
{
	const uint8_t *ext = p->data + p->at;
	uint32_t bytes, frag;

	if (!has(p, 8) || !has(p, bytes = extension_bytes(row->proto, ext)))
		return 0;
	if (row->proto == IPPROTO_FRAGMENT) {
		frag = load16be(ext + 2);
		row->fragment = frag & 0xfff8 ? HP_FRAG_LATER : frag & 1 ? HP_FRAG_FIRST : HP_FRAG_NONE;
	}
	row->proto = ext[0];
	p->at += bytes;
	return row->fragment != HP_FRAG_LATER;
}

static inline int decode6(struct packet *p, struct row *row)
{
	const uint8_t *ip = p->data + p->at;

	if (!has(p, 40) || ip[0] >> 4 != 6)
		return 0;
	row->ip_version = 6;
	row->proto = ip[6];
	memcpy(row->src, ip + 8, 16);
	memcpy(row->dst, ip + 24, 16);
	p->at += 40;
	bound(p, load16be(ip + 4));
	if (row->proto == IPPROTO_NONE && load16be(ip + 4) == 0)	/* it is meant: the rest is padding */
		p->end = p->at;
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(row->proto); i++)
		if (!step_extension(p, row))
			return 0;
	return 1;
}

/* ---- link ---- */

static inline int is_tag(uint16_t type)
{
	return type == ETH_P_8021Q || type == ETH_P_8021AD || type == ETH_P_QINQ1;
}

/* Moves to what is behind the header and its tags; its EtherType, or 0. */
static inline uint16_t typed_payload(struct packet *p, struct hp_link_header link)
{
	uint16_t type;

	if (!has(p, link.bytes))
		return 0;
	type = load16be(p->data + link.type_at);
	p->at = link.bytes;
	for (int tags = 0; is_tag(type); tags++) {
		if (tags == VLAN_TAGS_MAX || !has(p, 4))
			return 0;
		type = load16be(p->data + p->at + 2);
		p->at += 4;
	}
	return type;
}

/* The writer's byte order or the network's; IPv6 has another number on each system. */
static uint16_t family_payload(struct packet *p)
{
	uint32_t family;

	if (!has(p, 4))
		return 0;
	memcpy(&family, p->data, 4);
	p->at = 4;
	if (family > 0xffff)
		family = __builtin_bswap32(family);
	if (family == 2)
		return ETH_P_IP;
	return family == 10 || family == 24 || family == 28 || family == 30 ? ETH_P_IPV6 : 0;
}

static inline uint16_t link_payload(struct packet *p, struct hp_link_header link)
{
	if (link.kind == LINK_TYPED)
		return typed_payload(p, link);
	if (link.kind == LINK_FAMILY)
		return family_payload(p);
	if (!has(p, 1))
		return 0;
	return p->data[0] >> 4 == 4 ? ETH_P_IP : ETH_P_IPV6;
}

int hp_link_header_of(int dlt, struct hp_link_header *link)
{
	switch (dlt) {
	case 1:		/* EN10MB */
		*link = (struct hp_link_header){ LINK_TYPED, 12, 14 };
		return 0;
	case 113:	/* LINUX_SLL */
		*link = (struct hp_link_header){ LINK_TYPED, 14, 16 };
		return 0;
	case 276:	/* LINUX_SLL2 */
		*link = (struct hp_link_header){ LINK_TYPED, 0, 20 };
		return 0;
	case 12: case 14: case 101: case 228: case 229:		/* RAW, as DLT_ and LINKTYPE_; IPV4, IPV6 */
		*link = (struct hp_link_header){ LINK_RAW, 0, 0 };
		return 0;
	case 0: case 108:	/* NULL, LOOP */
		*link = (struct hp_link_header){ LINK_FAMILY, 0, 4 };
		return 0;
	default:
		return -1;
	}
}

/* ---- columns ---- */

size_t hp_decoded_bytes(uint32_t nr)
{
	return (size_t)nr * sizeof(struct row);
}

void hp_decoded_lay(struct hp_decoded *out, void *memory, uint32_t nr)
{
	out->src = memory;
	out->dst = out->src + (size_t)nr * 16;
	out->payload_offset = (uint32_t *)(out->dst + (size_t)nr * 16);
	out->payload_len = out->payload_offset + nr;
	out->sport = (uint16_t *)(out->payload_len + nr);
	out->dport = out->sport + nr;
	out->ip_version = (uint8_t *)(out->dport + nr);
	out->proto = out->ip_version + nr;
	out->tcp_flags = out->proto + nr;
	out->fragment = out->tcp_flags + nr;
}

static inline struct row decode_one(const uint8_t *data, uint32_t caplen, struct hp_link_header link)
{
	struct packet p = { data, caplen, 0 };
	struct row row = { .ip_version = 0 };
	uint16_t type = link_payload(&p, link);
	int transport = type == ETH_P_IP ? decode4(&p, &row) : type == ETH_P_IPV6 ? decode6(&p, &row) : 0;

	if (transport)
		decode_transport(&p, &row);
	if (row.ip_version) {
		row.payload_offset = p.at;
		row.payload_len = p.end - p.at;
	}
	return row;
}

static inline void put(const struct hp_decoded *out, uint32_t i, const struct row *row)
{
	memcpy(out->src + (size_t)i * 16, row->src, 16);
	memcpy(out->dst + (size_t)i * 16, row->dst, 16);
	out->payload_offset[i] = row->payload_offset;
	out->payload_len[i] = row->payload_len;
	out->sport[i] = row->sport;
	out->dport[i] = row->dport;
	out->ip_version[i] = row->ip_version;
	out->proto[i] = row->proto;
	out->tcp_flags[i] = row->tcp_flags;
	out->fragment[i] = row->fragment;
}

/* The rows lie in a ring far larger than the caches. */
static inline void prefetch_ahead(const uint8_t *base, const uint64_t *offset, uint32_t i, uint32_t nr)
{
	if (i + PREFETCH_ROWS < nr) {
		__builtin_prefetch(base + offset[i + PREFETCH_ROWS]);
		__builtin_prefetch(base + offset[i + PREFETCH_ROWS] + LINE_BYTES);
	}
}

void hp_decode(const uint8_t *base, const uint64_t *offset, const uint32_t *caplen, uint32_t nr,
	       struct hp_link_header link, struct hp_decoded *out)
{
	for (uint32_t i = 0; i < nr; i++) {
		prefetch_ahead(base, offset, i, nr);
		struct row row = decode_one(base + offset[i], caplen[i], link);

		put(out, i, &row);
	}
}

void hp_filter_rows(const struct hp_filter *filter, const uint8_t *base, const uint64_t *offset,
		    const uint32_t *caplen, const uint32_t *len, const uint8_t *direction, uint32_t nr, uint8_t *mask)
{
	for (uint32_t i = 0; i < nr; i++) {
		const struct sock_filter *insns = filter->insns[direction[i] == HP_DIR_OUT];

		prefetch_ahead(base, offset, i, nr);
		mask[i] = filter->run(insns, base + offset[i], len[i], caplen[i]) != 0;
	}
}
