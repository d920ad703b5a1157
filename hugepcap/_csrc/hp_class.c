/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_class.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define FLOW_SLOTS (1u << 20)
#define VLAN_TAGS_MAX 2
#define EXTENSIONS_MAX 8
#define TH_SYN_ALONE 0x02

/* ---- address sets: open addressing, at most half full, the all-zero address marks a free slot ---- */

struct hp_set {
	uint8_t *slots;
	uint32_t mask;
};

static inline uint64_t load64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, 8);
	return value;
}

static inline uint32_t load32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return value;
}

static inline uint16_t load16be(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* Both halves of a 128-bit product: every bit of the result hangs on every bit of a and b. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xe7037ed1a0b428dbu);

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint32_t address_hash(const uint8_t *address, uint32_t bytes)
{
	if (bytes == 4)
		return (uint32_t)(load32(address) * 0x9e3779b97f4a7c15u >> 32);
	return (uint32_t)mix(load64(address), load64(address + 8));
}

static inline int is_same(const uint8_t *one, const uint8_t *other, uint32_t bytes)
{
	if (bytes == 4)
		return load32(one) == load32(other);
	return load64(one) == load64(other) && load64(one + 8) == load64(other + 8);
}

static inline int is_zero(const uint8_t *address, uint32_t bytes)
{
	return bytes == 4 ? load32(address) == 0 : (load64(address) | load64(address + 8)) == 0;
}

/* The slot that holds the address, or the free one where it would go. */
static inline uint8_t *set_slot(const struct hp_set *set, const uint8_t *address, uint32_t bytes)
{
	uint32_t i = address_hash(address, bytes) & set->mask;

	for (;; i = (i + 1) & set->mask) {
		uint8_t *slot = set->slots + (size_t)i * bytes;

		if (is_zero(slot, bytes) || is_same(slot, address, bytes))
			return slot;
	}
}

/* A set has addresses of one length, which the caller knows: with the length constant all of this is inline. */
static inline int set_has(const struct hp_set *set, const uint8_t *address, uint32_t bytes)
{
	return !is_zero(address, bytes) && !is_zero(set_slot(set, address, bytes), bytes);
}

struct hp_set *hp_set_new(const uint8_t *packed, size_t bytes, uint32_t address_bytes)
{
	size_t nr = bytes / address_bytes, slots = 16;
	struct hp_set *set = malloc(sizeof(*set));

	if (!set)
		return NULL;
	while (slots < 2 * nr + 1 && slots < (1u << 31))
		slots *= 2;
	set->mask = (uint32_t)(slots - 1);
	set->slots = slots > nr ? calloc(slots, address_bytes) : NULL;
	if (!set->slots) {
		free(set);
		return NULL;
	}
	for (size_t i = 0; i < nr; i++, packed += address_bytes)
		if (!is_zero(packed, address_bytes))
			memcpy(set_slot(set, packed, address_bytes), packed, address_bytes);
	return set;
}

void hp_set_free(struct hp_set *set)
{
	if (set)
		free(set->slots);
	free(set);
}

/* ---- flows: one counter a slot; a new flow takes the slot over, so a flow's head is never missed ---- */

struct hp_flows {
	struct {
		uint64_t key;
		uint64_t seen;
	} slots[FLOW_SLOTS];
};

struct hp_flows *hp_flows_new(void)
{
	return calloc(1, sizeof(struct hp_flows));
}

void hp_flows_free(struct hp_flows *flows)
{
	free(flows);
}

static uint64_t flow_seen(struct hp_flows *flows, uint64_t key)
{
	uint32_t i = (uint32_t)(key >> 44) & (FLOW_SLOTS - 1);

	if (flows->slots[i].key != key) {
		flows->slots[i].key = key;
		flows->slots[i].seen = 0;
	}
	return flows->slots[i].seen++;
}

/* ---- what the classes need of a packet ---- */

