/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "mapping.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>

#include "real.h"
#include "table.h"

/*
 * The latest mappings, the newest over the oldest. A record that outlives its mapping does no harm: it is
 * asked only after the kernel has refused a munmap, which happens to huge pages alone.
 */
#define MAPPING_NR 256u

static struct mapping {
	uintptr_t start;
	size_t bytes;
	size_t page_bytes;
} mappings[MAPPING_NR];
static unsigned newest;

void *mapping_add(void *area, size_t bytes, size_t page_bytes)
{
	if (area != MAP_FAILED)
		mappings[++newest % MAPPING_NR] = (struct mapping){ (uintptr_t)area, bytes, page_bytes };
	return area;
}

static struct mapping mapping_around(uintptr_t start, size_t bytes)
{
	struct mapping found = { 0 };
	struct table_guard guard;

	if (table_lock(&guard) < 0)
		return found;
	for (unsigned back = 0; back < MAPPING_NR && !found.bytes; back++) {
		const struct mapping *at = &mappings[(newest - back) % MAPPING_NR];

		if (start >= at->start && start - at->start < at->bytes && bytes <= at->bytes - (start - at->start))
			found = *at;
	}
	table_unlock(&guard);
	return found;
}

/* A part smaller than a page cannot go by itself: it stays mapped. The kernel's own end was rounded up. */
int mapping_munmap(void *addr, size_t bytes)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = start + page_up(bytes);
	struct mapping around;

	if (real.munmap(addr, bytes) == 0)
		return 0;
	if (errno != EINVAL || !bytes || start % 4096)
		return -1;
	around = mapping_around(start, page_up(bytes));
	if (!around.bytes) {
		errno = EINVAL;
		return -1;
	}
	start = (start + around.page_bytes - 1) / around.page_bytes * around.page_bytes;
	if (end == around.start + around.bytes)
		end += around.page_bytes - 1;
	end = end / around.page_bytes * around.page_bytes;
	return start < end ? real.munmap((void *)start, end - start) : 0;
}
