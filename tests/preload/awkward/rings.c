/* SPDX-License-Identifier: BSD-3-Clause */
/* One process: orders of calls, requests of every kind, numbers that change hands. */
#define _GNU_SOURCE
#include "awkward.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>

void dup_before_the_ring(void)
{
	int fd = packet_socket(TPACKET_V3);
	int copies[] = { dup(fd), fcntl(fd, F_DUPFD_CLOEXEC, 100), dup3(fd, 200, O_CLOEXEC) };
	int late;

	ring_on(fd);
	late = dup(fd);
	CHECK(copies[1] >= 100 && copies[2] == 200);
	CHECK(close(fd) == 0);
	check_known(late);
	CHECK(close(late) == 0);
	for (int i = 0; i < 3; i++)
		CHECK(close(copies[i]) == 0);
}

void close_before_munmap(void)
{
	int fd = packet_socket(TPACKET_V3);
	size_t bytes = ring_on(fd);
	uint8_t *area = map(fd, bytes);

	CHECK(close(fd) == 0);
	area[bytes - 1] = 1;
	CHECK(munmap(area, bytes) == 0);
}

void two_rings(void)
{
	int first = packet_socket(TPACKET_V3), second = packet_socket(TPACKET_V3);
	size_t bytes = ring_on(first);
	uint8_t *one, *two;

	CHECK(ring_on(second) == bytes);
	two = map(second, bytes);
	one = map(first, bytes);
	one[BLOCK - 1] = 7;
	CHECK(two[BLOCK - 1] == 0);
	CHECK(munmap(one, bytes) == 0 && close(first) == 0);
	two[0] = 0;
	CHECK(close(second) == 0 && munmap(two, bytes) == 0);
}

void mapped_twice(void)
{
	int fd = packet_socket(TPACKET_V3);
	size_t bytes = ring_on(fd);
	uint8_t *one = map(fd, bytes), *two = map(fd, bytes);

	one[BLOCK - 1] = 7;
	CHECK(two[BLOCK - 1] == 7);
	CHECK(munmap(one, bytes) == 0 && munmap(two, bytes) == 0);
	CHECK(mmap(NULL, bytes / 2, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	CHECK(mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, BLOCK) == MAP_FAILED && errno == EINVAL);
	CHECK(close(fd) == 0);
}

void munmap_of_a_part(void)
{
	int fd = packet_socket(TPACKET_V3);
	size_t bytes = ring_on(fd);
	uint8_t *area = map(fd, bytes);

	CHECK(munmap(area + BLOCK, BLOCK) == 0);
	area[0] = 1;
	area[bytes - 1] = 1;
	CHECK(munmap(area, bytes / 2) == 0);
	CHECK(munmap(area + bytes / 2, bytes / 2) == 0);
	CHECK(munmap(area, 5000) == 0);			/* nothing there: all right for munmap */
	CHECK(munmap(area + 1, 5000) == -1 && errno == EINVAL);
	CHECK(close(fd) == 0);
}

void again(void)
{
	int fd = packet_socket(TPACKET_V3);
	struct tpacket_req3 none = { 0 }, req = request();

	for (int i = 0; i < 3; i++) {
		size_t bytes = ring_on(fd);

		CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) == -1 && errno == EBUSY);
		CHECK(munmap(map(fd, bytes), bytes) == 0);
		CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, 16) == -1 && errno == EINVAL);
		CHECK(munmap(map(fd, bytes), bytes) == 0);
		CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &none, sizeof(none)) == 0);
		CHECK(mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
	}
	CHECK(close(fd) == 0);
}

void other_versions(void)
{
	for (int version = TPACKET_V1; version <= TPACKET_V2; version++) {
		struct tpacket_req req = { BLOCK, OWN_BLOCKS, 2048, OWN_BLOCKS * (BLOCK / 2048) };
		int fd = packet_socket(version == TPACKET_V1 ? TPACKET_V1 : TPACKET_V2);

		CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) == 0);
		CHECK(req.tp_block_nr == DEEP_BLOCKS && req.tp_frame_nr == DEEP_BLOCKS * (BLOCK / 2048));
		CHECK(munmap(map(fd, (size_t)DEEP_BLOCKS * BLOCK), (size_t)DEEP_BLOCKS * BLOCK) == 0);
		CHECK(close(fd) == 0);
	}
}