struct dissection {
	int version;		/* 4, 6, or 0: not IP */
	int has_ports;
	uint8_t proto;
	uint16_t sport, dport;
	uint32_t l4;
	const uint8_t *src, *dst;
};

static int is_vlan_tpid(uint16_t type)
{
	return type == ETH_P_8021Q || type == ETH_P_8021AD;
}

/* The offset of the IP header behind up to two VLAN tags, told by its version digit; -1: none. */
static int64_t find_ip(const struct hp_classifier *cls, const uint8_t *data, uint32_t caplen)
{
	uint32_t at = cls->l2_offset;

	for (int tags = 0;; tags++, at += 4) {
		if (caplen < at + 20)
			return -1;
		if (data[at] >> 4 == 4)
			return at;
		if (cls->ipv6 && data[at] >> 4 == 6 && caplen >= at + 40)
			return at;
		if (tags == VLAN_TAGS_MAX || at < 2 || !is_vlan_tpid(load16be(data + at - 2)))
			return -1;
	}
}

static void read_ports(struct dissection *d, const uint8_t *data, uint32_t caplen)
{
	if ((d->proto != IPPROTO_TCP && d->proto != IPPROTO_UDP) || caplen < d->l4 + 4)
		return;
	d->has_ports = 1;
	d->sport = load16be(data + d->l4);
	d->dport = load16be(data + d->l4 + 2);
}

static void dissect4(struct dissection *d, const uint8_t *data, uint32_t at, uint32_t caplen)
{
	uint32_t header = (data[at] & 15u) * 4;

	d->version = 4;
	d->src = data + at + 12;
	d->dst = data + at + 16;
	d->proto = data[at + 9];
	d->l4 = at + header;
	if (header >= 20 && (load16be(data + at + 6) & 0x1fff) == 0)	/* a later fragment has no ports */
		read_ports(d, data, caplen);
}

static int is_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
	       proto == IPPROTO_FRAGMENT || proto == IPPROTO_AH;
}

static void dissect6(struct dissection *d, const uint8_t *data, uint32_t at, uint32_t caplen)
{
	uint32_t next = at + 40;

	d->version = 6;
	d->src = data + at + 8;
	d->dst = data + at + 24;
	d->proto = data[at + 6];
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(d->proto); i++) {
		if (caplen < next + 8)
			return;
		if (d->proto == IPPROTO_FRAGMENT && (load16be(data + next + 2) & 0xfff8))
			return;
		uint32_t bytes = d->proto == IPPROTO_FRAGMENT ? 8
			       : d->proto == IPPROTO_AH ? (data[next + 1] + 2u) * 4 : (data[next + 1] + 1u) * 8;
		d->proto = data[next];
		next += bytes;
	}
	d->l4 = next;
	read_ports(d, data, caplen);
}

static void dissect(const struct hp_classifier *cls, const uint8_t *data, uint32_t caplen, struct dissection *d)
{
	int64_t at = find_ip(cls, data, caplen);

	d->version = d->has_ports = 0;
	if (at < 0)
		return;
	if (data[at] >> 4 == 4)
		dissect4(d, data, (uint32_t)at, caplen);
	else
		dissect6(d, data, (uint32_t)at, caplen);
}

/* ---- the classes ---- */

static int in_sets(const struct hp_classifier *cls, const struct dissection *d)
{
	if (d->version == 4)
		return cls->set4 && (set_has(cls->set4, d->src, 4) || set_has(cls->set4, d->dst, 4));
	return cls->set6 && (set_has(cls->set6, d->src, 16) || set_has(cls->set6, d->dst, 16));
}

