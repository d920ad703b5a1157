/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "real.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bare_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	return syscall(SYS_setsockopt, fd, level, option, value, bytes);
}

static void *bare_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, addr, bytes, prot, flags, fd, offset);
}

static int bare_munmap(void *addr, size_t bytes)
{
	return syscall(SYS_munmap, addr, bytes);
}

static int bare_close(int fd)
{
	return syscall(SYS_close, fd);
}

static int bare_close_range(unsigned first, unsigned last, int flags)
{
	return syscall(SYS_close_range, first, last, flags);
}

/* Linux before 5.9 has no close_range: one by one then, as far as descriptors usually go. */
static void bare_closefrom(int first)
{
	if (bare_close_range(first, UINT_MAX, 0) == 0)
		return;
	for (int fd = first; fd < 65536; fd++)
		bare_close(fd);
}

static int bare_dup(int fd)
{
	return syscall(SYS_dup, fd);
}

static int bare_dup3(int fd, int to, int flags)
{
	return syscall(SYS_dup3, fd, to, flags);
}

/* arm64 has no dup2 call; dup3 differs where both are the same. */
static int bare_dup2(int fd, int to)
{
	if (fd == to)
		return syscall(SYS_fcntl, fd, 1 /* F_GETFD */) < 0 ? -1 : to;
	return bare_dup3(fd, to, 0);
}

static int bare_fcntl(int fd, int command, ...)
{
	__builtin_va_list args;
	void *argument;

	__builtin_va_start(args, command);
	argument = __builtin_va_arg(args, void *);
	__builtin_va_end(args);
	return syscall(SYS_fcntl, fd, command, argument);
}

struct real real = {
	.setsockopt = bare_setsockopt,
	.mmap = bare_mmap,
	.munmap = bare_munmap,
	.close = bare_close,
	.close_range = bare_close_range,
	.closefrom = bare_closefrom,
	.dup = bare_dup,
	.dup2 = bare_dup2,
	.dup3 = bare_dup3,
	.fcntl = bare_fcntl,
};

static void find(const char *name, void *slot)
{
	void *next = dlsym(RTLD_NEXT, name);

	if (next)
		memcpy(slot, &next, sizeof(next));
}

void real_find(void)
{
	find("setsockopt", &real.setsockopt);
	find("mmap", &real.mmap);
	find("munmap", &real.munmap);
	find("close", &real.close);
	find("close_range", &real.close_range);
	find("closefrom", &real.closefrom);
	find("dup", &real.dup);
	find("dup2", &real.dup2);
	find("dup3", &real.dup3);
	find("fcntl", &real.fcntl);
	find("fcntl64", &real.fcntl);
}
