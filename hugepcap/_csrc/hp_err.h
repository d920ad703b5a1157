/* SPDX-License-Identifier: BSD-3-Clause */
/* One error: what failed, on what, and why. Filled by the C core, raised by Cython. */
#ifndef HP_ERR_H
#define HP_ERR_H

struct hp_err {
	int code;		/* a positive errno */
	const char *op;		/* the operation tried, a literal */
	char detail[232];	/* its numbers, and what to do about it */
};

/* Records the error and returns -code, so that callers write `return hp_fail(...)`. */
int hp_fail(struct hp_err *err, int code, const char *op, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
