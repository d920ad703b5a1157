/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interposed functions. Each hands an ordinary descriptor straight on; only the ring requests of packet
 * sockets, and what is later done to a socket that made one, go further. A socket is known by its ring
 * request, so socket() itself need not be watched: inherited and passed ones are served too.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "mapping.h"
#include "real.h"
#include "report.h"
#include "ring.h"
#include "table.h"

__attribute__((constructor)) static void start(int argc, char **argv, char **environment)
{
	real_find();
	report_start(argc, argv);
	config_read(environment);
	table_start();
}

static void forget(unsigned first, unsigned last, void (*each)(int fd))
{
	struct table_guard guard;

	if (!table_nr || table_lock(&guard) < 0)
		return;
	table_for_range(first, last, each);
	table_unlock(&guard);
}

/* The result of a dup: on success the copy takes the original's place in the table. */
static int follow(int fd, int copy)
{
	struct table_guard guard;

	if (copy < 0 || (!table_has(fd) && !table_has(copy)) || table_lock(&guard) < 0)
		return copy;
	table_follow(fd, copy);
	table_unlock(&guard);
	return copy;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	if (level == SOL_PACKET && (option == PACKET_RX_RING || option == PACKET_TX_RING))
		return ring_setsockopt(fd, option, value, bytes);
	return real.setsockopt(fd, level, option, value, bytes);
}

void *mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	if (table_has(fd))
		return ring_mmap(addr, bytes, prot, flags, fd, offset);
	return real.mmap(addr, bytes, prot, flags, fd, offset);
}

/* What programs built with 64-bit file offsets call. */
void *mmap64(void *addr, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
	return mmap(addr, bytes, prot, flags, fd, offset);
}

int munmap(void *addr, size_t bytes)
{
	return mapping_munmap(addr, bytes);
}

int close(int fd)
{
	if (table_has(fd))
		forget(fd, fd, table_drop);
	return real.close(fd);
}

int close_range(unsigned first, unsigned last, int flags)
{
	int rc = real.close_range(first, last, flags);

	/*
	 * Afterwards, as it may refuse; a number may by then be another thread's new ring, which stays.
	 * CLOSE_RANGE_UNSHARE closes the calling thread's copies alone.
	 */
	if (rc == 0 && !(flags & (CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE)))
		forget(first, last, table_check);
	return rc;
}

void closefrom(int first)
{
	forget(first < 0 ? 0 : first, UINT_MAX, table_drop);
	real.closefrom(first);
}

int dup(int fd)
{
	return follow(fd, real.dup(fd));
}

int dup2(int fd, int copy)
{
	return follow(fd, real.dup2(fd, copy));
}

int dup3(int fd, int copy, int flags)
{
	return follow(fd, real.dup3(fd, copy, flags));
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	void *argument;
	int rc;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	rc = real.fcntl(fd, command, argument);
	return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? follow(fd, rc) : rc;
}

int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