/* The TX ring follows the RX ring in one mapping, in whatever order they are asked for. */
void tx_beside_rx(void)
{
	for (int tx_first = 0; tx_first < 2; tx_first++) {
		struct tpacket_req req = { BLOCK, OWN_BLOCKS, 2048, OWN_BLOCKS * (BLOCK / 2048) }, tx = req;
		size_t bytes = (size_t)BLOCK * (DEEP_BLOCKS + OWN_BLOCKS);
		int fd = packet_socket(TPACKET_V2);
		uint8_t *area;

		CHECK(setsockopt(fd, SOL_PACKET, tx_first ? PACKET_TX_RING : PACKET_RX_RING, &tx, sizeof(tx)) == 0);
		CHECK(setsockopt(fd, SOL_PACKET, tx_first ? PACKET_RX_RING : PACKET_TX_RING, &req, sizeof(req)) == 0);
		CHECK(req.tp_block_nr + tx.tp_block_nr == DEEP_BLOCKS + OWN_BLOCKS);
		area = map(fd, bytes);
		area[bytes - 1] = 1;
		CHECK(munmap(area, bytes) == 0 && close(fd) == 0);
	}
}

void request_out_of_reach(void)
{
	int fd = packet_socket(TPACKET_V3);
	struct tpacket_req3 *req = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(req != MAP_FAILED);
	*req = request();
	CHECK(mprotect(req, 4096, PROT_READ) == 0);
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, req, sizeof(*req)) == 0);
	CHECK(req->tp_block_nr == OWN_BLOCKS);
	CHECK(mmap(NULL, (size_t)DEEP_BLOCKS * BLOCK, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	check_known(fd);
	CHECK(close(fd) == 0);
	CHECK(munmap(req, 4096) == 0);
}

/* Not for valgrind, which would complain of the pointers and of the length themselves. */
void request_not_there(void)
{
	int fd = packet_socket(TPACKET_V3);
	void *gone = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct tpacket_req3 req = request();

	CHECK(gone != MAP_FAILED && munmap(gone, 4096) == 0);
	/* af_packet says EINVAL where others say EFAULT */
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, gone, 28) == -1 && errno == EINVAL);
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, NULL, 28) == -1 && errno == EINVAL);
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, (socklen_t)-1) == -1 && errno == EINVAL);
	CHECK(close(fd) == 0);
}

void bad_requests(void)
{
	int fd = packet_socket(TPACKET_V3);
	struct tpacket_req3 odd = request(), frames = request();

	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &odd, sizeof(struct tpacket_req)) == -1 && errno == EINVAL);
	odd.tp_block_size = 5000;
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &odd, sizeof(odd)) == -1 && errno == EINVAL);
	CHECK(odd.tp_block_nr == OWN_BLOCKS);
	odd.tp_block_size = 0;
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &odd, sizeof(odd)) == -1 && errno == EINVAL);
	frames.tp_frame_nr++;
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &frames, sizeof(frames)) == -1 && errno == EINVAL);
	CHECK(setsockopt(-1, SOL_PACKET, PACKET_RX_RING, &frames, sizeof(frames)) == -1 && errno == EBADF);
	CHECK(setsockopt(letters_fd, SOL_PACKET, PACKET_RX_RING, &frames, sizeof(frames)) == -1 && errno == ENOTSOCK);
	CHECK(munmap(map(fd, ring_on(fd)), (size_t)DEEP_BLOCKS * BLOCK) == 0);
	CHECK(close(fd) == 0 && close(fd) == -1 && errno == EBADF);
}

/* It has reckoned the length before asking, and never looks at the request again. */
void length_of_its_own(void)
{
	int fd = packet_socket(TPACKET_V3);

	ring_on(fd);
	CHECK(munmap(map(fd, OWN_BYTES), OWN_BYTES) == 0);
	CHECK(munmap(map(fd, OWN_BYTES), OWN_BYTES) == 0);
	CHECK(close(fd) == 0);
}

