/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a filter as libpcap compiles it for a file to one for the socket.
 *
 * The file's packet has its VLAN tag and, on cooked links, its pseudo-header; the
 * kernel's has neither in its bytes. Each load of the program is therefore moved,
 * or replaced by the kernel's ancillary data (SKF_AD_*, Documentation/networking/filter.rst).
 */
#ifndef HP_BPF_H
#define HP_BPF_H

#include <linux/filter.h>
#include <stdint.h>

#include "hp_sock.h"

/* Whether a program looks for VLAN tags itself; only those see the tags that the kernel took out. Or -ENOMEM. */
int hp_bpf_tests_vlan(const struct sock_filter *insns, unsigned int nr, enum hp_link link);

/*
 * Copies a program for use here with its loads of the packet's direction (`inbound`, `outbound`) made constants:
 * libpcap's interpreter does not know them. How many there were.
 */
int hp_bpf_fix_direction(const struct sock_filter *insns, unsigned int nr, int outgoing, struct sock_filter *out);

/*
 * Writes the socket's program for a link to out[BPF_MAXINSNS], accepted packets cut at
 * snaplen bytes; with nr == 0 the one that accepts all. Its length, or -ENOTSUP when the
 * kernel cannot say what the program asks, -ENOMEM: it then has to run in user space.
 */
int hp_bpf_for_socket(const struct sock_filter *insns, unsigned int nr, enum hp_link link,
		      uint32_t snaplen, struct sock_filter *out);

#endif
