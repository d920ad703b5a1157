/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines on standard error. errno stays as it was; nothing is allocated, locked or buffered. */
#ifndef REPORT_H
#define REPORT_H

/*
 * Before the first line: notes which file standard error is. Another one that takes its number later is the
 * program's own and gets nothing. In a dumpcap that sends its parent messages there, it is the parent's.
 */
void report_start(int argc, char **argv);

/* One line: "hugepcap: PROGRAM[PID]: ...". */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same from HUGEPCAP_VERBOSE=level on. */
#define report_at(level, ...)			\
	do {					\
		if (config.verbose >= (level))	\
			report(__VA_ARGS__);	\
	} while (0)

#endif
