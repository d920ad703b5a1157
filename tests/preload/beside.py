# SPDX-License-Identifier: BSD-3-Clause
"""Libraries loaded after the shim that play a kernel which cannot be had, or would take the machine's memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import shim

CORE = shim.ROOT / "hugepcap" / "_csrc"

SHORT_OF_MEMORY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>

/* A kernel that has memory for BLOCKS blocks. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");

	if (level == 263 && option == PACKET_RX_RING && bytes >= sizeof(struct tpacket_req) &&
	    ((const struct tpacket_req *)value)->tp_block_nr > (unsigned)atoi(getenv("BLOCKS"))) {
		errno = ENOMEM;
		return -1;
	}
	return next(fd, level, option, value, bytes);
}
"""

NO_COPY = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/uio.h>

/* A kernel without CONFIG_CROSS_MEMORY_ATTACH. */
ssize_t process_vm_writev(pid_t pid, const struct iovec *from, unsigned long from_nr, const struct iovec *to,
			  unsigned long to_nr, unsigned long flags)
{
	errno = ENOSYS;
	return -1;
}
"""

HUGE_RINGS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "hp_uapi.h"

/* A kernel with CONFIG_PACKET_HUGE, as far as what is asked of it and in which order: its pages are small, and the
   memory it is given is not the ring's. With NO_THP set it has no memory for that policy. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
	int policy = option & ~PACKET_HUGE_TX;

	if (level != SOL_PACKET || policy < PACKET_HUGETLB_ENABLE || policy > PACKET_GFPRETRY_RING)
		return next(fd, level, option, value, bytes);
	if (policy == PACKET_HUGETLB_ENABLE)
		return 0;
	if (policy == PACKET_TRANSHUGE_RING && getenv("NO_THP")) {
		errno = ENOMEM;
		return -1;
	}
	return next(fd, level, option & PACKET_HUGE_TX ? PACKET_TX_RING : PACKET_RX_RING, value, bytes);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *bytes)
{
	int (*next)(int, int, int, void *, socklen_t *) = dlsym(RTLD_NEXT, "getsockopt");

	return level == SOL_PACKET && option == PACKET_HUGE_INFO ? 0 : next(fd, level, option, value, bytes);
}

int memfd_create(const char *name, unsigned flags)
{
	int (*next)(const char *, unsigned) = dlsym(RTLD_NEXT, "memfd_create");

	return next(name, flags & MFD_CLOEXEC);
}
"""


def beside(folder: Path, text: str) -> str:
    """The shim and a library of that source: what LD_PRELOAD takes."""
    source, library = folder / "beside.c", folder / "beside.so"
    source.write_text(text)
    subprocess.run(["gcc", "-shared", "-fPIC", "-I", CORE, "-o", library, source, "-ldl"], check=True, timeout=60)
    return f"{shim.LIBRARY} {library}"
