/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * classify: the class of each packet given. classify SEED COUNT: of COUNT spoilt and cut ones, made from those given;
 * prints how many of each class. Packets and address sets are allocations of exactly their size.
 */
#include "hp_class.h"
#include "input.h"

#include <string.h>

static struct hp_ports ports_get(void)
{
	struct hp_ports ports = { .nr = get_u32() };
	uint16_t *list = calloc(ports.nr + 1, sizeof(*list));

	for (uint32_t i = 0; i < ports.nr; i++)
		list[i] = (uint16_t)get_u32();
	ports.list = list;
	return ports;
}

static struct hp_set *set_get(uint32_t address_bytes)
{
	uint32_t bytes = get_u32();
	uint8_t *packed = get_blob(bytes);
	struct hp_set *set = bytes ? hp_set_new(packed, bytes, address_bytes) : NULL;

	free(packed);
	return set;
}

static struct hp_classifier classifier_get(void)
{
	struct hp_classifier cls = { .profile = (enum hp_profile)get_u32() };

	cls.l2_offset = get_u32();
	cls.dns_port = (uint16_t)get_u32();
	cls.flow_cutoff = get_u32();
	cls.ipv6 = (int)get_u32();
	cls.http = ports_get();
	cls.tls = ports_get();
	cls.set4 = set_get(4);
	cls.set6 = set_get(16);
	cls.flows = cls.flow_cutoff ? hp_flows_new() : NULL;
	return cls;
}

static void classifier_free(struct hp_classifier *cls)
{
	free((void *)cls->http.list);
	free((void *)cls->tls.list);
	hp_set_free(cls->set4);
	hp_set_free(cls->set6);
	hp_flows_free(cls->flows);
}

struct packet {
	uint8_t *data;
	uint32_t bytes;
};

/* xorshift64* (Vigna) */
static uint32_t below(uint64_t *seed, uint32_t limit)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return (uint32_t)((*seed * 0x2545f4914f6cdd1du >> 32) * limit >> 32);
}

/* Up to 4 bytes changed, most of them in the headers; cut anywhere in half of the cases. */
static struct packet spoilt(const struct packet *from, uint64_t *seed)
{
	struct packet p = { .bytes = below(seed, 2) ? from->bytes : below(seed, from->bytes + 1) };

	p.data = malloc(p.bytes);
	memcpy(p.data, from->data, p.bytes);
	for (uint32_t left = below(seed, 5); left && p.bytes; left--)
		p.data[below(seed, below(seed, 4) && p.bytes > 64 ? 64 : p.bytes)] = (uint8_t)below(seed, 256);
	return p;
}

static void fuzz(const struct hp_classifier *cls, const struct packet *from, uint32_t nr, uint64_t seed, uint32_t count)
{
	uint64_t classes[HP_CLASS_MAX] = { 0 };

	while (count--) {
		struct packet p = spoilt(&from[below(&seed, nr)], &seed);

		classes[hp_classify(cls, p.data, p.bytes)]++;
		free(p.data);
	}
	for (int i = 0; i < HP_CLASS_MAX; i++)
		printf("%llu\n", (unsigned long long)classes[i]);
}

int main(int argc, char **argv)
{
	struct hp_classifier cls = classifier_get();
	uint32_t nr = get_u32();
	struct packet *packets = calloc(nr + 1, sizeof(*packets));

	for (uint32_t i = 0; i < nr; i++) {
		packets[i].bytes = get_u32();
		packets[i].data = get_blob(packets[i].bytes);
	}
	if (argc == 3)
		fuzz(&cls, packets, nr, strtoull(argv[1], NULL, 0), (uint32_t)strtoul(argv[2], NULL, 0));
	for (uint32_t i = 0; i < nr; i++) {
		if (argc != 3)
			printf("%d\n", hp_classify(&cls, packets[i].data, packets[i].bytes));
		free(packets[i].data);
	}
	free(packets);
	classifier_free(&cls);
	return 0;
}
