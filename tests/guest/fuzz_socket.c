// SPDX-License-Identifier: BSD-3-Clause
/* The ring options, right ones and wrong ones, and traffic. */
#include "fuzz.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../hugepcap/_csrc/hp_uapi.h"

void op_open(struct worker *w, struct slot *s)
{
	int version = below(3);

	(void)w;
	if (s->fd >= 0)
		return;
	s->fd = socket(AF_PACKET, one_in(4) ? SOCK_DGRAM : SOCK_RAW, 0);
	s->ring_len = 0;
	s->given = 0;
	s->version = version;
	setsockopt(s->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version));
}

void op_close(struct worker *w, struct slot *s)
{
	int fd = s->fd;
	char *map = s->map;

	(void)w;
	s->fd = -1;
	close(fd);
	if (map && one_in(2)) {
		s->map = NULL;
		munmap(map, s->map_len);
	}
}

void op_version(struct worker *w, struct slot *s)
{
	int version = below(4);

	(void)w;
	if (!setsockopt(s->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)))
		s->version = version;
}

void op_enable(struct worker *w, struct slot *s)
{
	struct packet_huge_mem mem = {
		.addr = (uintptr_t)w->region,
		.len = HUGE_PAGE << (one_in(2) ? 0 : below(3)),
		.flags = one_in(3) ? PACKET_HUGE_TX : 0,
	};
	socklen_t len = sizeof(mem);

	switch (below(30)) {
	case 0: mem.addr += 4096; break;
	case 1: mem.len += below(8192); break;
	case 2: mem.addr = -HUGE_PAGE; break;
	case 3: mem.len = (uint64_t)rnd() << 21; break;
	case 4: mem.flags = rnd(); break;
	case 5: mem.reserved = rnd(); break;
	case 6: len = below(40); break;
	case 7: mem.addr = mem.len = 0; break;
	case 8: mem.addr = (uintptr_t)s->map & -HUGE_PAGE; break;
	case 9 ... 16: mem.addr += HUGE_PAGE * below(3); break;
	}
	if (setsockopt(s->fd, SOL_PACKET, PACKET_HUGETLB_ENABLE, &mem, len))
		return;
	atomic_fetch_add(&shared->given, 1);
	s->given |= mem.flags ? 2 : 1;
}

static int ring_option(struct slot *s)
{
	static const int options[] = {
		PACKET_RX_RING, PACKET_RX_RING, PACKET_TX_RING,
		PACKET_HUGETLB_RING, PACKET_HUGETLB_RING | PACKET_HUGE_TX,
		PACKET_TRANSHUGE_RING, PACKET_TRANSHUGE_RING | PACKET_HUGE_TX,
		PACKET_TRANSHUGE_RING, PACKET_TRANSHUGE_RING | PACKET_HUGE_TX,
		PACKET_GFPNORETRY_RING, PACKET_VZALLOC_RING | PACKET_HUGE_TX,
		PACKET_GFPRETRY_RING,
	};

	if (one_in(40))
		return 0x4800 + below(256);
	if (s->given && !one_in(4))
		return PACKET_HUGETLB_RING | (s->given & 1 ? 0 : PACKET_HUGE_TX);
	return options[below(ARRAY(options))];
}

static struct tpacket_req3 ring_request(int option)
{
	static const unsigned int blocks[] = {
		4096, 12288, 65536, 262144, 1 << 20, 2 << 20, 4 << 20,
	};
	struct tpacket_req3 req = { .tp_block_size = blocks[below(ARRAY(blocks))] };
	unsigned int room = HUGE_PAGE << (one_in(2) ? 0 : below(3));

	if (room < req.tp_block_size)
		room = req.tp_block_size;
	req.tp_frame_size = one_in(2) ? 2048 : 4096;
	req.tp_block_nr = room / req.tp_block_size + one_in(16);
	req.tp_frame_nr = req.tp_block_size / req.tp_frame_size * req.tp_block_nr;
	if (one_in(2) && !(option & PACKET_HUGE_TX) && option != PACKET_TX_RING)
		req.tp_retire_blk_tov = 1 + below(20);
	return req;
}

void op_ring(struct worker *w, struct slot *s)
{
	int option = ring_option(s);
	struct tpacket_req3 req = ring_request(option);
	socklen_t len = sizeof(req);

	(void)w;
	switch (below(32)) {
	case 0: ((uint32_t *)&req)[below(7)] = rnd(); break;
	case 1: len = below(40); break;
	case 2: len = sizeof(struct tpacket_req); break;
	}
	if (setsockopt(s->fd, SOL_PACKET, option, &req, len)) {
		atomic_fetch_add(&shared->refused, 1);
		return;
	}
	atomic_fetch_add(&shared->accepted, 1);
	s->ring_len = (size_t)req.tp_block_size * req.tp_block_nr;
}

