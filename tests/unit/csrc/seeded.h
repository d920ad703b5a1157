/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers that are random, and the same for the same seed. */
#ifndef SEEDED_H
#define SEEDED_H

#include <stdint.h>

static uint64_t seed;

/* xorshift64* (Vigna) */
static uint32_t below(uint32_t limit)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * 0x2545f4914f6cdd1du >> 32) * limit >> 32);
}

#endif
