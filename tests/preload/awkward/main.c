/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packet rings in awkward orders. Run with HUGEPCAP_RING=8M under preload.so in a network namespace with lo up.
 * An argument is a case to leave out. Where the ring is of huge pages of the pool (HUGEPCAP_POLICY=hugetlb), a
 * program started anew cannot map it: that is the one difference allowed for.
 */
#define _GNU_SOURCE
#include "awkward.h"

#include <stdlib.h>

const char *self;
int letters_fd;

static const struct {
	const char *name;
	void (*run)(void);
} CASES[] = {
	{ "dup_before_the_ring", dup_before_the_ring },
	{ "close_before_munmap", close_before_munmap },
	{ "two_rings", two_rings },
	{ "mapped_twice", mapped_twice },
	{ "munmap_of_a_part", munmap_of_a_part },
	{ "again", again },
	{ "other_versions", other_versions },
	{ "tx_beside_rx", tx_beside_rx },
	{ "request_out_of_reach", request_out_of_reach },
	{ "request_not_there", request_not_there },
	{ "bad_requests", bad_requests },
	{ "length_of_its_own", length_of_its_own },
	{ "length_within_a_page", length_within_a_page },
	{ "one_request_for_many", one_request_for_many },
	{ "no_descriptor_left", no_descriptor_left },
	{ "names_of_64_bits", names_of_64_bits },
	{ "number_taken_by_a_file", number_taken_by_a_file },
	{ "close_range_that_closes_nothing", close_range_that_closes_nothing },
	{ "close_range_of_a_thread", close_range_of_a_thread },
	{ "closes_everything", closes_everything },
	{ "fork_and_exec", fork_and_exec },
	{ "fork_before_mmap", fork_before_mmap },
	{ "handlers_at_fork", handlers_at_fork },
	{ "vfork_child_closes", vfork_child_closes },
	{ "threads_at_once", threads_at_once },
	{ "signals_in_between", signals_in_between },
};

int main(int argc, char **argv)
{
	char letters[] = "/tmp/awkward.XXXXXX";

	self = argv[0];
	if (argc == 3 && !strcmp(argv[1], "inherited"))
		return inherited(atoi(argv[2]));
	letters_fd = mkstemp(letters);
	CHECK(letters_fd >= 0 && unlink(letters) == 0);
	CHECK(write(letters_fd, "A", 1) == 1 && ftruncate(letters_fd, OWN_BYTES) == 0);
	for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
		if (argc < 2 || strcmp(argv[1], CASES[i].name)) {
			CASES[i].run();
			printf("%s\n", CASES[i].name);
			fflush(stdout);
		}
	CHECK(close(letters_fd) == 0);
	return 0;
}
