/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a ring's memory comes from: the policies, and the ladder hugetlb -> thp -> stock.
 * Used by the module and by preload.so: no printing, no global state, no allocation.
 */
#ifndef HP_MEM_H
#define HP_MEM_H

#include <linux/if_packet.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "hp_err.h"
#include "hp_uapi.h"

#define HP_HUGE_BYTES ((size_t)2 << 20)	/* a PMD with 4 KiB base pages */

enum hp_policy {
	HP_POLICY_AUTO,		/* hugetlb, then thp, then stock */
	HP_POLICY_HUGETLB,	/* huge pages of the pool, given to the kernel by us */
	HP_POLICY_THP,		/* huge pages the kernel allocates; needs no pool */
	HP_POLICY_GFPNORETRY,	/* one attempt of the stock allocator alone, as the next two */
	HP_POLICY_VZALLOC,
	HP_POLICY_GFPRETRY,
	HP_POLICY_STOCK,	/* PACKET_RX_RING, PACKET_TX_RING */
	HP_POLICY_NR
};

#define HP_POLICY_NAMES "auto hugetlb thp gfpnoretry vzalloc gfpretry stock"

const char *hp_policy_name(enum hp_policy policy);
/* 0 or -EINVAL. */
int hp_policy_parse(const char *text, enum hp_policy *policy);
/* Bytes, or a number with K, M, G or T (powers of 1024; "MiB" and "MB" mean the same). 0 or -EINVAL. */
int hp_size_parse(const char *text, uint64_t *bytes);

/* Huge pages behind a file descriptor that no folder names: gone with the last user, however it ends. */
struct hp_mem {
	int fd;			/* -1: none */
	size_t bytes;		/* a multiple of page_bytes */
	size_t page_bytes;
};

/* From memfd_create(MFD_HUGETLB), or from the hugetlbfs mounted on `mount` if not NULL. 0 or -errno. */
int hp_mem_hugetlb(struct hp_mem *mem, size_t bytes, const char *mount, struct hp_err *err);
void hp_mem_close(struct hp_mem *mem);

/* A ring to be made. */
struct hp_want {
	enum hp_policy policy;
	int strict;		/* fail rather than fall back to stock */
	const char *mount;	/* hugetlbfs for the policy hugetlb, or NULL */
	int tx;
	int beside;		/* the socket's other ring shares the mapping: rules hugetlb out */
	const void *req;	/* struct tpacket_req or tpacket_req3 */
	socklen_t req_bytes;
};

/* What it got. */
struct hp_grant {
	enum hp_policy policy;	/* the rung that held; never AUTO */
	struct hp_mem mem;	/* hugetlb: to be mapped in place of the socket */
	struct hp_err refused[HP_POLICY_NR];	/* per rung; code 0: not refused */
};

/* Makes the ring by the first rung that holds. 0, or -errno with the last rung's reason. */
int hp_grant_take(struct hp_grant *grant, int fd, const struct hp_want *want, struct hp_err *err);

/* What the kernel says of a ring; -ENOPROTOOPT without CONFIG_PACKET_HUGE. */
int hp_mem_info(int fd, int tx, struct packet_huge_info *info);

#endif
