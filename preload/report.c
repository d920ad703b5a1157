/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINE_BYTES 1536

/*
 * vsnprintf of glibc and musl neither allocates nor locks for %s, %d, %u and %x, so this may run in a
 * signal handler; the bare call, unlike write(), is no point where a thread can be cancelled.
 */
void report(const char *format, ...)
{
	char line[LINE_BYTES];
	int saved = errno;
	int length = snprintf(line, sizeof(line), "hugepcap: %s[%d]: ", program_invocation_short_name, (int)getpid());
	va_list args;

	va_start(args, format);
	length += vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	if (length > LINE_BYTES - 1)
		length = LINE_BYTES - 1;
	line[length++] = '\n';
	syscall(SYS_write, STDERR_FILENO, line, length);
	errno = saved;
}
