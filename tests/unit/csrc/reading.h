/* SPDX-License-Identifier: BSD-3-Clause */
/* A source over blocks in plain memory, set up from the input. */
#ifndef READING_H
#define READING_H

#include "bpf_run.h"
#include "hp_batch.h"
#include "hp_class.h"
#include "hp_source.h"
#include "input.h"

enum mode { NEXT, BATCH, SCAN, FILL, MODES };

struct reading {
	struct hp_ring ring;
	struct hp_source src;
	struct hp_filter filter;
	struct hp_classifier cls;
};

static unsigned int run_filter(const void *insns, const uint8_t *data, unsigned int len, unsigned int caplen)
{
	struct packet p = { .data = data, .caplen = caplen, .len = len };

	return bpf_run(insns, &p);
}

/* Reads link, snaplen, direction, loopback, and a filter: its instructions, tests_vlan, the block it ends with. */
static void reading_get(struct reading *r)
{
	uint32_t nr;

	memset(r, 0, sizeof(*r));
	r->src.link = (enum hp_link)get_u32();
	r->src.snaplen = get_u32();
	r->src.direction = (int)get_u32();
	r->src.loopback = (int)get_u32();
	nr = get_u32();
	r->filter.insns[0] = r->filter.insns[1] = (struct sock_filter *)get_blob(nr * sizeof(struct sock_filter));
	r->filter.run = run_filter;
	r->filter.tests_vlan = (int)get_u32();
	r->src.filter_until = get_u32();
	r->src.filter = nr ? &r->filter : NULL;
	r->cls.l2_offset = 14;
	r->cls.profile = HP_PROFILE_SECURITY;
	r->cls.dns_port = 53;
}

/* Puts the source at the start of a ring of these blocks, as after opening. */
static void reading_start(struct reading *r, uint8_t *map, uint32_t block_bytes, uint32_t block_nr)
{
	static uint32_t pins[HP_BLOCK_NR_MAX];

	memset(pins, 0, block_nr * sizeof(*pins));
	r->ring = (struct hp_ring){ .geo = { .block_bytes = block_bytes, .block_nr = block_nr }, .map = map,
				    .map_bytes = (size_t)block_bytes * block_nr, .pins = pins };
	r->src.ring = &r->ring;
	memset(&r->src.cur, 0, sizeof(r->src.cur));
	r->src.held = 0;
	hp_source_settle(&r->src);
}

static void reading_free(struct reading *r)
{
	free((void *)r->filter.insns[0]);
}

#endif
