/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "hp_send.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_SEC 1000000000ll
#define NS_PER_MS 1000000ll
#define TAG_BYTES 4u
/* How long a device may be without a carrier: a link that has just been set up may take as long. */
#define NO_CARRIER_NS (3 * NS_PER_SEC)
#define DUE_NS_MAX 1000000000000000000ll	/* 31 years, which int64_t has room for */

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

/* ---- the device ---- */

static int is_ethernet(int fd, const char *device)
{
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, device, IFNAMSIZ);
	if (ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		return 1;
	return request.ifr_hwaddr.sa_family == ARPHRD_ETHER || request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
}

static uint32_t mtu(int fd, const char *device)
{
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, device, IFNAMSIZ);
	return ioctl(fd, SIOCGIFMTU, &request) < 0 ? 0 : (uint32_t)request.ifr_mtu;
}

/* Protocol 0: the socket sends, and never receives. */
static int bind_to(int fd, const char *device)
{
	struct sockaddr_ll sll = { .sll_family = AF_PACKET };

	sll.sll_ifindex = (int)if_nametoindex(device);
	if (!sll.sll_ifindex)
		return -1;
	return bind(fd, (struct sockaddr *)&sll, sizeof(sll));
}

int hp_sender_open(struct hp_sender *sender, const char *device, int qdisc_bypass, struct hp_err *err)
{
	memset(sender, 0, sizeof(*sender));
	sender->fd = -1;
	if (strlen(device) >= IFNAMSIZ)
		return hp_fail(err, ENODEV, "generate", "on %.64s: a device's name has at most %d bytes", device,
			       IFNAMSIZ - 1);
	strcpy(sender->device, device);
	sender->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (sender->fd < 0)
		return hp_fail(err, errno, "generate",
			       "on %s: a packet socket takes root or CAP_NET_RAW", device);
	if (bind_to(sender->fd, device) < 0)
		return hp_fail(err, errno, "generate", "on %s", device);
	/* before Linux 3.14 there is none; the queueing discipline then stays in the way */
	(void)setsockopt(sender->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &qdisc_bypass, sizeof(qdisc_bypass));
	sender->spec.ethernet = is_ethernet(sender->fd, sender->device);
	sender->longest = mtu(sender->fd, sender->device) + (sender->spec.ethernet ? ETH_HLEN : 0);
	return 0;
}

static int prepare_messages(struct hp_sender *sender, struct hp_err *err)
{
	struct hp_messages *messages = &sender->messages;

	messages->slots = malloc((size_t)HP_SEND_BATCH * sender->slot_bytes);
	if (!messages->slots)
		return hp_fail(err, ENOMEM, "generate", "on %s: %u packets of %u bytes", sender->device,
			       HP_SEND_BATCH, sender->slot_bytes);
	for (unsigned int i = 0; i < HP_SEND_BATCH; i++) {
		messages->parts[i].iov_base = messages->slots + (size_t)i * sender->slot_bytes;
		messages->headers[i].msg_hdr.msg_iov = &messages->parts[i];
		messages->headers[i].msg_hdr.msg_iovlen = 1;
	}
	return 0;
}

int hp_sender_prepare(struct hp_sender *sender, uint32_t slot_bytes, int ring, struct hp_err *err)
{
	sender->slot_bytes = slot_bytes;
	return ring ? hp_tx_ring_open(&sender->ring, sender->fd, slot_bytes, err) : prepare_messages(sender, err);
}

void hp_sender_close(struct hp_sender *sender)
{
	hp_tx_ring_close(&sender->ring);
	if (sender->fd >= 0)
		close(sender->fd);
	sender->fd = -1;
	free(sender->messages.slots);
	sender->messages.slots = NULL;
}

/* ---- pace ---- */

void hp_sender_restart(struct hp_sender *sender)
{
	sender->start_ns = 0;
	sender->staged = 0;
	sender->staged_bytes = 0;
}

