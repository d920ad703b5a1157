/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets in Arrow's layouts. The structures are the Arrow C data interface's, whose layout is its ABI:
 * "The Arrow C data interface", "The Arrow C stream interface" and "Variable-size Binary View Layout" of the
 * Arrow columnar format's specification.
 */
#ifndef HP_ARROW_H
#define HP_ARROW_H

#include <stdint.h>

#include "hp_columns.h"

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE
struct ArrowSchema {
	const char *format;
	const char *name;
	const char *metadata;
	int64_t flags;
	int64_t n_children;
	struct ArrowSchema **children;
	struct ArrowSchema *dictionary;
	void (*release)(struct ArrowSchema *);
	void *private_data;
};

struct ArrowArray {
	int64_t length;
	int64_t null_count;
	int64_t offset;
	int64_t n_buffers;
	int64_t n_children;
	const void **buffers;
	struct ArrowArray **children;
	struct ArrowArray *dictionary;
	void (*release)(struct ArrowArray *);
	void *private_data;
};
#endif

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE
struct ArrowArrayStream {
	int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
	int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
	const char *(*get_last_error)(struct ArrowArrayStream *);
	void (*release)(struct ArrowArrayStream *);
	void *private_data;
};
#endif

/* One value of a binary view column: short ones stand in it, of long ones where they are. */
struct hp_view {
	uint32_t bytes;
	union {
		uint8_t inlined[12];
		struct {
			uint8_t prefix[4];
			uint32_t buffer;
			uint32_t offset;
		} at;
	};
};

/* A stretch of memory that views point into: their offsets have 31 bits, a ring may be larger. */
struct hp_span {
	uint64_t start;		/* from columns->base */
	uint64_t bytes;
};

/* Fills a view for each packet; the number of spans they lie in, or -1 where that is more than spans_max. */
int hp_views_fill(const struct hp_columns *columns, struct hp_view *views, struct hp_span *spans, int spans_max);

#endif
