# SPDX-License-Identifier: BSD-3-Clause
"""Packets as lines, in the words of `tcpdump -n -S`, and as JSON; dpkt takes them apart."""

import json
import time

import dpkt

from .. import constants

ETHERNET_NAMES = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x8100: "802.1Q", 0x88A8: "802.1Q-QinQ"}
TAGS = (0x8100, 0x88A8)
TCP_FLAGS = ((0x01, "F"), (0x02, "S"), (0x04, "R"), (0x08, "P"), (0x10, "."), (0x20, "U"), (0x40, "E"), (0x80, "W"))
ICMP = {0: "echo reply", 8: "echo request"}
ICMP6 = {128: "echo request", 129: "echo reply", 133: "router solicitation", 134: "router advertisement",
         135: "neighbor solicitation", 136: "neighbor advertisement"}
PROTOCOLS = {2: "igmp", 41: "IP6", 47: "GREv0", 50: "ESP", 89: "OSPF", 132: "sctp"}


def line(header, data, linktype, link_header=False):
    """One packet as tcpdump prints it; `link_header` adds MACs and VLAN tags, as its -e does."""
    seconds, microseconds = header.getts()
    clock = time.strftime("%H:%M:%S", time.localtime(seconds))
    return f"{clock}.{microseconds:06d} {described(header, data, linktype, link_header)}"


def described(header, data, linktype, link_header=False):
    try:
        return of_link(header, data, linktype, link_header)
    except (dpkt.dpkt.Error, IndexError, ValueError):
        return f"[{len(data)} bytes that do not decode]"


def of_link(header, data, linktype, link_header):
    kind, payload, tags = take_link(data, linktype)
    if not link_header or linktype != constants.DLT_EN10MB:
        return network(kind, payload, header.getlen() - (len(data) - len(payload)))
    macs = " > ".join(dpkt.utils.mac_to_str(mac) for mac in (data[6:12], data[:6]))
    words = f"{macs}, {ethertype(two_bytes(data, 12))}, length {header.getlen()}: "
    for tag, inner in tags:
        words += f"vlan {tag & 0xfff}, p {tag >> 13}, {ethertype(inner)}, "
    text = network(kind, payload, header.getlen() - (len(data) - len(payload)))
    return words + text.removeprefix("IP ").removeprefix("IP6 ").removeprefix("ARP, ")


def take_link(data, linktype):
    """(ethertype, what follows, [(VLAN tag, ethertype behind it)]) of a packet. IndexError for a short one."""
    if linktype == constants.DLT_RAW:
        return {4: 0x0800, 6: 0x86DD}.get(data[0] >> 4, 0), data, []
    at = {constants.DLT_LINUX_SLL: 14, constants.DLT_LINUX_SLL2: 0}.get(linktype, 12)
    kind = two_bytes(data, at)
    at = 20 if linktype == constants.DLT_LINUX_SLL2 else at + 2
    tags = []
    while kind in TAGS:
        tag, kind = two_bytes(data, at), two_bytes(data, at + 2)
        tags.append((tag, kind))
        at += 4
    return kind, data[at:], tags


def two_bytes(data, at):
    return data[at] << 8 | data[at + 1]


def ethertype(kind):
    return f"ethertype {ETHERNET_NAMES.get(kind, 'Unknown')} (0x{kind:04x})"


def network(kind, payload, length):
    """What is behind the link-layer header; `length` bytes on the wire."""
    if kind == 0x0800:
        packet = dpkt.ip.IP(payload)
        return transport("IP", packet, packet.p, packet.len - packet.hl * 4, packet.offset > 0)
    if kind == 0x86DD:
        packet = dpkt.ip6.IP6(payload)
        return transport("IP6", packet, packet.p, packet.plen, False)
    if kind == 0x0806:
        return arp(dpkt.arp.ARP(payload), length)
    return f"ethertype Unknown (0x{kind:04x}), length {length}"