/* When the next packet may go, since start_ns. */
static double due_after_ns(const struct hp_sender *sender)
{
	if (sender->rate_pps)
		return (double)sender->staged * NS_PER_SEC / (double)sender->rate_pps;
	if (sender->rate_bps)
		return (double)sender->staged_bytes * 8 * NS_PER_SEC / (double)sender->rate_bps;
	if (sender->speed > 0)
		return (double)(int64_t)(sender->items->ts_ns - sender->first_ts_ns) / sender->speed;
	return 0;
}

static int64_t due_ns(struct hp_sender *sender)
{
	double after_ns;

	if (!sender->start_ns) {
		sender->start_ns = now_ns();
		sender->first_ts_ns = sender->items ? sender->items->ts_ns : 0;
	}
	after_ns = due_after_ns(sender);
	if (after_ns <= 0)
		return sender->start_ns;
	return sender->start_ns + (after_ns < DUE_NS_MAX ? (int64_t)after_ns : DUE_NS_MAX);
}

static void wait_until(int64_t at_ns, int64_t until_ns)
{
	int64_t ns = (at_ns < until_ns ? at_ns : until_ns) - now_ns();
	struct timespec pause = { .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };

	if (ns > 0)
		nanosleep(&pause, NULL);
}

/* ---- from packets to slots ---- */

static int has_tag(const uint8_t *packet, uint32_t bytes)
{
	return bytes > 2 * ETH_ALEN + 1 && packet[2 * ETH_ALEN] == ETH_P_8021Q >> 8 &&
	       packet[2 * ETH_ALEN + 1] == (ETH_P_8021Q & 0xff);
}

/* What the kernel would refuse. A VLAN tag does not count against the MTU. */
static int is_refused(const struct hp_sender *sender, const uint8_t *packet, uint32_t bytes)
{
	uint32_t tag = sender->spec.ethernet && has_tag(packet, bytes) ? TAG_BYTES : 0;

	return bytes > sender->longest + tag || bytes > sender->slot_bytes ||
	       bytes < (sender->spec.ethernet ? ETH_HLEN : 1u);
}

/* The next packet into a slot; its length, or 0 for one that is left out. */
static uint32_t fill(struct hp_sender *sender, uint8_t *slot)
{
	const struct hp_item *item = sender->items;
	const uint8_t *packet;

	sender->left--;
	if (!item)
		return hp_gen_build(&sender->spec, sender->next++, slot);
	sender->items++;
	packet = sender->data + item->offset;
	if (is_refused(sender, packet, item->bytes)) {
		sender->refused++;
		return 0;
	}
	memcpy(slot, packet, item->bytes);
	return item->bytes;
}

static uint8_t *next_slot(struct hp_sender *sender)
{
	struct hp_messages *messages = &sender->messages;

	if (sender->ring.map)
		return hp_tx_ring_slot(&sender->ring);
	return messages->filled < HP_SEND_BATCH ? messages->parts[messages->filled].iov_base : NULL;
}

static void commit(struct hp_sender *sender, uint32_t bytes)
{
	if (sender->ring.map)
		hp_tx_ring_commit(&sender->ring, bytes);
	else
		sender->messages.parts[sender->messages.filled++].iov_len = bytes;
	sender->staged++;
	sender->staged_bytes += bytes;
}

/* Fills slots with what is due, at most a batch. */
static void stage(struct hp_sender *sender)
{
	int64_t now = now_ns();
	uint8_t *slot;

	for (unsigned int i = 0; i < HP_SEND_BATCH && sender->left && due_ns(sender) <= now; i++) {
		uint32_t bytes;

		slot = next_slot(sender);
		if (!slot)
			return;
		bytes = fill(sender, slot);
		if (bytes)
			commit(sender, bytes);
	}
}

/* ---- from slots to the kernel ---- */

