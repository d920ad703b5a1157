/* SPDX-License-Identifier: BSD-3-Clause */
/* The functions behind the interposed ones: the next library's, found once by real_find(). */
#ifndef REAL_H
#define REAL_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Until real_find() has run, for constructors of other libraries, these are bare system calls. */
struct real {
	int (*setsockopt)(int, int, int, const void *, socklen_t);
	void *(*mmap)(void *, size_t, int, int, int, off_t);
	int (*munmap)(void *, size_t);
	int (*close)(int);
	int (*close_range)(unsigned, unsigned, int);
	void (*closefrom)(int);
	int (*dup)(int);
	int (*dup2)(int, int);
	int (*dup3)(int, int, int);
	int (*fcntl)(int, int, ...);
};

extern struct real real;
void real_find(void);

#endif
