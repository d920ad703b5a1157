/* SPDX-License-Identifier: BSD-3-Clause */
#include "hp_sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23	/* Linux 4.20 */
#endif
#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519
#endif

/* Link types whose packets libpcap, too, reads without a pseudo-header. */
static enum hp_link link_of(int arphrd)
{
	switch (arphrd) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return HP_LINK_ETHER;
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
		return HP_LINK_RAW;
	default:
		return HP_LINK_OTHER;
	}
}

static int ifreq_call(int fd, unsigned long request, const char *name, struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

static int device_query(int fd, struct hp_device *dev)
{
	struct ifreq ifr;
	int rc = ifreq_call(fd, SIOCGIFINDEX, dev->name, &ifr);

	if (rc < 0)
		return rc;
	dev->ifindex = ifr.ifr_ifindex;
	rc = ifreq_call(fd, SIOCGIFHWADDR, dev->name, &ifr);
	if (rc < 0)
		return rc;
	dev->arphrd = ifr.ifr_hwaddr.sa_family;
	dev->link = link_of(dev->arphrd);
	dev->loopback = dev->arphrd == ARPHRD_LOOPBACK;
	return 0;
}

int hp_device_find(struct hp_device *dev, const char *name, struct hp_err *err)
{
	int fd, rc;

	memset(dev, 0, sizeof(*dev));
	if (strlen(name) >= sizeof(dev->name))
		return hp_fail(err, ENODEV, "open", "%.64s: a device's name has at most 15 characters", name);
	strcpy(dev->name, name);
	if (strcmp(name, "any") == 0) {
		dev->link = HP_LINK_SLL;
		return 0;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return hp_fail(err, errno, "socket", "to look up device %s", name);
	rc = device_query(fd, dev);
	close(fd);
	if (rc < 0)
		return hp_fail(err, -rc, "open", "%s: no such device; findalldevs() lists those there are", name);
	return 0;
}

int hp_sock_open(const struct hp_device *dev, struct hp_err *err)
{
	int cooked = dev->link == HP_LINK_SLL || dev->link == HP_LINK_SLL2;
	int fd = socket(AF_PACKET, (cooked ? SOCK_DGRAM : SOCK_RAW) | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return hp_fail(err, errno, "socket(AF_PACKET)",
			       "to capture on %s; it takes root, CAP_NET_RAW or a user namespace of your own",
			       dev->name);
	return fd;
}

int hp_sock_promisc(int fd, const struct hp_device *dev, struct hp_err *err)
{
	struct packet_mreq mreq = { .mr_ifindex = dev->ifindex, .mr_type = PACKET_MR_PROMISC };

	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, sizeof(mreq)) < 0)
		return hp_fail(err, errno, "PACKET_ADD_MEMBERSHIP", "promiscuous mode on %s", dev->name);
	return 0;
}

int hp_sock_ignore_outgoing(int fd, int on)
{
	return setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ? -errno : 0;
}

int hp_sock_hw_timestamps(int fd, const struct hp_device *dev, struct hp_err *err)
{
	struct hwtstamp_config config = { .tx_type = HWTSTAMP_TX_OFF, .rx_filter = HWTSTAMP_FILTER_ALL };
	int source = SOF_TIMESTAMPING_RAW_HARDWARE;
	struct ifreq ifr;

	memset(&ifr, 0, sizeof(ifr));
	strcpy(ifr.ifr_name, dev->name);
	ifr.ifr_data = (void *)&config;
	if (ioctl(fd, SIOCSHWTSTAMP, &ifr) < 0)
		return hp_fail(err, errno, "SIOCSHWTSTAMP", "%s cannot stamp every received packet", dev->name);
	if (setsockopt(fd, SOL_PACKET, PACKET_TIMESTAMP, &source, sizeof(source)) < 0)
		return hp_fail(err, errno, "PACKET_TIMESTAMP", "hardware clock of %s", dev->name);
	return 0;
}

int hp_sock_attach(int fd, const struct sock_filter *insns, unsigned int nr)
{
	struct sock_fprog prog = { .len = nr, .filter = (struct sock_filter *)insns };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

int hp_sock_bind(int fd, const struct hp_device *dev, struct hp_err *err)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = dev->ifindex,
	};
	int code = 0;

	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		code = errno;
	else	/* a device that is down shows here, not in bind's own result */
		code = hp_sock_error(fd);
	if (code)
		return hp_fail(err, code, "bind", "%s%s", dev->name,
			       code == ENETDOWN ? ": the device is not up; ip link set it up" : "");
	return 0;
}

int hp_sock_reject(int fd)
{
	static const struct sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);

	return hp_sock_attach(fd, &nothing, 1);
}

void hp_sock_silence(int fd, const struct hp_device *dev)
{
	struct packet_mreq mreq = { .mr_ifindex = dev->ifindex, .mr_type = PACKET_MR_PROMISC };
	struct sockaddr_ll nothing = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_CONTROL),	/* one that no device has; 0 would leave the old one */
		.sll_ifindex = dev->ifindex,
	};

	/* None of these can be relied on alone: a fanout member cannot be bound anew, a device may be gone. */
	hp_sock_reject(fd);
	setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &mreq, sizeof(mreq));
	(void)!bind(fd, (struct sockaddr *)&nothing, sizeof(nothing));
}

int hp_sock_fanout(int fd, uint16_t group, uint16_t type, struct hp_err *err)
{
	uint32_t arg = group | (uint32_t)type << 16;

	if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &arg, sizeof(arg)) < 0)
		return hp_fail(err, errno, "PACKET_FANOUT",
			       "group %u, type 0x%x; every member of a group has the same type, device and protocol",
			       group, type);
	return 0;
}

int hp_sock_send(int fd, const void *data, uint32_t bytes, struct hp_err *err)
{
	ssize_t sent = send(fd, data, bytes, 0);

	if (sent < 0)
		return hp_fail(err, errno, "send", "%u bytes", bytes);
	if ((uint32_t)sent != bytes)
		return hp_fail(err, EIO, "send", "%zd of %u bytes went out", sent, bytes);
	return 0;
}

int hp_sock_stats(int fd, struct hp_counters *sum, struct hp_err *err)
{
	struct tpacket_stats_v3 stats;
	socklen_t size = sizeof(stats);

	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) < 0)
		return hp_fail(err, errno, "PACKET_STATISTICS", "of the capture socket");
	sum->packets += stats.tp_packets;
	sum->drops += stats.tp_drops;
	sum->freezes += stats.tp_freeze_q_cnt;
	return 0;
}

int hp_sock_error(int fd)
{
	int code = 0;
	socklen_t size = sizeof(code);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 ? errno : code;
}

int hp_sock_link_state(int fd, const struct hp_device *dev)
{
	struct sockaddr_ll addr;
	socklen_t size = sizeof(addr);
	struct ifreq ifr;

	if (dev->ifindex == 0)
		return 0;
	/* The kernel unbinds the socket (index -1) when its device is unregistered; a new one of the name is not ours. */
	if (getsockname(fd, (struct sockaddr *)&addr, &size) == 0 && addr.sll_ifindex != dev->ifindex)
		return -ENODEV;
	memset(&ifr, 0, sizeof(ifr));
	ifr.ifr_ifindex = dev->ifindex;	/* by index: a device may have been renamed */
	if (ioctl(fd, SIOCGIFNAME, &ifr) < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		return -ENODEV;
	return ifr.ifr_flags & IFF_UP ? 0 : -ENETDOWN;
}
