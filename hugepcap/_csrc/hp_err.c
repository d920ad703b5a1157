/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_err.h"

#include <stdarg.h>
#include <stdio.h>

int hp_fail(struct hp_err *err, int code, const char *op, const char *fmt, ...)
{
	va_list args;

	err->code = code;
	err->op = op;
	va_start(args, fmt);
	vsnprintf(err->detail, sizeof(err->detail), fmt, args);
	va_end(args);
	return -code;
}
