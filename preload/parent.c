/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "parent.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "real.h"

/* Not through /proc/PID/fd: opened anew, a file would have an offset of its own, and the parent write over us. */
int parent_stderr(void)
{
	int process = syscall(SYS_pidfd_open, getppid(), 0);
	int fd = syscall(SYS_pidfd_getfd, process, STDERR_FILENO, 0);

	if (process >= 0)
		real.close(process);
	return fd;
}

struct search {
	const char *entry;
	size_t matched;
	int passing;	/* an entry that differs, up to its end */
};

static int search_takes(struct search *search, char byte)
{
	if (!search->passing && byte == search->entry[search->matched]) {
		search->matched++;
		return byte == '\0';
	}
	search->matched = 0;
	search->passing = byte != '\0';
	return 0;
}

int parent_has(const char *entry)
{
	struct search search = { .entry = entry };
	char path[32], bytes[512];
	ssize_t nr;
	int found = 0, fd;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)getppid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (!found && fd >= 0 && (nr = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < nr && !found; i++)
			found = search_takes(&search, bytes[i]);
	if (fd >= 0)
		real.close(fd);
	return found;
}
