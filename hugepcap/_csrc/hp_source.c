/* SPDX-License-Identifier: BSD-3-Clause */
/* What libpcap, too, does to a live packet: pseudo-headers, VLAN tags put back, directions, filters. */
#include "hp_source.h"

#include <linux/if_arp.h>

#include <string.h>

#define SLL_BYTES 16u
#define SLL2_BYTES 20u
#define TAG_BYTES 4u

/* Moves the packet's start back by `bytes` into the gap behind the frame's headers. */
static int grow_front(struct hp_frame *frame, uint32_t bytes)
{
	if ((size_t)(frame->data - (uint8_t *)frame->hdr) < HP_FRAME_HDRLEN + bytes)
		return -EBADMSG;
	frame->data -= bytes;
	frame->caplen += bytes;
	frame->len += bytes;
	return 0;
}

static void put16(uint8_t *at, uint16_t host)
{
	at[0] = (uint8_t)(host >> 8);
	at[1] = (uint8_t)host;
}

/* LINKTYPE_LINUX_SLL: packet type, ARPHRD, address length, address, protocol. */
static int put_sll(struct hp_frame *frame, const struct sockaddr_ll *sll)
{
	uint8_t *at;

	if (grow_front(frame, SLL_BYTES) < 0)
		return -EBADMSG;
	at = frame->data;
	put16(at, sll->sll_pkttype);
	put16(at + 2, sll->sll_hatype);
	put16(at + 4, sll->sll_halen);
	memcpy(at + 6, sll->sll_addr, 8);
	memcpy(at + 14, &sll->sll_protocol, 2);
	return 0;
}

/* LINKTYPE_LINUX_SLL2: protocol, reserved, interface index, ARPHRD, packet type, address length, address. */
static int put_sll2(struct hp_frame *frame, const struct sockaddr_ll *sll)
{
	uint32_t ifindex = htonl((uint32_t)sll->sll_ifindex);
	uint8_t *at;

	if (grow_front(frame, SLL2_BYTES) < 0)
		return -EBADMSG;
	at = frame->data;
	memcpy(at, &sll->sll_protocol, 2);
	put16(at + 2, 0);
	memcpy(at + 4, &ifindex, 4);
	put16(at + 8, sll->sll_hatype);
	at[10] = sll->sll_pkttype;
	at[11] = sll->sll_halen;
	memcpy(at + 12, sll->sll_addr, 8);
	return 0;
}

/* Puts a tag before the two bytes that name the protocol, `before` bytes into the packet. */
static int put_tag(struct hp_frame *frame, uint32_t before)
{
	uint16_t tci = (uint16_t)frame->hdr->hv1.tp_vlan_tci;

	if (frame->caplen < before)
		return 0;	/* cut off before the place of the tag: as libpcap, leave it */
	if (grow_front(frame, TAG_BYTES) < 0)
		return -EBADMSG;
	memmove(frame->data, frame->data + TAG_BYTES, before);
	put16(frame->data + before, hp_frame_tpid(frame));
	put16(frame->data + before + 2, tci);
	return 0;
}

/* In SLL2 the protocol stands first and the payload last: the tag's protocol and TCI go to either place. */
static int put_tag_sll2(struct hp_frame *frame)
{
	uint8_t protocol[2];

	if (grow_front(frame, TAG_BYTES) < 0)
		return -EBADMSG;
	memmove(frame->data, frame->data + TAG_BYTES, SLL2_BYTES);
	memcpy(protocol, frame->data, 2);
	put16(frame->data, hp_frame_tpid(frame));
	put16(frame->data + SLL2_BYTES, (uint16_t)frame->hdr->hv1.tp_vlan_tci);
	memcpy(frame->data + SLL2_BYTES + 2, protocol, 2);
	return 0;
}

static int restore_tag(const struct hp_source *src, struct hp_frame *frame)
{
	switch (src->link) {
	case HP_LINK_ETHER:
		return put_tag(frame, 2 * ETH_ALEN);
	case HP_LINK_SLL:
		return put_tag(frame, SLL_BYTES - 2);
	case HP_LINK_SLL2:
		return put_tag_sll2(frame);
	default:
		return 0;
	}
}

static int wanted_direction(const struct hp_source *src, const struct sockaddr_ll *sll)
{
	int outgoing = sll->sll_pkttype == PACKET_OUTGOING;

	if (outgoing && (src->loopback || sll->sll_hatype == ARPHRD_LOOPBACK))
		return 0;
	if (src->direction == HP_DIR_IN)
		return !outgoing;
	if (src->direction == HP_DIR_OUT)
		return outgoing;
	return 1;
}

static int filter_says(const struct hp_filter *filter, const struct hp_frame *frame)
{
	int outgoing = hp_frame_sll(frame)->sll_pkttype == PACKET_OUTGOING;

	return filter->run(filter->insns[outgoing], frame->data, frame->len, frame->caplen) != 0;
}

/* The filter that still has to run here on the packets of the block under the cursor. */
static const struct hp_filter *pending_filter(const struct hp_source *src)
{
	const struct hp_filter *filter = __atomic_load_n(&src->filter, __ATOMIC_ACQUIRE);

	return filter && src->ring->taken <= __atomic_load_n(&src->filter_until, __ATOMIC_RELAXED) ? filter : NULL;
}

int hp_frame_finish(const struct hp_source *src, struct hp_frame *frame)
{
	const struct hp_filter *filter = pending_filter(src);
	const struct sockaddr_ll *sll = hp_frame_sll(frame);

	if (!wanted_direction(src, sll))
		return 0;
	if (src->link == HP_LINK_SLL && put_sll(frame, sll) < 0)
		return -EBADMSG;
	if (src->link == HP_LINK_SLL2 && put_sll2(frame, sll) < 0)
		return -EBADMSG;
	/* As in the kernel: only a filter that asks for VLAN tags sees them. */
	if (filter && !filter->tests_vlan && !filter_says(filter, frame))
		return 0;
	if (hp_frame_tagged(frame) && restore_tag(src, frame) < 0)
		return -EBADMSG;
	if (filter && filter->tests_vlan && !filter_says(filter, frame))
		return 0;
	if (frame->caplen > src->snaplen)
		frame->caplen = src->snaplen;
	return HP_FRAME;
}
