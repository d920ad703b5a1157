/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
#ifndef _UAPI_LINUX_IF_PACKET_HUGE_H
#define _UAPI_LINUX_IF_PACKET_HUGE_H

#include <linux/types.h>

/*
 * Options of SOL_PACKET for rings in huge pages. The numbers stand far from
 * those of if_packet.h. A kernel without CONFIG_PACKET_HUGE answers
 * ENOPROTOOPT to each of them.
 */
#define PACKET_HUGETLB_ENABLE	0x4800	/* set: struct packet_huge_mem */
#define PACKET_HUGETLB_RING	0x4801	/* set: struct tpacket_req or _req3 */
#define PACKET_TRANSHUGE_RING	0x4802	/* set: likewise */
#define PACKET_GFPNORETRY_RING	0x4803	/* set: likewise */
#define PACKET_VZALLOC_RING	0x4804	/* set: likewise */
#define PACKET_GFPRETRY_RING	0x4805	/* set: likewise */
#define PACKET_HUGE_INFO	0x4806	/* get: struct packet_huge_info */

/*
 * Selects the TX ring. It is or-ed into the number of a ring option
 * (PACKET_TRANSHUGE_RING | PACKET_HUGE_TX), and set in the flags of the two
 * structures below. Without it the RX ring is meant.
 */
#define PACKET_HUGE_TX		0x80

/* Where the memory of a ring came from: packet_huge_info.policy. */
enum packet_huge_policy {
	PACKET_HUGE_POLICY_NONE,	/* there is no such ring */
	PACKET_HUGE_POLICY_STOCK,	/* the three attempts, one after another */
	PACKET_HUGE_POLICY_HUGETLB,	/* memory of the user */
	PACKET_HUGE_POLICY_TRANSHUGE,	/* huge pages of the kernel */
	PACKET_HUGE_POLICY_GFPNORETRY,	/* first attempt of the stock ring alone */
	PACKET_HUGE_POLICY_VZALLOC,	/* second attempt alone */
	PACKET_HUGE_POLICY_GFPRETRY,	/* third attempt alone */
};

/*
 * PACKET_HUGETLB_ENABLE: memory of huge pages for the next
 * PACKET_HUGETLB_RING. @addr and @len are multiples of the PMD size (2 MiB
 * on x86). The memory stays pinned until the ring on it is gone, or, with no
 * ring on it, until the socket is closed or @len is given as 0 (and @addr 0).
 */
struct packet_huge_mem {
	__u64	addr;
	__u64	len;
	__u32	flags;		/* 0 or PACKET_HUGE_TX */
	__u32	reserved;	/* 0 */
};

/*
 * PACKET_HUGE_INFO: what a ring got. The caller sets @flags and zeroes the
 * rest; the kernel fills in the others. Without a ring, @policy is
 * PACKET_HUGE_POLICY_NONE and @pinned_bytes tells of memory given in advance.
 */
struct packet_huge_info {
	__u32	flags;			/* in: 0 or PACKET_HUGE_TX */
	__u32	policy;			/* enum packet_huge_policy */
	__u64	block_bytes;
	__u64	block_nr;
	__u64	user_page_bytes;	/* smallest page in the user's mapping */
	__u64	kernel_page_bytes;	/* smallest page in the kernel's mapping */
	__u64	user_huge_bytes;	/* bytes of the ring in huge pages, user */
	__u64	kernel_huge_bytes;	/* bytes of the ring in huge pages, kernel */
	__u64	pinned_bytes;		/* user memory pinned */
	__s32	node;			/* NUMA node of the first block, or -1 */
	__s32	reason;			/* errno: why not all is huge, or 0 */
};

#endif /* _UAPI_LINUX_IF_PACKET_HUGE_H */
