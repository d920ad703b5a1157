# SPDX-License-Identifier: BSD-3-Clause
"""Libraries loaded after the shim that play a kernel which cannot be had, or would take the machine's memory."""

from __future__ import annotations

import subprocess
from pathlib import Path

import shim

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

NOTHING_MADE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

/* A kernel that has memory for all, and takes none. */
int setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");

	return level == 263 && option == PACKET_RX_RING ? 0 : next(fd, level, option, value, bytes);
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


def beside(folder: Path, text: str) -> str:
    """The shim and a library of that source: what LD_PRELOAD takes."""
    source, library = folder / "beside.c", folder / "beside.so"
    source.write_text(text)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return f"{shim.LIBRARY} {library}"