static int flush_messages(struct hp_sender *sender)
{
	struct hp_messages *messages = &sender->messages;
	int nr = sendmmsg(sender->fd, messages->headers + messages->flushed, messages->filled - messages->flushed, 0);

	if (nr < 0)
		return -errno;
	for (int i = 0; i < nr; i++)
		sender->bytes += messages->parts[messages->flushed + i].iov_len;
	messages->flushed += nr;
	sender->sent += nr;
	if (messages->flushed == messages->filled)
		messages->flushed = messages->filled = 0;
	return 0;
}

static int unsent(const struct hp_sender *sender)
{
	return sender->ring.map ? sender->ring.asked < sender->ring.head : sender->messages.filled > 0;
}

static void wait_for_room(const struct hp_sender *sender)
{
	struct pollfd writable = { .fd = sender->fd, .events = POLLOUT };

	(void)poll(&writable, 1, 1);
}

static int has_carrier(const struct hp_sender *sender)
{
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, sender->device, IFNAMSIZ);
	return ioctl(sender->fd, SIOCGIFFLAGS, &request) < 0 || request.ifr_flags & IFF_RUNNING;
}

/* Nothing is taken. A full queue empties, a device without a carrier takes nothing until it has one. */
static int wait_for_device(struct hp_sender *sender)
{
	if (has_carrier(sender))
		sender->no_carrier_since_ns = 0;
	else if (!sender->no_carrier_since_ns)
		sender->no_carrier_since_ns = now_ns();
	else if (now_ns() - sender->no_carrier_since_ns > NO_CARRIER_NS)
		return -ENETDOWN;
	wait_for_room(sender);
	return 0;
}

/* ENOBUFS and EAGAIN mean a full queue, or no carrier: the packet was not taken, and is tried again. */
static int flush(struct hp_sender *sender)
{
	int rc = sender->ring.map ? hp_tx_ring_kick(&sender->ring, sender->fd, &sender->sent, &sender->bytes) :
		flush_messages(sender);

	if (rc == -ENOBUFS || rc == -EAGAIN)
		return wait_for_device(sender);
	sender->no_carrier_since_ns = 0;
	return rc == -EINTR ? 0 : rc;
}

/* Nothing is staged: either nothing is due, or the device has all of the ring. */
static void wait_for_more(struct hp_sender *sender, int64_t until_ns)
{
	int64_t at_ns = due_ns(sender);

	if (at_ns > now_ns())
		wait_until(at_ns, until_ns);
	else if (sender->ring.map && hp_tx_ring_busy(&sender->ring))
		wait_for_room(sender);
}

static const char *way_out(int rc)
{
	return rc == -EMSGSIZE ? ", whose MTU is too small for some (ip link set mtu)" :
	       rc == -ENETDOWN ? ", which is not up (ip link set up)" : "";
}

int hp_sender_run(struct hp_sender *sender, uint32_t slice_ms, struct hp_err *err)
{
	int64_t until_ns = now_ns() + slice_ms * NS_PER_MS;
	int rc = 0;

	while ((sender->left || unsent(sender)) && now_ns() < until_ns && rc == 0) {
		if (!unsent(sender))
			stage(sender);
		if (unsent(sender))
			rc = flush(sender);
		else if (sender->left)
			wait_for_more(sender, until_ns);
	}
	if (rc < 0 && sender->no_carrier_since_ns)
		return hp_fail(err, -rc, "generate", "on %s, after %llu packets: it has no carrier; set its other end "
			       "up (ip link set PEER up), or put its cable in",
			       sender->device, (unsigned long long)sender->sent);
	if (rc < 0)
		return hp_fail(err, -rc, "generate", "on %s%s, after %llu packets, %u bytes each at most",
			       sender->device, way_out(rc), (unsigned long long)sender->sent, sender->slot_bytes);
	return sender->left == 0 && !unsent(sender);
}

int hp_sender_settle(struct hp_sender *sender, uint32_t slice_ms)
{
	int64_t until_ns = now_ns() + slice_ms * NS_PER_MS;

	while (sender->ring.map && hp_tx_ring_busy(&sender->ring) && now_ns() < until_ns)
		wait_for_room(sender);
	return !sender->ring.map || hp_tx_ring_busy(&sender->ring) == 0;
}