/* Whether this is one of the first flow_cutoff packets of its (directional) flow. */
static int is_flow_head(const struct hp_classifier *cls, const struct dissection *d)
{
	uint64_t ports = (uint64_t)d->sport << 32 | (uint64_t)d->dport << 8 | d->proto, addresses;

	if (!cls->flows || !d->has_ports)
		return 0;
	if (d->version == 4)
		addresses = (uint64_t)load32(d->src) << 32 | load32(d->dst);
	else
		addresses = mix(mix(load64(d->src), load64(d->src + 8)), mix(load64(d->dst), ~load64(d->dst + 8)));
	return flow_seen(cls->flows, mix(mix(addresses, ports), addresses)) < cls->flow_cutoff;
}

static int has_port(const struct hp_ports *ports, const struct dissection *d)
{
	for (uint32_t i = 0; i < ports->nr; i++)
		if (d->sport == ports->list[i] || d->dport == ports->list[i])
			return 1;
	return 0;
}

static int classify_generic(const struct hp_classifier *cls, const struct dissection *d)
{
	if (d->version == 0)
		return HP_OTHER;
	if (in_sets(cls, d))
		return HP_SET_MATCH;
	return is_flow_head(cls, d) ? HP_FLOW_HEAD : HP_OTHER;
}

static int classify_tcp(const struct hp_classifier *cls, const struct dissection *d, const uint8_t *data,
			uint32_t caplen)
{
	uint32_t header;

	if (d->proto != IPPROTO_TCP || caplen < d->l4 + 14)
		return HP_BULK;
	if (data[d->l4 + 13] == TH_SYN_ALONE)
		return HP_SYN;
	header = (uint32_t)(data[d->l4 + 12] >> 4) * 4;
	return header >= 20 && caplen > d->l4 + header && has_port(&cls->http, d) ? HP_HTTP : HP_BULK;
}

static int classify_security(const struct hp_classifier *cls, const struct dissection *d, const uint8_t *data,
			     uint32_t caplen)
{
	int class = HP_BULK;

	if (d->has_ports && (d->sport == cls->dns_port || d->dport == cls->dns_port))
		return HP_DNS;
	if (d->has_ports)
		class = classify_tcp(cls, d, data, caplen);
	if (class != HP_BULK || d->version == 0)
		return class;
	if (in_sets(cls, d))
		return HP_ADDR;
	return d->has_ports && has_port(&cls->tls, d) && is_flow_head(cls, d) ? HP_HANDSHAKE : HP_BULK;
}

int hp_classify(const struct hp_classifier *cls, const uint8_t *data, uint32_t caplen)
{
	struct dissection d;

	dissect(cls, data, caplen, &d);
	if (cls->profile == HP_PROFILE_SECURITY)
		return classify_security(cls, &d, data, caplen);
	return classify_generic(cls, &d);
}

/* ---- the loops ---- */

/* In the generic profile with neither set nor flows every packet is OTHER: no need to touch it. */
static inline int needs_look(const struct hp_classifier *cls)
{
	return cls->profile == HP_PROFILE_SECURITY || cls->set4 || cls->set6 || cls->flows;
}

/* Counts a packet; whether it is admitted. */
static inline int tally_frame(const struct hp_classifier *cls, int look, uint32_t admit_mask, struct hp_tally *tally,
			      const struct hp_frame *frame, int *index)
{
	*index = look ? hp_classify(cls, frame->data, frame->caplen) : HP_OTHER;
	tally->classes[*index]++;
	return admit_mask >> *index & 1;
}

/*
 * Packets that are only counted need no walk, since a block's head says how many it has. Counts those of all blocks
 * that the budget covers: HP_FRAME (it ends within the block under the cursor), HP_NONE or -EBADMSG.
 */
static int count_blocks(struct hp_source *src, struct hp_cursor *cur, struct hp_tally *tally, uint64_t *budget)
{
	int rc = HP_FRAME;

	while (rc == HP_FRAME && cur->left <= *budget) {
		tally->classes[HP_OTHER] += cur->left;
		tally->dropped += cur->left;
		*budget -= cur->left;
		cur->left = 0;
		if (*budget == 0)
			break;
		rc = hp_source_advance(src, cur);
	}
	return rc;
}

