/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_columns.h"

/* Columns begin on lines of their own, so that vector code needs no lead-in. */
#define LINE_BYTES 64u

static size_t padded(size_t bytes)
{
	return (bytes + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES;
}

size_t hp_columns_bytes(uint32_t capacity)
{
	return LINE_BYTES + 2 * padded(8 * (size_t)capacity) + 4 * padded(4 * (size_t)capacity) +
	       2 * padded(2 * (size_t)capacity) + padded(capacity);
}

static void *take(uint8_t **at, size_t bytes)
{
	void *taken = *at;

	*at += padded(bytes);
	return taken;
}

void hp_columns_lay(struct hp_columns *columns, void *memory, uint32_t capacity)
{
	uint8_t *at = (uint8_t *)padded((uintptr_t)memory);

	columns->nr = 0;
	columns->capacity = capacity;
	columns->ts_ns = take(&at, 8 * (size_t)capacity);
	columns->offset = take(&at, 8 * (size_t)capacity);
	columns->caplen = take(&at, 4 * (size_t)capacity);
	columns->len = take(&at, 4 * (size_t)capacity);
	columns->rxhash = take(&at, 4 * (size_t)capacity);
	columns->status = take(&at, 4 * (size_t)capacity);
	columns->vlan_tci = take(&at, 2 * (size_t)capacity);
	columns->vlan_tpid = take(&at, 2 * (size_t)capacity);
	columns->direction = take(&at, capacity);
}