void op_drop(struct worker *w, struct slot *s)
{
	struct tpacket_req3 none = { 0 };

	(void)w;
	if (!setsockopt(s->fd, SOL_PACKET, ring_option(s), &none, sizeof(none)))
		s->ring_len = 0;
}

void op_bind(struct worker *w, struct slot *s)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(one_in(8) ? 0 : ETH_P_ALL),
		.sll_ifindex = w->ifindex,
	};

	(void)!bind(s->fd, (struct sockaddr *)&ll, sizeof(ll));
}

void op_traffic(struct worker *w, struct slot *s)
{
	char packet[1400] = "\xff\xff\xff\xff\xff\xff\2\2\2\2\2\2\x88\xb5";
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5),
		.sll_ifindex = w->ifindex, .sll_halen = 6,
	};
	int i;

	(void)s;
	for (i = below(12); i > 0; i--)
		sendto(w->sender, packet, 60 + below(1300), MSG_DONTWAIT,
		       (struct sockaddr *)&ll, sizeof(ll));
}

#define SEND_FRAMES	4
#define SEND_FRAME_SIZE	2048

/*
 * A TX ring's frames begin with the memory, or behind those of an RX ring.
 * Never past its end: what lies there may be the C library's.
 */
static size_t send_offset(struct slot *s, size_t len)
{
	size_t behind = s->map_len - s->ring_len;

	return one_in(2) && behind <= len - SEND_FRAMES * SEND_FRAME_SIZE ? behind : 0;
}

/* Frames are asked to be sent through the mapping or the user's region. */
void op_send(struct worker *w, struct slot *s)
{
	int mapped = s->map && s->map_len >= SEND_FRAMES * SEND_FRAME_SIZE && one_in(2);
	char *ring = mapped ? s->map : w->region;
	size_t offset = send_offset(s, mapped ? s->map_len : REGION);
	uint32_t len = 60 + below(1300);
	uint32_t frames[][6] = {	/* the fields of each version's header */
		{ TP_STATUS_SEND_REQUEST, 0, len, len, 0, 0 },
		{ TP_STATUS_SEND_REQUEST, len, len, 0, 0, 0 },
		{ 0, 0, 0, len, len, TP_STATUS_SEND_REQUEST },
	};
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(0x88b5),
		.sll_ifindex = w->ifindex, .sll_halen = 6,
	};
	struct iovec from, to;
	int i;

	for (i = 0; i < SEND_FRAMES; i++) {
		from = (struct iovec){ frames[s->version], sizeof(frames[0]) };
		to = (struct iovec){ ring + offset + i * SEND_FRAME_SIZE, sizeof(frames[0]) };
		process_vm_writev(getpid(), &from, 1, &to, 1, 0);
	}
	if (sendto(s->fd, NULL, 0, MSG_DONTWAIT, (struct sockaddr *)&ll, sizeof(ll)) > 0)
		atomic_fetch_add(&shared->sent, 1);
}

void op_info(struct worker *w, struct slot *s)
{
	struct packet_huge_info info = {
		.flags = one_in(8) ? rnd() : one_in(2) ? PACKET_HUGE_TX : 0,
	};
	socklen_t len = one_in(8) ? below(200) : sizeof(info);
	char statistics[64];

	(void)w;
	getsockopt(s->fd, SOL_PACKET, PACKET_HUGE_INFO, &info, &len);
	len = sizeof(statistics);
	getsockopt(s->fd, SOL_PACKET, PACKET_STATISTICS, statistics, &len);
}

void op_dup(struct worker *w, struct slot *s)
{
	int before = s->fd;

	(void)w;
	s->fd = dup(before);
	close(before);
}

void op_sysctl(struct worker *w, struct slot *s)
{
	(void)s;
	(void)!pwrite(w->huge_rings, one_in(2) ? "1" : "0", 1, 0);
}

/* The usual way of a program, with what can go wrong at each step. */
void op_use(struct worker *w, struct slot *s)
{
	op_bind(w, s);
	if (one_in(2))
		op_enable(w, s);
	op_ring(w, s);
	op_map(w, s);
	op_touch(w, s);
	op_send(w, s);
	op_traffic(w, s);
}
