/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting for packets, for a wake-up by another thread, or for time to pass. */
#ifndef HP_WAIT_H
#define HP_WAIT_H

#include <stdint.h>

#define HP_WAIT_READY 1		/* the capture descriptor is readable */
#define HP_WAIT_WOKEN 2		/* hp_wake() was called */
#define HP_WAIT_ERROR 4		/* the capture descriptor has an error pending */
#define HP_WAIT_SIGNAL 8	/* a signal came */

int64_t hp_now_ms(void);	/* CLOCK_MONOTONIC */
int hp_wake_open(void);		/* an eventfd, or -errno */
void hp_wake(int wake_fd);	/* async-signal-safe */
void hp_wake_drain(int wake_fd);

/*
 * An epoll descriptor over fd and the wake-up, or -errno (-EPERM: fd is a regular file). `edge` waits for what is
 * new: a ring of which a batch still holds the last block is readable to poll(2) all the time, but af_packet
 * wakes its waiters once a block (prb_close_block).
 */
int hp_edge_open(int fd, int wake_fd, int edge);
int hp_edge_wait(int edge_fd, int timeout_ms);	/* as hp_wait */

/* Waits for fd (-1: only for the wake-up) at most timeout_ms; the HP_WAIT_ bits of what came, 0 for none. */
int hp_wait(int fd, int wake_fd, int timeout_ms);

#endif
