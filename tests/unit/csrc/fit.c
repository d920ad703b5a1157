/* SPDX-License-Identifier: BSD-3-Clause */
/* Prints block_bytes, block_nr and retire_ms for each line of `bytes block_bytes snaplen retire_ms`. */
#include <inttypes.h>
#include <stdio.h>

#include "hp_ring.h"

int main(void)
{
	uint64_t bytes;
	uint32_t block_bytes, snaplen, retire_ms;
	struct hp_geometry geo;

	while (scanf("%" SCNu64 " %" SCNu32 " %" SCNu32 " %" SCNu32, &bytes, &block_bytes, &snaplen, &retire_ms) == 4) {
		hp_geometry_fit(&geo, bytes, block_bytes, snaplen, retire_ms);
		printf("%" PRIu32 " %" PRIu32 " %" PRIu32 "\n", geo.block_bytes, geo.block_nr, geo.retire_ms);
	}
	return 0;
}
