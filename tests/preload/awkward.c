/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packet rings in awkward orders. Run with HUGEPCAP_RING=8M under preload.so in a network namespace with lo up.
 * An argument is a case to leave out. Where the ring is of huge pages of the pool (HUGEPCAP_POLICY=hugetlb), a
 * program started anew cannot map it: that is the one difference allowed for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK (256u << 10)
#define OWN_BLOCKS 5u			/* 1.25 MiB: no multiple of a huge page */
#define DEEP_BLOCKS 32u			/* 8 MiB */
#define OWN_BYTES ((size_t)OWN_BLOCKS * BLOCK)

#define CHECK(condition)								\
	do {										\
		if (!(condition)) {							\
			fprintf(stderr, "awkward: line %d: %s (errno %d, %s)\n", __LINE__, #condition,	\
				errno, strerror(errno));				\
			_exit(1);							\
		}									\
	} while (0)

static const char *self;
static char letters[] = "/tmp/awkward.XXXXXX";
static int letters_fd;			/* an ordinary file of OWN_BYTES: 'A', then zeros */

static int hugetlb(void)
{
	const char *policy = getenv("HUGEPCAP_POLICY");

	return policy && !strcmp(policy, "hugetlb");
}

static int packet_socket(int version)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	CHECK(fd >= 0);
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) == 0);
	return fd;
}

static struct tpacket_req3 request(void)
{
	return (struct tpacket_req3){
		.tp_block_size = BLOCK, .tp_block_nr = OWN_BLOCKS, .tp_frame_size = BLOCK, .tp_frame_nr = OWN_BLOCKS,
		.tp_retire_blk_tov = 10,
	};
}

/* A V3 ring on fd; its length as libpcap reckons it. */
static size_t ring_on(int fd)
{
	struct tpacket_req3 req = request();

	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) == 0);
	CHECK(req.tp_block_nr == DEEP_BLOCKS && req.tp_frame_nr == DEEP_BLOCKS);
	return (size_t)req.tp_block_size * req.tp_block_nr;
}

static uint8_t *map(int fd, size_t bytes)
{
	uint8_t *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(area != MAP_FAILED);
	for (size_t at = 0; at < bytes; at += BLOCK)	/* every block has its header */
		CHECK(((volatile struct tpacket_block_desc *)(area + at))->hdr.bh1.block_status == TP_STATUS_KERNEL);
	return area;
}

static void check_is_file(int fd)
{
	uint8_t *area = mmap(NULL, OWN_BYTES, PROT_READ, MAP_SHARED, fd, 0);

	CHECK(area != MAP_FAILED && area[0] == 'A' && area[OWN_BYTES - 1] == 0);
	CHECK(munmap(area, OWN_BYTES) == 0);
}

/*
 * Only a descriptor that the shim knows for the ring's gets the length the program had reckoned. To be asked of a
 * ring that has not been mapped yet.
 */
static void check_known(int fd)
{
	CHECK(munmap(map(fd, OWN_BYTES), OWN_BYTES) == 0);
}

static void check_child(pid_t child)
{
	int status;

	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void dup_before_the_ring(void)
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

static void close_before_munmap(void)
{
	int fd = packet_socket(TPACKET_V3);
	size_t bytes = ring_on(fd);
	uint8_t *area = map(fd, bytes);

	CHECK(close(fd) == 0);
	area[bytes - 1] = 1;
	CHECK(munmap(area, bytes) == 0);
}

static void two_rings(void)
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

static void mapped_twice(void)
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

static void munmap_of_a_part(void)
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

static void again(void)
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

static void other_versions(void)
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
static void tx_beside_rx(void)
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

static void request_out_of_reach(void)
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

/* Not for valgrind, which would complain of the pointers themselves. */
static void request_not_there(void)
{
	int fd = packet_socket(TPACKET_V3);
	void *gone = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(gone != MAP_FAILED && munmap(gone, 4096) == 0);
	/* af_packet says EINVAL where others say EFAULT */
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, gone, 28) == -1 && errno == EINVAL);
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, NULL, 28) == -1 && errno == EINVAL);
	CHECK(close(fd) == 0);
}

static void bad_requests(void)
{
	int fd = packet_socket(TPACKET_V3);
	struct tpacket_req3 odd = request(), frames = request();

	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &odd, sizeof(struct tpacket_req)) == -1 && errno == EINVAL);
	odd.tp_block_size = 5000;
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &odd, sizeof(odd)) == -1 && errno == EINVAL);
	CHECK(odd.tp_block_nr == OWN_BLOCKS);
	frames.tp_frame_nr++;
	CHECK(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &frames, sizeof(frames)) == -1 && errno == EINVAL);
	CHECK(setsockopt(-1, SOL_PACKET, PACKET_RX_RING, &frames, sizeof(frames)) == -1 && errno == EBADF);
	CHECK(setsockopt(letters_fd, SOL_PACKET, PACKET_RX_RING, &frames, sizeof(frames)) == -1 && errno == ENOTSOCK);
	CHECK(munmap(map(fd, ring_on(fd)), (size_t)DEEP_BLOCKS * BLOCK) == 0);
	CHECK(close(fd) == 0 && close(fd) == -1 && errno == EBADF);
}

