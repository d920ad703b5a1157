/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a file's program says of files' packets, and what the socket's program made of it says of the kernel's.
 * Prints for each program its new length (or -errno) and tests_vlan, then for each packet: the socket's program,
 * the file's with the tag, the file's without.
 */
#include "bpf_run.h"
#include "hp_bpf.h"
#include "input.h"

struct sides {
	struct ancillary anc;
	struct packet kernel, file, untagged;
};

static struct packet packet_get(const struct ancillary *anc)
{
	uint32_t bytes = get_u32();

	return (struct packet){ .data = get_blob(bytes), .caplen = bytes, .len = bytes, .anc = anc };
}

static void sides_get(struct sides *s)
{
	get_bytes(&s->anc, sizeof(s->anc));
	s->kernel = packet_get(&s->anc);
	s->file = packet_get(NULL);
	s->untagged = packet_get(NULL);
}

static void try_program(enum hp_link link, uint32_t snaplen, const struct sides *sides, uint32_t sides_nr)
{
	uint32_t nr = get_u32();
	struct sock_filter *insns = (struct sock_filter *)get_blob(nr * sizeof(*insns));
	struct sock_filter *out = malloc(BPF_MAXINSNS * sizeof(*out));
	int rc = hp_bpf_for_socket(insns, nr, link, snaplen, out);

	printf("P %d %d\n", rc, hp_bpf_tests_vlan(insns, nr, link));
	for (uint32_t i = 0; i < sides_nr && rc > 0 && nr; i++)
		printf("%u %u %u\n", bpf_run(out, &sides[i].kernel), bpf_run(insns, &sides[i].file),
		       bpf_run(insns, &sides[i].untagged));
	free(out);
	free(insns);
}

int main(void)
{
	enum hp_link link = (enum hp_link)get_u32();
	uint32_t snaplen = get_u32(), sides_nr = get_u32(), programs;
	struct sides *sides = calloc(sides_nr, sizeof(*sides));

	for (uint32_t i = 0; i < sides_nr; i++)
		sides_get(&sides[i]);
	programs = get_u32();
	while (programs--)
		try_program(link, snaplen, sides, sides_nr);
	for (uint32_t i = 0; i < sides_nr; i++) {
		free((void *)sides[i].kernel.data);
		free((void *)sides[i].file.data);
		free((void *)sides[i].untagged.data);
	}
	free(sides);
	return 0;
}