/* The kernel rounds the length of a mapping up to pages. */
void length_within_a_page(void)
{
	size_t deep = (size_t)DEEP_BLOCKS * BLOCK, lengths[] = { OWN_BYTES - 100, deep - 100 };

	for (int i = 0; i < 2; i++) {
		int fd = packet_socket(TPACKET_V3);

		CHECK(ring_on(fd) == deep);
		CHECK(munmap(map(fd, lengths[i]), lengths[i]) == 0);
		CHECK(close(fd) == 0);
	}
}

static void check_own_length(struct tpacket_req3 *req)
{
	int fd = packet_socket(TPACKET_V3);

	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, req, sizeof(*req)) == 0);
	check_known(fd);
	CHECK(close(fd) == 0);
}

/* What we wrote into a structure for one socket comes in for the next; what another one left makes it no clearer. */
void one_request_for_many(void)
{
	struct tpacket_req3 req = request(), other = request();
	int fd = packet_socket(TPACKET_V3);

	for (int i = 0; i < 3; i++)
		check_own_length(&req);
	other.tp_block_nr = other.tp_frame_nr = OWN_BLOCKS + 2;
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &other, sizeof(other)) == 0);
	CHECK(close(fd) == 0);
	check_own_length(&req);
}

void no_descriptor_left(void)
{
	int fd = packet_socket(TPACKET_V3), first_free = dup(fd);
	struct rlimit usual, none;

	CHECK(first_free >= 0 && close(first_free) == 0 && getrlimit(RLIMIT_NOFILE, &usual) == 0);
	none = (struct rlimit){ first_free, usual.rlim_max };
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	ring_on(fd);
	CHECK(setrlimit(RLIMIT_NOFILE, &usual) == 0);
	check_known(fd);
	CHECK(close(fd) == 0);
}

/* What programs built for 64-bit file offsets call. */
void names_of_64_bits(void)
{
	int fd = packet_socket(TPACKET_V3), copy;
	void *area;

	ring_on(fd);
	copy = fcntl64(fd, F_DUPFD, 100);
	CHECK(copy >= 100 && close(fd) == 0);
	area = mmap64(NULL, OWN_BYTES, PROT_READ, MAP_SHARED, copy, 0);	/* as check_known */
	CHECK(area != MAP_FAILED);
	CHECK(munmap(area, OWN_BYTES) == 0 && close(copy) == 0);
}

static void check_is_file(int fd)
{
	uint8_t *area = mmap(NULL, OWN_BYTES, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(area != MAP_FAILED && area[0] == 'A' && area[OWN_BYTES - 1] == 0);
	CHECK(munmap(area, OWN_BYTES) == 0);
}

void number_taken_by_a_file(void)
{
	int fd = packet_socket(TPACKET_V3);

	ring_on(fd);
	CHECK(dup2(letters_fd, fd) == fd);
	check_is_file(fd);
	CHECK(close(fd) == 0);

	CHECK(packet_socket(TPACKET_V3) == fd);
	ring_on(fd);
	CHECK(syscall(SYS_close, fd) == 0);		/* behind the shim's back */
	CHECK(syscall(SYS_dup, letters_fd) == fd);
	check_is_file(fd);
	CHECK(close(fd) == 0);

	CHECK(packet_socket(TPACKET_V3) == fd);
	ring_on(fd);
	CHECK(close_range(fd, fd + 50, 0) == 0);
	CHECK(fcntl(letters_fd, F_DUPFD, fd) == fd);
	check_is_file(fd);
	CHECK(close(fd) == 0);
}

void close_range_that_closes_nothing(void)
{
	int fd = packet_socket(TPACKET_V3);

	ring_on(fd);
	CHECK(close_range(fd, fd, 8) == -1 && errno == EINVAL);		/* no such flag */
	CHECK(close_range(fd, fd - 1, 0) == -1 && errno == EINVAL);
	check_known(fd);
	CHECK(close(fd) == 0);
}