/* It has reckoned the length before asking, and never looks at the request again. */
static void length_of_its_own(void)
{
	int fd = packet_socket(TPACKET_V3);

	ring_on(fd);
	CHECK(munmap(map(fd, OWN_BYTES), OWN_BYTES) == 0);
	CHECK(munmap(map(fd, OWN_BYTES), OWN_BYTES) == 0);
	CHECK(close(fd) == 0);
}

static void number_taken_by_a_file(void)
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

/* What a daemon does: closes all it did not open itself, the shim's memory too. */
static void closes_everything(void)
{
	int fd = packet_socket(TPACKET_V3);
	size_t bytes = ring_on(fd);
	pid_t child = fork();

	if (!child) {
		uint8_t *area = map(fd, bytes);

		for (int other = 3; other < 64; other++)
			close(other);
		area[bytes - 1] = 1;
		_exit(munmap(area, bytes) != 0);
	}
	check_child(child);
	child = fork();
	if (!child) {
		closefrom(3);
		_exit(ring_on(packet_socket(TPACKET_V3)) != bytes);
	}
	check_child(child);
	CHECK(munmap(map(fd, bytes), bytes) == 0 && close(fd) == 0);
}

static void fork_and_exec(void)
{
	int fd = packet_socket(TPACKET_V3);
	size_t bytes = ring_on(fd);
	pid_t child = fork();
	char number[16];

	if (!child) {
		uint8_t *area = map(fd, bytes);

		CHECK(close(fd) == 0);
		area[0] = 0;
		_exit(munmap(area, bytes) != 0);
	}
	check_child(child);
	snprintf(number, sizeof(number), "%d", fd);
	child = fork();
	if (!child) {
		execl(self, self, "inherited", number, NULL);
		_exit(1);
	}
	check_child(child);
	CHECK(munmap(map(fd, bytes), bytes) == 0 && close(fd) == 0);
}

/* The program of fork_and_exec: another image, the same socket. */
static int inherited(int fd)
{
	if (!hugetlb())
		map(fd, (size_t)DEEP_BLOCKS * BLOCK);
	return 0;
}

/* A child of vfork works in its parent's memory; what it closes is its own. */
static void vfork_child_closes(void)
{
	int fd = packet_socket(TPACKET_V3);
	pid_t child;

	ring_on(fd);
	child = vfork();
	if (!child) {
		close(fd);
		close_range(3, 100, 0);
		_exit(0);
	}
	check_child(child);
	check_known(fd);
	CHECK(close(fd) == 0);
}

static void *open_and_close(void *nothing)
{
	for (int i = 0; i < 20; i++) {
		int fd = packet_socket(TPACKET_V3);
		size_t bytes = ring_on(fd);
		uint8_t *area = map(fd, bytes);

		if (i % 2)
			CHECK(close(fd) == 0 && munmap(area, bytes) == 0);
		else
			CHECK(munmap(area, bytes) == 0 && close(fd) == 0);
	}
	return nothing;
}

static void *fork_at_once(void *nothing)
{
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (!child)
			_exit(0);
		check_child(child);
	}
	return nothing;
}

static void threads_at_once(void)
{
	pthread_t threads[6];

	for (int i = 0; i < 6; i++)
		CHECK(pthread_create(&threads[i], NULL, i ? open_and_close : fork_at_once, NULL) == 0);
	for (int i = 0; i < 6; i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

static int in_handler;
static volatile sig_atomic_t handled;

static void handler(int signal)
{
	int copy = dup(in_handler);

	(void)signal;
	CHECK(copy >= 0 && dup2(in_handler, copy) == copy && close(copy) == 0);
	handled++;
}

static void signals_in_between(void)
{
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };

	in_handler = packet_socket(TPACKET_V3);
	ring_on(in_handler);
	CHECK(signal(SIGALRM, handler) != SIG_ERR && setitimer(ITIMER_REAL, &often, NULL) == 0);
	while (handled < 200)
		open_and_close(NULL);
	CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
	CHECK(close(in_handler) == 0);
}

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
	{ "number_taken_by_a_file", number_taken_by_a_file },
	{ "closes_everything", closes_everything },
	{ "fork_and_exec", fork_and_exec },
	{ "vfork_child_closes", vfork_child_closes },
	{ "threads_at_once", threads_at_once },
	{ "signals_in_between", signals_in_between },
};

int main(int argc, char **argv)
{
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
