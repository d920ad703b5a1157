/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_wait.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

int64_t hp_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int hp_wake_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void hp_wake(int wake_fd)
{
	uint64_t one = 1;

	(void)!write(wake_fd, &one, sizeof(one));	/* EAGAIN: it is awake already */
}

void hp_wake_drain(int wake_fd)
{
	uint64_t count;

	(void)!read(wake_fd, &count, sizeof(count));	/* EAGAIN: there was nothing */
}

int hp_wait(int fd, int wake_fd, int timeout_ms)
{
	struct pollfd set[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = wake_fd, .events = POLLIN },
	};
	int seen = 0;

	if (poll(set, 2, timeout_ms) < 0)
		return errno == EINTR ? HP_WAIT_SIGNAL : HP_WAIT_ERROR;
	if (set[0].revents & POLLIN)
		seen |= HP_WAIT_READY;
	if (set[0].revents & (POLLERR | POLLHUP | POLLNVAL))
		seen |= HP_WAIT_ERROR;
	if (set[1].revents)
		seen |= HP_WAIT_WOKEN;
	return seen;
}

static int edge_add(int edge_fd, int fd, uint32_t events, uint32_t tag)
{
	struct epoll_event event = { .events = events, .data.u32 = tag };

	return epoll_ctl(edge_fd, EPOLL_CTL_ADD, fd, &event);
}

int hp_edge_open(int fd, int wake_fd, int edge)
{
	int edge_fd = epoll_create1(EPOLL_CLOEXEC);
	int code;

	if (edge_fd < 0)
		return -errno;
	if (edge_add(edge_fd, fd, EPOLLIN | (edge ? EPOLLET : 0u), HP_WAIT_READY) == 0 &&
	    edge_add(edge_fd, wake_fd, EPOLLIN, HP_WAIT_WOKEN) == 0)
		return edge_fd;
	code = errno;
	close(edge_fd);
	return -code;
}

int hp_edge_wait(int edge_fd, int timeout_ms)
{
	struct epoll_event events[2];
	int nr = epoll_wait(edge_fd, events, 2, timeout_ms);
	int seen = 0;

	if (nr < 0)
		return errno == EINTR ? HP_WAIT_SIGNAL : HP_WAIT_ERROR;
	for (int i = 0; i < nr; i++) {
		seen |= (int)events[i].data.u32;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			seen |= HP_WAIT_ERROR;
	}
	return seen;
}
