/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "parent.h"
#include "table.h"

#define LINE_BYTES 1536
#define NAME_BYTES 255	/* a file's; argv[0] may be of any length */

static int target = -1;
static struct identity target_identity;

/* dumpcap -Z, as tshark and wireshark start it: its standard error is a pipe of binary messages to them. */
static int stderr_is_a_protocol(int argc, char **argv)
{
	if (strcmp(program_invocation_short_name, "dumpcap"))
		return 0;
	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], "-Z", 2))
			return 1;
	return 0;
}

void report_start(int argc, char **argv)
{
	target = stderr_is_a_protocol(argc, argv) ? parent_stderr() : STDERR_FILENO;
	if (identity_read(target, &target_identity) < 0)
		target = -1;
}

/*
 * vsnprintf of glibc and musl neither allocates nor locks for %s, %d, %u and %x, so this may run in a
 * signal handler; the bare call, unlike write(), is no point where a thread can be cancelled.
 */
void report(const char *format, ...)
{
	char line[LINE_BYTES];
	int saved = errno;
	int length = snprintf(line, sizeof(line), "hugepcap: %.*s[%d]: ", NAME_BYTES, program_invocation_short_name,
			      (int)getpid());
	va_list args;

	va_start(args, format);
	length += vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	if (length > LINE_BYTES - 1)
		length = LINE_BYTES - 1;
	line[length++] = '\n';
	if (target >= 0 && identity_holds(target, &target_identity))
		syscall(SYS_write, target, line, length);
	errno = saved;
}
