/* SPDX-License-Identifier: BSD-3-Clause */
/* Sets of prefixes of any number: whether an address is in one of them. */
#ifndef HP_PREFIX_H
#define HP_PREFIX_H

#include <stddef.h>
#include <stdint.h>

typedef unsigned __int128 hp_address;	/* as a number, so that prefixes are ranges */

struct hp_prefixes;

/*
 * Records of `address_bytes` (4 or 16, network order) and one byte, the prefix's length; bits behind it do not count.
 * 0, -ENOMEM, or -EINVAL: *bad is the first record whose length is too long.
 */
int hp_prefixes_new(struct hp_prefixes **made, const uint8_t *packed, size_t nr, uint32_t address_bytes, size_t *bad);
void hp_prefixes_free(struct hp_prefixes *set);

/* How many different prefixes were given; how many bytes of memory they take. */
size_t hp_prefixes_nr(const struct hp_prefixes *set);
size_t hp_prefixes_bytes(const struct hp_prefixes *set);

/* Addresses of 16 bytes, IPv4 as ::ffff:a.b.c.d, which only set4 is asked about. */
void hp_prefixes_mask(const struct hp_prefixes *set4, const struct hp_prefixes *set6, const uint8_t *addresses,
		      size_t nr, uint8_t *mask);

#endif
