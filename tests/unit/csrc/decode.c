/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mutated packets, a seeded number of them: decode SEED COUNT; input: DLT, number of packets, each length and bytes.
 * Each in an allocation of exactly its size. Prints how many had IP, ports, a payload.
 */
#include "hp_decode.h"

#include <string.h>

#include "input.h"
#include "seeded.h"

static void mutate(uint8_t *data, uint32_t bytes)
{
	static const uint8_t telling[] = { 0, 1, 4, 6, 17, 43, 44, 51, 60, 0x45, 0x4f, 0x60, 0x81, 0xff };

	for (uint32_t left = below(5); left && bytes; left--)
		data[below(bytes < 80 ? bytes : 80)] = below(2) ? telling[below(sizeof(telling))] : (uint8_t)below(256);
}

static void check(const struct hp_decoded *row, uint32_t bytes)
{
	int ports = row->sport[0] || row->dport[0];

	if (row->payload_offset[0] > bytes || row->payload_len[0] > bytes - row->payload_offset[0])
		abort();
	if (!row->ip_version[0] && (row->payload_len[0] || row->proto[0] || ports))
		abort();
	if (row->fragment[0] == HP_FRAG_LATER && ports)
		abort();
}

int main(int argc, char **argv)
{
	uint32_t dlt = get_u32(), nr = get_u32(), *size = calloc(nr, sizeof(*size));
	uint8_t **packets = calloc(nr, sizeof(*packets));
	unsigned long long ip = 0, ports = 0, payloads = 0;
	struct hp_link_header link;
	struct hp_decoded row;
	void *memory = malloc(hp_decoded_bytes(1));

	if (argc != 3 || hp_link_header_of((int)dlt, &link))
		return 2;
	for (uint32_t i = 0; i < nr; i++) {
		size[i] = get_u32();
		packets[i] = get_blob(size[i]);
	}
	seed = strtoull(argv[1], NULL, 0);
	hp_decoded_lay(&row, memory, 1);
	for (uint32_t left = (uint32_t)strtoul(argv[2], NULL, 0); left; left--) {
		uint32_t which = below(nr), bytes = below(3) ? size[which] : below(size[which] + 1);
		uint64_t offset = 0;
		uint8_t *copy = malloc(bytes);

		memcpy(copy, packets[which], bytes);
		mutate(copy, bytes);
		hp_decode(copy, &offset, &bytes, 1, link, &row);
		check(&row, bytes);
		ip += row.ip_version[0] != 0;
		ports += row.sport[0] || row.dport[0];
		payloads += row.payload_len[0] != 0;
		free(copy);
	}
	printf("%llu %llu %llu\n", ip, ports, payloads);
	for (uint32_t i = 0; i < nr; i++)
		free(packets[i]);
	free(packets);
	free(size);
	free(memory);
	return 0;
}
