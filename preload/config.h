/* SPDX-License-Identifier: BSD-3-Clause */
/* The environment of preload.so, read once when it is loaded. */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdint.h>

#include "../hugepcap/_csrc/hp_mem.h"

struct config {
	enum hp_policy policy;
	uint64_t ring_bytes;	/* 0: as the program asks */
	int strict;
	int verbose;		/* 0 to 3 */
	const char *mount;	/* or NULL */
};

extern struct config config;

/*
 * Fills config. Says each unknown name or value in a line, unless the parent has; under HUGEPCAP_STRICT=1 it
 * then ends the process.
 */
void config_read(char **environment);

#endif
