/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packet socket: opened with protocol 0, so that it receives nothing until
 * ring and filter stand, and bound to its real protocol last (packet(7)).
 */
#ifndef HP_SOCK_H
#define HP_SOCK_H

#include <linux/filter.h>
#include <stdint.h>

#include "hp_err.h"

enum hp_link {
	HP_LINK_OTHER = -1,	/* not for our ring: libpcap's business */
	HP_LINK_ETHER,		/* DLT_EN10MB */
	HP_LINK_RAW,		/* DLT_RAW: packets start with their IP header */
	HP_LINK_SLL,		/* DLT_LINUX_SLL: cooked, the `any` device */
	HP_LINK_SLL2,		/* DLT_LINUX_SLL2 */
};

struct hp_device {
	char name[16];
	int ifindex;		/* 0 for `any` */
	int arphrd;
	enum hp_link link;
	int loopback;
};

struct hp_counters {
	uint64_t packets;	/* tp_packets: those dropped included, as in libpcap's ps_recv */
	uint64_t drops;
	uint64_t freezes;
};

/* Looks a device up; "any" is every device. -ENODEV when there is none of that name. */
int hp_device_find(struct hp_device *dev, const char *name, struct hp_err *err);

/* A socket of the right type for the link, protocol 0, close-on-exec. The fd, or -errno. */
int hp_sock_open(const struct hp_device *dev, struct hp_err *err);
int hp_sock_promisc(int fd, const struct hp_device *dev, struct hp_err *err);
int hp_sock_ignore_outgoing(int fd, int on);	/* 0, or -errno: the reader then checks by itself */
int hp_sock_hw_timestamps(int fd, const struct hp_device *dev, struct hp_err *err);
int hp_sock_attach(int fd, const struct sock_filter *insns, unsigned int nr);	/* 0 or -errno */
int hp_sock_reject(int fd);	/* a filter that lets nothing in; 0 or -errno */
int hp_sock_bind(int fd, const struct hp_device *dev, struct hp_err *err);
int hp_sock_fanout(int fd, uint16_t group, uint16_t type, struct hp_err *err);
int hp_sock_send(int fd, const void *data, uint32_t bytes, struct hp_err *err);

/* Adds the kernel's counters, which it clears on each read, to *sum. */
int hp_sock_stats(int fd, struct hp_counters *sum, struct hp_err *err);

/*
 * Ends the capture while a mapping still keeps the socket open: the descriptor is closed, but a mapped ring
 * holds its socket, which would go on receiving, promiscuously, until the mapping goes.
 */
void hp_sock_silence(int fd, const struct hp_device *dev);

/* Takes the pending error of the socket (ENETDOWN when its device went); 0 when there is none. */
int hp_sock_error(int fd);

/* 0 while the device is there and up, else -ENETDOWN (down) or -ENODEV (gone). */
int hp_sock_link_state(int fd, const struct hp_device *dev);

#endif
