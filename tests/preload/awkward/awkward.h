/* SPDX-License-Identifier: BSD-3-Clause */
/* What the awkward cases share: sockets and rings whose every step is checked. */
#ifndef AWKWARD_H
#define AWKWARD_H

#include <errno.h>
#include <linux/if_packet.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BLOCK (256u << 10)
#define OWN_BLOCKS 5u			/* 1.25 MiB: no multiple of a huge page */
#define DEEP_BLOCKS 32u			/* 8 MiB */
#define OWN_BYTES ((size_t)OWN_BLOCKS * BLOCK)

#define CHECK(condition)								\
	do {										\
		if (!(condition)) {							\
			fprintf(stderr, "%s:%d: %s (errno %d, %s)\n", __FILE__, __LINE__, #condition,	\
				errno, strerror(errno));				\
			_exit(1);							\
		}									\
	} while (0)

extern const char *self;		/* this program */
extern int letters_fd;			/* an ordinary file of OWN_BYTES: 'A', then zeros */

void dup_before_the_ring(void);
void close_before_munmap(void);
void two_rings(void);
void mapped_twice(void);
void munmap_of_a_part(void);
void again(void);
void other_versions(void);
void tx_beside_rx(void);
void request_out_of_reach(void);
void request_not_there(void);
void bad_requests(void);
void length_of_its_own(void);
void length_within_a_page(void);
void one_request_for_many(void);
void no_descriptor_left(void);
void names_of_64_bits(void);
void number_taken_by_a_file(void);
void close_range_that_closes_nothing(void);
void close_range_of_a_thread(void);
void closes_everything(void);
void fork_and_exec(void);
void fork_before_mmap(void);
void handlers_at_fork(void);
void vfork_child_closes(void);
void threads_at_once(void);
void signals_in_between(void);
int inherited(int fd);

static inline int packet_socket(int version)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0);
	return fd;
}

static inline struct tpacket_req3 request(void)
{
	return (struct tpacket_req3){
		.tp_block_size = BLOCK, .tp_block_nr = OWN_BLOCKS, .tp_frame_size = BLOCK, .tp_frame_nr = OWN_BLOCKS,
		.tp_retire_blk_tov = 10,
	};
}

/* A V3 ring on fd; its length as libpcap reckons it. */
static inline size_t ring_on(int fd)
{
	struct tpacket_req3 req = request();

	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) == 0);
	CHECK(req.tp_block_nr == DEEP_BLOCKS && req.tp_frame_nr == DEEP_BLOCKS);
	return (size_t)req.tp_block_size * req.tp_block_nr;
}

static inline uint8_t *map(int fd, size_t bytes)
{
	uint8_t *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(area != MAP_FAILED);
	for (size_t at = 0; at < bytes; at += BLOCK)	/* every block has its header */
		CHECK(((volatile struct tpacket_block_desc *)(area + at))->hdr.bh1.block_status == TP_STATUS_KERNEL);
	return area;
}

/*
 * Only a descriptor that the shim knows for the ring's gets the length the program had reckoned. To be asked of a
 * ring that has not been mapped yet.
 */
static inline void check_known(int fd)
{
	CHECK(munmap(map(fd, OWN_BYTES), OWN_BYTES) == 0);
}

#endif
