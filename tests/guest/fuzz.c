// SPDX-License-Identifier: BSD-3-Clause
/*
 * fuzz WORKERS SEQUENCES SEED [INTERFACE]: random sequences of the ring
 * options, mappings, traffic, forks and kills, by several processes at once.
 * In some sequences a second thread of the process, or children that share
 * its sockets, do the same at the same time. It asserts nothing itself: the
 * kernel's log, its leak detector and the memory counters afterwards are the
 * verdict.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SYSCTL		"/proc/sys/net/packet/huge_rings"
#define KILL_EVERY	25	/* sequences that finish between two kills */

struct shared *shared;
static __thread uint64_t state;

void seed_random(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15ULL | 1;
}

uint32_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 16;
}

uint32_t below(uint32_t n)
{
	return rnd() % n;
}

int one_in(uint32_t n)
{
	return below(n) == 0;
}

static operation *const operations[] = {
	op_use, op_use, op_enable, op_enable, op_ring, op_ring, op_map, op_map,
	op_drop, op_bind, op_traffic, op_send, op_touch, op_touch, op_remap,
	op_remap, op_region, op_region, op_info, op_version, op_dup, op_sysctl,
	op_close,
};

/* Most of a sequence is about one socket. */
static void steps(struct worker *w, int count)
{
	while (count--) {
		struct slot *s = &w->slot[one_in(4) ? below(SOCKETS) : 0];

		op_open(w, s);
		operations[below(ARRAY(operations))](w, s);
	}
}

static void *second_thread(void *data)
{
	seed_random(getpid() + (uintptr_t)&data + time(NULL));
	steps(data, 2 + below(8));
	return NULL;
}

/* On a stack that is no mapping: see PLACE(). */
static int thread_start(struct worker *w, pthread_t *thread)
{
	static char stack[64 << 10] __attribute__((aligned(4096)));
	pthread_attr_t attributes;
	int failed;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stack, sizeof(stack));
	w->in_company = 1;
	failed = pthread_create(thread, &attributes, second_thread, w);
	pthread_attr_destroy(&attributes);
	if (failed)
		return 0;
	atomic_fetch_add(&shared->threads, 1);
	return 1;
}

static void child(struct worker *w)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed_random(getpid());
	steps(w, 1 + below(6));
	if (one_in(2))
		raise(SIGKILL);
	_exit(0);
}

static void child_reap(pid_t *pid)
{
	if (!*pid)
		return;
	if (one_in(2))
		kill(*pid, SIGKILL);
	waitpid(*pid, NULL, 0);
	*pid = 0;
}

/* Children go on beside their parent until the end of its sequence. */
static void child_start(struct worker *w)
{
	pid_t *pid = &w->children[below(CHILDREN)];

	child_reap(pid);
	*pid = fork();
	if (!*pid)
		child(w);
	if (*pid < 0)
		*pid = 0;
	else
		atomic_fetch_add(&shared->children, 1);
}

static void sequence_end(struct worker *w)
{
	int i;

	for (i = 0; i < CHILDREN; i++)
		child_reap(&w->children[i]);
	for (i = 0; i < SOCKETS; i++) {
		struct slot *s = &w->slot[i];

		if (s->map)
			munmap(s->map, s->map_len);
		if (s->fd >= 0)
			close(s->fd);
		memset(s, 0, sizeof(*s));
		s->fd = -1;
	}
	/* what a thread's race has left, of mappings and of sockets */
	munmap(PLACE(1), PLACE(1 + 2 * SOCKETS) - PLACE(1));
	close_range(w->huge_rings + 1, ~0U, 0);
}

static void sequence(struct worker *w)
{
	int threaded, rounds = 1 + below(4);
	pthread_t thread;

	if (one_in(8))
		region_new(w);
	threaded = one_in(4) && thread_start(w, &thread);
	while (rounds--) {
		steps(w, 2 + below(4));
		if (one_in(6))
			child_start(w);
	}
	if (threaded)
		pthread_join(thread, NULL);
	w->in_company = 0;
	sequence_end(w);
}

static void work(uint64_t seed, unsigned int sequences, const char *interface)
{
	struct worker w = { .slot = { { .fd = -1 }, { .fd = -1 } } };
	struct rlimit none = { 0, 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &none);
	seed_random(seed);
	w.ifindex = if_nametoindex(interface);
	w.hugetlb = memfd_create("fuzz", MFD_HUGETLB);
	w.shmem = memfd_create("fuzz", 0);
	w.sender = socket(AF_PACKET, SOCK_RAW, 0);
	w.huge_rings = open(SYSCTL, O_WRONLY);
	if (w.huge_rings < 0 || ftruncate(w.hugetlb, REGION) || ftruncate(w.shmem, REGION))
		_exit(3);
	region_new(&w);
	while (atomic_load(&shared->finished) < sequences) {
		sequence(&w);
		atomic_fetch_add(&shared->finished, 1);
	}
	_exit(0);
}

static pid_t start(uint64_t seed, unsigned int sequences, const char *interface)
{
	pid_t pid = fork();

	if (!pid)
		work(seed, sequences, interface);
	return pid;
}

/* Exit status 3: it could not even begin; 4: it faulted where it must not. */
static int ended(pid_t pid, int flags)
{
	int status;

	if (waitpid(pid, &status, flags) != pid)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
		exit(3);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		atomic_fetch_add(&shared->cut, 1);
	} else if (status) {
		atomic_fetch_add(&shared->died, 1);
		fprintf(stderr, "a worker was lost: wait status %#x\n", status);
	}
	return 1;
}

static void report(void)
{
	printf("%u sequences, %u rings made, %u refused, %u mapped, %u memories given, %u sends, "
	       "%u threads, %u children, %u kills, %u workers lost\n",
	       shared->finished, shared->accepted, shared->refused, shared->mapped,
	       shared->given, shared->sent, shared->threads, shared->children,
	       shared->cut, shared->died);
}

int main(int argc, char **argv)
{
	unsigned int workers = argc > 1 ? atoi(argv[1]) : 4;
	unsigned int sequences = argc > 2 ? atoi(argv[2]) : 1000;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
	const char *interface = argc > 4 ? argv[4] : "lo";
	unsigned int i, next = KILL_EVERY;
	pid_t pids[64];

	if (!workers || workers > ARRAY(pids))
		return 2;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (i = 0; i < workers; i++)
		pids[i] = start(seed++, sequences, interface);
	for (i = 0; atomic_load(&shared->finished) < sequences; i = (i + 1) % workers) {
		struct timespec pause = { .tv_nsec = (1 + seed % 17) * 1000 * 1000 };

		nanosleep(&pause, NULL);
		if (atomic_load(&shared->finished) >= next) {
			next += KILL_EVERY;
			kill(pids[i], SIGKILL);
			ended(pids[i], 0);
			pids[i] = start(seed++, sequences, interface);
		} else if (ended(pids[i], WNOHANG)) {
			pids[i] = start(seed++, sequences, interface);
		}
	}
	for (i = 0; i < workers; i++)
		ended(pids[i], 0);
	report();
	return 0;
}
