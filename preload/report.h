/* SPDX-License-Identifier: BSD-3-Clause */
/* Lines on standard error. errno stays as it was; nothing is allocated, locked or buffered. */
#ifndef REPORT_H
#define REPORT_H

/* One line: "hugepcap: PROGRAM[PID]: ...". */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same from HUGEPCAP_VERBOSE=level on. */
#define report_at(level, ...)			\
	do {					\
		if (config.verbose >= (level))	\
			report(__VA_ARGS__);	\
	} while (0)

#endif
