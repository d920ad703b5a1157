/* SPDX-License-Identifier: BSD-3-Clause */
/* What is in packets, as columns: addresses, ports and where the payload is, down to the transport header. */
#ifndef HP_DECODE_H
#define HP_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "hp_source.h"

enum { HP_FRAG_NONE, HP_FRAG_FIRST, HP_FRAG_LATER };

/* Row i is packet i; all zero where there is no (whole) IP header. */
struct hp_decoded {
	uint8_t *src, *dst;		/* 16 bytes a row; IPv4 as ::ffff:a.b.c.d */
	uint32_t *payload_offset;	/* from the packet's first byte */
	uint32_t *payload_len;		/* captured bytes, without a link's padding */
	uint16_t *sport, *dport;	/* host order; 0: none */
	uint8_t *ip_version, *proto, *tcp_flags, *fragment;
};

/* How a link type's header leads to IP. */
struct hp_link_header {
	uint8_t kind;
	uint8_t type_at;	/* where the EtherType is */
	uint8_t bytes;
};

/* The columns' memory is one piece of this many bytes; hp_decoded_lay() lays them out in it. */
size_t hp_decoded_bytes(uint32_t nr);
void hp_decoded_lay(struct hp_decoded *out, void *memory, uint32_t nr);

/* 0, or -1: no link type (DLT_*) that is known here. */
int hp_link_header_of(int dlt, struct hp_link_header *link);

/* Packet i is the caplen[i] bytes at base + offset[i]; none is read beyond. */
void hp_decode(const uint8_t *base, const uint64_t *offset, const uint32_t *caplen, uint32_t nr,
	       struct hp_link_header link, struct hp_decoded *out);

/* 1 where the filter accepts packet i, of len[i] bytes on the wire, that came in direction[i], else 0. */
void hp_filter_rows(const struct hp_filter *filter, const uint8_t *base, const uint64_t *offset,
		    const uint32_t *caplen, const uint32_t *len, const uint8_t *direction, uint32_t nr, uint8_t *mask);

#endif
