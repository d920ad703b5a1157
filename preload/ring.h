/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens to a ring: its request, its mapping. Both work as the call they stand in for. */
#ifndef RING_H
#define RING_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

int ring_setsockopt(int fd, int option, const void *value, socklen_t bytes);
void *ring_mmap(void *addr, size_t bytes, int prot, int flags, int fd, off_t offset);

#endif
