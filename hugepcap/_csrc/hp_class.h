/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The classifier behind loop_filtered() and loop_to_buffer(): pcapy-ng's two profiles,
 * address sets of any size and a bounded table of flows; for IPv6 too where asked.
 */
#ifndef HP_CLASS_H
#define HP_CLASS_H

#include <stddef.h>
#include <stdint.h>

#include "hp_source.h"

#define HP_CLASS_MAX 6
#define HP_BUDGET 3	/* hp_scan(): neither admitted nor out of packets, but the budget is spent */

enum hp_profile { HP_PROFILE_GENERIC, HP_PROFILE_SECURITY };
enum { HP_OTHER, HP_FLOW_HEAD, HP_SET_MATCH };			/* generic */
enum { HP_DNS, HP_HTTP, HP_BULK, HP_ADDR, HP_HANDSHAKE, HP_SYN };	/* security */

struct hp_set;		/* addresses of one length */
struct hp_flows;	/* packets seen per flow, forgetting on collision */

struct hp_ports {
	const uint16_t *list;
	uint32_t nr;
};

struct hp_classifier {
	enum hp_profile profile;
	uint32_t l2_offset;	/* where the IP header begins, VLAN tags not counted */
	uint16_t dns_port;
	struct hp_ports http, tls;
	uint32_t flow_cutoff;
	int ipv6;
	struct hp_set *set4, *set6;
	struct hp_flows *flows;
};

struct hp_tally {
	uint64_t admitted, dropped, overflow;
	uint64_t classes[HP_CLASS_MAX];
};

/* Packed addresses of 4 or 16 bytes, network order; all-zero ones are left out. NULL: no memory. */
struct hp_set *hp_set_new(const uint8_t *packed, size_t bytes, uint32_t address_bytes);
void hp_set_free(struct hp_set *set);
struct hp_flows *hp_flows_new(void);
void hp_flows_free(struct hp_flows *flows);

/* The class index (0-based in either profile) of one packet; never reads past caplen. */
int hp_classify(const struct hp_classifier *cls, const uint8_t *data, uint32_t caplen);

/*
 * Looks at up to *budget packets, counting each, until one is admitted: HP_FRAME with *frame and
 * *index set, HP_BUDGET, or what hp_source_next() said instead of a packet.
 */
int hp_scan(struct hp_source *src, const struct hp_classifier *cls, uint32_t admit_mask, struct hp_tally *tally,
	    uint64_t *budget, struct hp_frame *frame, int *index);

struct hp_buffer {
	uint8_t *at;
	size_t bytes, used;
	uint8_t class_base;	/* added to the index to make the public class id */
};

/*
 * Writes each admitted packet as [u32 caplen LE][u8 class][bytes] until the budget is spent (HP_BUDGET) or the
 * source has no more. A packet that finds no room is counted in tally->overflow.
 */
int hp_fill(struct hp_source *src, const struct hp_classifier *cls, uint32_t admit_mask, struct hp_tally *tally,
	    uint64_t *budget, struct hp_buffer *buf);

#endif
