/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "table.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "real.h"
#include "report.h"

_Atomic(struct leaf *) table_root[ROOT_NR];
atomic_uint table_nr;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pid_t owner;

/*
 * Forks that this thread is within: it holds the mutex from our first handler to our last, and handlers of other
 * libraries may close, dup or map in between.
 */
static __thread unsigned forking __attribute__((tls_model("initial-exec")));

int table_lock(struct table_guard *guard)
{
	sigset_t all;

	if (!forking && getpid() != owner)
		return -1;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &guard->signals);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guard->cancel);
	if (!forking)
		pthread_mutex_lock(&mutex);
	return 0;
}

void table_unlock(const struct table_guard *guard)
{
	if (!forking)
		pthread_mutex_unlock(&mutex);
	pthread_setcancelstate(guard->cancel, NULL);
	pthread_sigmask(SIG_SETMASK, &guard->signals, NULL);
}

/* The thread that forks keeps its guard here; the mutex protects it. */
static struct table_guard fork_guard;

static void before_fork(void)
{
	struct table_guard guard;

	if (!forking) {
		if (table_lock(&guard) < 0)
			return;
		fork_guard = guard;
	}
	forking++;
}

static void after_fork(void)
{
	struct table_guard guard;

	if (!forking || --forking)
		return;
	guard = fork_guard;
	table_unlock(&guard);
}

static void after_fork_child(void)
{
	owner = getpid();
	after_fork();
}

void table_start(void)
{
	owner = getpid();
	pthread_atfork(before_fork, after_fork, after_fork_child);
}

int identity_read(int fd, struct identity *identity)
{
	struct stat now;

	if (fstat(fd, &now) < 0)
		return -1;
	identity->device = now.st_dev;
	identity->inode = now.st_ino;
	return 0;
}

int identity_holds(int fd, const struct identity *identity)
{
	struct identity now;

	return identity_read(fd, &now) == 0 && now.device == identity->device && now.inode == identity->inode;
}

/* Memory straight from the kernel: malloc may not be called from a signal handler. Zeroed. */
static void *pages_take(size_t bytes)
{
	void *pages = real.mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

static _Atomic(struct packet_socket *) *slot_of(int fd)
{
	unsigned index = (unsigned)fd >> LEAF_SHIFT;
	struct leaf *leaf = index < ROOT_NR ? table_root[index] : NULL;

	return leaf ? &leaf->slot[fd & (LEAF_NR - 1)] : NULL;
}

static _Atomic(struct packet_socket *) *slot_make(int fd)
{
	unsigned index = (unsigned)fd >> LEAF_SHIFT;

	if (index < ROOT_NR && !table_root[index])
		table_root[index] = pages_take(sizeof(struct leaf));
	return slot_of(fd);
}

void ring_forget(struct ring *ring)
{
	if (ring->made.tp_block_nr && identity_holds(ring->grant.mem.fd, &ring->memory))
		hp_mem_close(&ring->grant.mem);
	ring->made.tp_block_nr = 0;
}

static void put(struct packet_socket *socket)
{
	if (--socket->descriptors)
		return;
	ring_forget(&socket->ring[RX]);
	ring_forget(&socket->ring[TX]);
	real.munmap(socket, sizeof(*socket));
}

void table_drop(int fd)
{
	_Atomic(struct packet_socket *) *slot = slot_of(fd);
	struct packet_socket *socket = slot ? atomic_exchange(slot, NULL) : NULL;

	if (!socket)
		return;
	table_nr--;
	report_at(3, "fd %d is no packet ring's any more", fd);
	put(socket);
}

void table_for_range(unsigned first, unsigned last, void (*each)(int fd))
{
	for (unsigned index = first >> LEAF_SHIFT; index < ROOT_NR && index <= last >> LEAF_SHIFT; index++) {
		unsigned base = index << LEAF_SHIFT;

		if (!table_root[index])
			continue;
		for (unsigned fd = base < first ? first : base; fd < base + LEAF_NR && fd <= last; fd++)
			each(fd);
	}
}

struct packet_socket *table_get(int fd)
{
	_Atomic(struct packet_socket *) *slot = slot_of(fd);
	struct packet_socket *socket = slot ? *slot : NULL;

	if (!socket || identity_holds(fd, &socket->identity))
		return socket;
	table_drop(fd);
	return NULL;
}

void table_check(int fd)
{
	table_get(fd);
}

struct packet_socket *table_add(int fd)
{
	struct packet_socket *socket = table_get(fd);
	_Atomic(struct packet_socket *) *slot;

	if (socket)
		return socket;
	slot = slot_make(fd);
	socket = slot ? pages_take(sizeof(*socket)) : NULL;
	if (!socket)
		return NULL;
	identity_read(fd, &socket->identity);
	socket->descriptors = 1;
	table_nr++;
	return *slot = socket;
}

void table_follow(int fd, int copy)
{
	struct packet_socket *socket = table_get(fd);
	_Atomic(struct packet_socket *) *slot;

	if (fd == copy)
		return;
	table_drop(copy);
	slot = socket ? slot_make(copy) : NULL;
	if (!slot)
		return;
	report_at(3, "fd %d stands for the ring of fd %d", copy, fd);
	socket->descriptors++;
	table_nr++;
	*slot = socket;
}

void table_drop_idle(int fd)
{
	struct packet_socket *socket = table_get(fd);

	if (socket && !socket->ring[RX].made.tp_block_nr && !socket->ring[TX].made.tp_block_nr)
		table_drop(fd);
}