def arp(packet, length):
    asks, answers = dpkt.utils.inet_to_str(packet.tpa), dpkt.utils.inet_to_str(packet.spa)
    if packet.op == dpkt.arp.ARP_OP_REQUEST:
        known = f" ({dpkt.utils.mac_to_str(packet.tha)})" if any(packet.tha) else ""
        return f"ARP, Request who-has {asks}{known} tell {answers}, length {length}"
    return f"ARP, Reply {answers} is-at {dpkt.utils.mac_to_str(packet.sha)}, length {length}"


def transport(name, packet, protocol, length, later_fragment):
    """An IP packet with `length` bytes behind its header."""
    ends = [dpkt.utils.inet_to_str(packet.src), dpkt.utils.inet_to_str(packet.dst)]
    inner = packet.data
    if later_fragment:
        return f"{name} {' > '.join(ends)}: ip-proto-{protocol}"
    if isinstance(inner, bytes):
        return f"{name} {' > '.join(ends)}: {PROTOCOLS.get(protocol, f' ip-proto-{protocol}')} {length}"
    if isinstance(inner, (dpkt.udp.UDP, dpkt.tcp.TCP)):
        ends = [f"{end}.{port}" for end, port in zip(ends, (inner.sport, inner.dport))]
    return f"{name} {' > '.join(ends)}: {contents(inner, length)}"


def contents(inner, length):
    if isinstance(inner, dpkt.udp.UDP):
        return f"UDP, length {inner.ulen - 8}"
    if isinstance(inner, dpkt.tcp.TCP):
        return tcp(inner, length - inner.off * 4)
    if isinstance(inner, dpkt.icmp.ICMP):
        return icmp(inner, length)
    if isinstance(inner, dpkt.icmp6.ICMP6):
        return f"ICMP6, {ICMP6.get(inner.type, f'type-#{inner.type}')}{echo_of(inner)}, length {length}"
    return f"{type(inner).__name__} {length}"


def icmp(inner, length):
    return f"ICMP {ICMP.get(inner.type, f'type-#{inner.type}')}{echo_of(inner)}, length {length}"


def echo_of(inner):
    """Which echo it is, of ICMP and ICMPv6."""
    echo = isinstance(inner.data, (dpkt.icmp.ICMP.Echo, dpkt.icmp6.ICMP6.Echo))
    return f", id {inner.data.id}, seq {inner.data.seq}" if echo else ""


def tcp(inner, length):
    flags = "".join(letter for bit, letter in TCP_FLAGS if inner.flags & bit) or "none"
    words = f"Flags [{flags}]"
    if length > 0 or inner.flags & 0x07:
        words += f", seq {inner.seq}" + (f":{(inner.seq + length) & 0xffffffff}" if length > 0 else "")
    if inner.flags & 0x10:
        words += f", ack {inner.ack}"
    words += f", win {inner.win}"
    if inner.flags & 0x20:
        words += f", urg {inner.urp}"
    if inner.opts:
        words += f", options [{','.join(tcp_options(inner.opts))}]"
    return f"{words}, length {length}"


def tcp_options(data):
    """The words for each, up to the one that ends them."""
    for kind, value in dpkt.tcp.parse_opts(data):
        number = int.from_bytes(value, "big")
        timestamps = f"TS val {number >> 32} ecr {number & 0xffffffff}"
        yield {0: "eol", 1: "nop", 2: f"mss {number}", 3: f"wscale {number}", 4: "sackOK",
               8: timestamps}.get(kind, f"unknown-{kind}")
        if kind == 0:
            return


def hexdump(data, linktype):
    """What tcpdump's -x shows: 16 bytes a line, by their offset, of what is behind the link-layer header."""
    try:
        payload = take_link(data, linktype)[1]
    except IndexError:
        payload = data
    for at in range(0, len(payload), 16):
        row = payload[at:at + 16].hex()
        yield f"\t0x{at:04x}:  {' '.join(row[i:i + 4] for i in range(0, len(row), 4))}"


def as_json(header, data, linktype):
    """One line of JSON: nanoseconds since the Epoch, lengths, the packet in words and in hex."""
    return json.dumps({"ts_ns": header.ts_ns, "caplen": header.getcaplen(), "len": header.getlen(),
                       "text": described(header, data, linktype), "data": data.hex()})
