/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packet sockets with a ring, by file descriptor. Looking an ordinary descriptor up costs two loads and
 * no lock. Everything else happens between table_lock() and table_unlock(), with signals blocked, so that
 * a handler which calls close() or dup() finds no lock held by the thread it interrupted.
 */
#ifndef TABLE_H
#define TABLE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "../hugepcap/_csrc/hp_mem.h"

#define LEAF_SHIFT 10
#define LEAF_NR (1u << LEAF_SHIFT)
#define ROOT_NR 4096u		/* descriptors up to 4 Mi; a higher one is never ours */

/* Which file a descriptor stands for: it may be closed behind our back and its number used again. */
struct identity {
	dev_t device;
	ino_t inode;
};

/* A ring as the program asked for it and as it was made. Both requests begin alike. */
struct ring {
	struct tpacket_req3 asked;
	struct tpacket_req3 made;	/* tp_block_nr is 0 when there is no ring */
	socklen_t req_bytes;
	int mapped;			/* at least once */
	struct hp_grant grant;
	struct identity memory;		/* of grant.mem */
};

enum { RX, TX, RING_NR };

/* One open packet socket, shared by all its descriptors. */
struct packet_socket {
	struct identity identity;
	int descriptors;
	struct ring ring[RING_NR];
};

struct leaf {
	_Atomic(struct packet_socket *) slot[LEAF_NR];
};

struct table_guard {
	sigset_t signals;
	int cancel;
};

extern _Atomic(struct leaf *) table_root[ROOT_NR];
extern atomic_uint table_nr;	/* descriptors in it */

static inline int table_has(int fd)
{
	unsigned index = (unsigned)fd >> LEAF_SHIFT;
	struct leaf *leaf;

	if (index >= ROOT_NR)
		return 0;
	leaf = atomic_load_explicit(&table_root[index], memory_order_acquire);
	return leaf && atomic_load_explicit(&leaf->slot[fd & (LEAF_NR - 1)], memory_order_acquire);
}

int identity_read(int fd, struct identity *identity);
int identity_holds(int fd, const struct identity *identity);

/* Before the first of the others: this process owns the table. */
void table_start(void);

/*
 * 0, or -1 with nothing locked in the child of a vfork(): it runs in its parent's memory, and what it closes
 * is its own copy.
 */
int table_lock(struct table_guard *guard);
void table_unlock(const struct table_guard *guard);

/* The rest wants the lock. */
struct packet_socket *table_get(int fd);	/* NULL: none, or it has been closed behind our back */
struct packet_socket *table_add(int fd);	/* the same, made if need be; NULL: no memory */
void table_follow(int fd, int copy);		/* copy is a dup of fd now */
void table_drop(int fd);
void table_check(int fd);			/* drops it, if it has been closed */
void table_for_range(unsigned first, unsigned last, void (*each)(int fd));
void table_drop_idle(int fd);			/* if the socket has no ring any more */
void ring_forget(struct ring *ring);

#endif
