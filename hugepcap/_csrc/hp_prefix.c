/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The prefixes' union as edges: ascending numbers where the set begins and ends by turns. An address is in it if
 * an odd number of edges is at or below it. An index over the topmost bits in which edges differ leaves few to search.
 */
#include "hp_prefix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_BITS_MAX 22

struct range {
	hp_address first, last;
};

struct hp_prefixes {
	uint32_t width;		/* bytes of an edge */
	size_t nr, edge_nr;
	void *edges;
	hp_address lowest, highest;	/* edges */
	uint32_t shift;
	size_t bucket_nr;
	uint32_t *bucket;	/* the first edge of each, and one more */
};

static inline hp_address address_load(const uint8_t *at, uint32_t bytes)
{
	uint64_t high, low;
	uint32_t short_one;

	if (bytes == 4) {
		memcpy(&short_one, at, 4);
		return __builtin_bswap32(short_one);
	}
	memcpy(&high, at, 8);
	memcpy(&low, at + 8, 8);
	return (hp_address)__builtin_bswap64(high) << 64 | __builtin_bswap64(low);
}

static inline hp_address edge_at(const struct hp_prefixes *set, size_t i)
{
	return set->width == 4 ? ((const uint32_t *)set->edges)[i] : ((const hp_address *)set->edges)[i];
}

static void edge_add(struct hp_prefixes *set, hp_address edge)
{
	if (set->width == 4)
		((uint32_t *)set->edges)[set->edge_nr++] = (uint32_t)edge;
	else
		((hp_address *)set->edges)[set->edge_nr++] = edge;
}

static int range_compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return x->last < y->last ? -1 : x->last > y->last;
}

/* All ones in an address's bits. */
static hp_address ones(uint32_t bits)
{
	return bits == 128 ? ~(hp_address)0 : ((hp_address)1 << bits) - 1;
}

static int ranges_read(struct range *ranges, const uint8_t *packed, size_t nr, uint32_t bytes, size_t *bad)
{
	int sorted = 1;

	for (size_t i = 0; i < nr; i++, packed += bytes + 1) {
		uint32_t length = packed[bytes];
		hp_address host;

		if (length > bytes * 8) {
			*bad = i;
			return -EINVAL;
		}
		host = ones(bytes * 8 - length);
		ranges[i].first = address_load(packed, bytes) & ~host;
		ranges[i].last = ranges[i].first | host;
		if (i && range_compare(&ranges[i - 1], &ranges[i]) > 0)
			sorted = 0;
	}
	if (!sorted)
		qsort(ranges, nr, sizeof(*ranges), range_compare);
	return 0;
}

/* Where ranges meet or overlap, they become one; a set that reaches the last address has no last edge. */
static void edges_fill(struct hp_prefixes *set, const struct range *ranges, size_t nr)
{
	hp_address top = ones(set->width * 8), last = 0;

	for (size_t i = 0; i < nr; i++) {
		int open = i && (ranges[i].first <= last || ranges[i].first == last + 1);

		set->nr += !i || range_compare(&ranges[i - 1], &ranges[i]) != 0;
		if (i && !open)
			edge_add(set, last + 1);
		if (!open)
			edge_add(set, ranges[i].first);
		if (!i || ranges[i].last > last)
			last = ranges[i].last;
	}
	if (nr && last != top)
		edge_add(set, last + 1);
}

/* About one edge a bucket. */
static int index_build(struct hp_prefixes *set)
{
	uint32_t bits = 1;
	size_t edge = 0;

	if (set->edge_nr == 0)
		return 0;
	set->lowest = edge_at(set, 0);
	set->highest = edge_at(set, set->edge_nr - 1);
	while (bits < INDEX_BITS_MAX && (1u << bits) < set->edge_nr)
		bits++;
	while ((set->highest - set->lowest) >> set->shift >> bits)
		set->shift++;
	set->bucket_nr = (size_t)((set->highest - set->lowest) >> set->shift) + 1;
	set->bucket = malloc((set->bucket_nr + 1) * sizeof(*set->bucket));
	if (!set->bucket)
		return -ENOMEM;
	for (size_t i = 0; i < set->bucket_nr; i++) {
		while ((edge_at(set, edge) - set->lowest) >> set->shift < i)
			edge++;
		set->bucket[i] = (uint32_t)edge;
	}
	set->bucket[set->bucket_nr] = (uint32_t)set->edge_nr;
	return 0;
}

static int edges_build(struct hp_prefixes *set, const struct range *ranges, size_t nr)
{
	void *fitting;

	set->edges = malloc((2 * nr + 1) * set->width);
	if (!set->edges)
		return -ENOMEM;
	edges_fill(set, ranges, nr);
	fitting = realloc(set->edges, (set->edge_nr + 1) * set->width);
	if (fitting)
		set->edges = fitting;
	return index_build(set);
}

int hp_prefixes_new(struct hp_prefixes **made, const uint8_t *packed, size_t nr, uint32_t address_bytes, size_t *bad)
{
	struct hp_prefixes *set = calloc(1, sizeof(*set));
	struct range *ranges = nr < UINT32_MAX / 2 ? malloc((nr + 1) * sizeof(*ranges)) : NULL;
	int rc = set && ranges ? ranges_read(ranges, packed, nr, address_bytes, bad) : -ENOMEM;

	if (rc == 0) {
		set->width = address_bytes;
		rc = edges_build(set, ranges, nr);
	}
	free(ranges);
	if (rc == 0)
		*made = set;
	else
		hp_prefixes_free(set);
	return rc;
}

void hp_prefixes_free(struct hp_prefixes *set)
{
	if (set) {
		free(set->edges);
		free(set->bucket);
	}
	free(set);
}

size_t hp_prefixes_nr(const struct hp_prefixes *set)
{
	return set->nr;
}

size_t hp_prefixes_bytes(const struct hp_prefixes *set)
{
	return sizeof(*set) + set->edge_nr * set->width + (set->bucket_nr + 1) * sizeof(*set->bucket);
}

static inline int contains(const struct hp_prefixes *set, hp_address address)
{
	size_t low, high, bucket;

	if (set->edge_nr == 0 || address < set->lowest)
		return 0;
	if (address >= set->highest)
		return set->edge_nr & 1;
	bucket = (size_t)((address - set->lowest) >> set->shift);
	low = set->bucket[bucket];
	high = set->bucket[bucket + 1];
	while (low < high) {	/* to the first edge above the address */
		size_t middle = low + (high - low) / 2;

		if (edge_at(set, middle) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low & 1;
}

static inline int is_mapped(const uint8_t *address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return memcmp(address, mapped, 12) == 0;
}

void hp_prefixes_mask(const struct hp_prefixes *set4, const struct hp_prefixes *set6, const uint8_t *addresses,
		      size_t nr, uint8_t *mask)
{
	for (size_t i = 0; i < nr; i++, addresses += 16)
		mask[i] = is_mapped(addresses) ? contains(set4, address_load(addresses + 12, 4))
					       : contains(set6, address_load(addresses, 16));
}
