/* SPDX-License-Identifier: BSD-3-Clause */
/* The shared C core, compiled so that its calls pass by the interposed functions of this library. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "real.h"

#define setsockopt(...) real.setsockopt(__VA_ARGS__)
#define mmap(...) real.mmap(__VA_ARGS__)
#define munmap(...) real.munmap(__VA_ARGS__)
#define close(...) real.close(__VA_ARGS__)

#include "../hugepcap/_csrc/hp_err.c"
#include "../hugepcap/_csrc/hp_mem.c"