int hp_scan(struct hp_source *src, const struct hp_classifier *cls, uint32_t admit_mask, struct hp_tally *tally,
	    uint64_t *budget, struct hp_frame *frame, int *index)
{
	int look = needs_look(cls), rc = HP_BUDGET;
	struct hp_cursor cur = src->cur;
	struct hp_frame one;

	if (!look && !(admit_mask >> HP_OTHER & 1) && src->ring && src->plain) {
		rc = count_blocks(src, &cur, tally, budget);
		src->cur = cur;
		if (rc != HP_FRAME)
			return rc;
		rc = HP_BUDGET;
	}
	for (; *budget; --*budget) {
		rc = hp_source_next(src, &cur, &one, HP_TOUCH_HEADS);
		if (rc != HP_FRAME || tally_frame(cls, look, admit_mask, tally, &one, index))
			break;
		tally->dropped++;
		rc = HP_BUDGET;
	}
	if (rc == HP_FRAME) {
		*frame = one;
		tally->admitted++;
		--*budget;
	}
	src->cur = cur;
	return rc;
}

/* A buffer of this size or more is in no cache when it is written, and out of them again before it is read. */
#define STREAM_BUFFER_BYTES (16u << 20)
#define STREAM_PACKET_BYTES 256u

#ifdef __SSE2__
static inline void stream_line(uint8_t *to, const uint8_t *from)
{
	for (uint32_t at = 0; at < 64; at += 16)
		_mm_stream_si128((__m128i *)(to + at), _mm_loadu_si128((const __m128i *)(from + at)));
}
#endif

/*
 * memcpy past the caches: the lines written to need not be fetched first. Only whole lines go that way; one that
 * is written to by both ways would be fetched, thrown out and merged in memory.
 */
static inline void copy_past(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
#ifdef __SSE2__
	uint32_t head = (uint32_t)-(uintptr_t)to & 63;

	memcpy(to, from, head);
	for (to += head, from += head, bytes -= head; bytes >= 64; to += 64, from += 64, bytes -= 64)
		stream_line(to, from);
#endif
	memcpy(to, from, bytes);
}

static inline int put_record(struct hp_buffer *buf, const struct hp_frame *frame, int index)
{
	uint32_t caplen = frame->caplen;
	uint8_t *at = buf->at + buf->used;

	if (buf->bytes - buf->used < 5 + (size_t)caplen)
		return 0;
	at[0] = (uint8_t)caplen;
	at[1] = (uint8_t)(caplen >> 8);
	at[2] = (uint8_t)(caplen >> 16);
	at[3] = (uint8_t)(caplen >> 24);
	at[4] = (uint8_t)(buf->class_base + index);
	if (caplen >= STREAM_PACKET_BYTES && buf->bytes >= STREAM_BUFFER_BYTES)
		copy_past(at + 5, frame->data, caplen);
	else
		hp_copy(at + 5, frame->data, caplen);
	buf->used += 5 + (size_t)caplen;
	return 1;
}

int hp_fill(struct hp_source *src, const struct hp_classifier *cls, uint32_t admit_mask, struct hp_tally *tally,
	    uint64_t *budget, struct hp_buffer *buf)
{
	int look = needs_look(cls), rc = HP_BUDGET, index;
	struct hp_cursor cur = src->cur;
	struct hp_frame one;

	for (; *budget; --*budget) {
		rc = hp_source_next(src, &cur, &one, HP_TOUCH_ALL);
		if (rc != HP_FRAME)
			break;
		rc = HP_BUDGET;
		if (!tally_frame(cls, look, admit_mask, tally, &one, &index))
			tally->dropped++;
		else if (put_record(buf, &one, index))
			tally->admitted++;
		else
			tally->overflow++;
	}
	src->cur = cur;
#ifdef __SSE2__
	_mm_sfence();	/* streamed bytes come before whatever tells another process of them */
#endif
	return rc;
}
