/* SPDX-License-Identifier: BSD-3-Clause */
/* expect COUNT SEED SIZE_MIN SIZE_MAX FLOWS: bytes and hash of the generator's packets, as JSON. */
#include <stdio.h>
#include <stdlib.h>

#include "hp_gen.h"
#include "work.h"

int main(int argc, char **argv)
{
	static uint8_t packet[HP_GEN_BYTES_MAX];
	struct hp_gen_spec spec = { .vlan = -1, .ethernet = 1 };
	struct work work = { 0 };

	if (argc != 6) {
		fprintf(stderr, "expect COUNT SEED SIZE_MIN SIZE_MAX FLOWS\n");
		return 2;
	}
	spec.seed = strtoull(argv[2], NULL, 10);
	spec.bytes_min = (uint32_t)strtoul(argv[3], NULL, 10);
	spec.bytes_max = (uint32_t)strtoul(argv[4], NULL, 10);
	spec.flows = (uint32_t)strtoul(argv[5], NULL, 10);
	for (uint64_t n = strtoull(argv[1], NULL, 10), i = 0; i < n; i++)
		work_on(&work, packet, hp_gen_build(&spec, i, packet));
	printf("{\"packets\": %lu, \"bytes\": %lu, \"hash\": %lu}\n", (unsigned long)work.packets,
	       (unsigned long)work.bytes, (unsigned long)work.hash);
	return 0;
}
