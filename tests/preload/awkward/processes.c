/* SPDX-License-Identifier: BSD-3-Clause */
/* Children, threads, signals. */
#define _GNU_SOURCE
#include "awkward.h"

#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>

static int hugetlb(void)
{
	const char *policy = getenv("HUGEPCAP_POLICY");

	return policy && !strcmp(policy, "hugetlb");
}

static void check_child(pid_t child)
{
	int status;

	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *close_own_copies(void *nothing)
{
	CHECK(close_range(3, ~0u, CLOSE_RANGE_UNSHARE) == 0);
	return nothing;
}

/* A thread that takes a table of descriptors of its own closes nobody else's. */
void close_range_of_a_thread(void)
{
	int fd = packet_socket(TPACKET_V3);
	pthread_t thread;

	ring_on(fd);
	CHECK(pthread_create(&thread, NULL, close_own_copies, NULL) == 0 && pthread_join(thread, NULL) == 0);
	check_known(fd);
	CHECK(close(fd) == 0);
}

/* What a daemon does: closes all it did not open itself, the shim's memory too. */
void closes_everything(void)
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

void fork_and_exec(void)
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
int inherited(int fd)
{
	if (!hugetlb())
		map(fd, (size_t)DEEP_BLOCKS * BLOCK);
	return 0;
}

static void tell(int peer)
{
	CHECK(write(peer, "", 1) == 1);
}

static void hear(int peer)
{
	char word;

	CHECK(read(peer, &word, 1) == 1);
}

/* Each with the length it had reckoned: the first to map has the ring made anew, and unmaps last. */
static void map_in_both(int child_first)
{
	int fd = packet_socket(TPACKET_V3), ends[2], mine;
	uint8_t *area;
	pid_t child;

	ring_on(fd);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	child = fork();
	mine = ends[!child];
	CHECK(close(ends[!!child]) == 0);
	if (child_first != !child)
		hear(mine);
	area = map(fd, OWN_BYTES);
	area[OWN_BYTES - 1] = 1;
	tell(mine);
	if (child_first == !child)
		hear(mine);
	CHECK(munmap(area, OWN_BYTES) == 0 && close(fd) == 0 && close(mine) == 0);
	if (!child)
		_exit(0);
	check_child(child);
}

void fork_before_mmap(void)
{
	if (hugetlb())		/* the memory is of the process that made the ring */
		return;
	map_in_both(0);
	map_in_both(1);
}

static int at_fork = -1;

static void move_at_fork(void)
{
	int copy;

	if (at_fork < 0)
		return;
	copy = dup(at_fork);
	CHECK(copy >= 0 && close(at_fork) == 0);
	at_fork = copy;
}

static void register_handlers(void)
{
	pthread_atfork(move_at_fork, move_at_fork, move_at_fork);
}

/* Before the shim's: at a fork these then run after its first handler and, in the child, before its last. */
__attribute__((section(".preinit_array"), used)) static void (*before_the_shim)(void) = register_handlers;

/* Those of other libraries may close, dup and map. */
void handlers_at_fork(void)
{
	pid_t child;

	at_fork = packet_socket(TPACKET_V3);
	ring_on(at_fork);
	child = fork();
	if (!child) {
		check_known(at_fork);
		_exit(close(at_fork) != 0);
	}
	check_child(child);
	check_known(at_fork);
	CHECK(close(at_fork) == 0);
	at_fork = -1;
}

/* A child of vfork works in its parent's memory; what it closes is its own. */
void vfork_child_closes(void)
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

void threads_at_once(void)
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

void signals_in_between(void)
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
