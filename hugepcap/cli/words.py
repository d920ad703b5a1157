# SPDX-License-Identifier: BSD-3-Clause
"""What tcpdump says of ARP, IP and what is in it: words of as much of a packet as was captured.

A header that was cut off is named: [|udp]. Every function gets the bytes captured and their length on the wire.
"""

import struct

import dpkt
from dpkt.utils import inet_to_str, mac_to_str

TCP_FLAGS = ((0x01, "F"), (0x02, "S"), (0x04, "R"), (0x08, "P"), (0x10, "."), (0x20, "U"), (0x40, "E"), (0x80, "W"))
TCP_OPTIONS = {0: "eol", 1: "nop", 2: "mss", 3: "wscale", 4: "sackOK", 8: "TS"}
ICMP = {0: "echo reply", 8: "echo request"}
ICMP6 = {128: "echo request", 129: "echo reply", 133: "router solicitation", 134: "router advertisement",
         135: "neighbor solicitation", 136: "neighbor advertisement"}
IGMP = {0x12: "v1 report", 0x16: "v2 report", 0x17: "leave"}
VRRP_AUTH = {0: "none", 1: "simple"}
PROTOCOLS = {47: "GREv0", 50: "ESP", 51: "AH", 89: "OSPF", 103: "PIM", 132: "sctp"}
HOP_BY_HOP, FRAGMENT, NO_NEXT, DESTINATION = 0, 44, 59, 60
OPTIONS = {HOP_BY_HOP: ("HBH", "hbhopt"), DESTINATION: ("DSTOPT", "dstopt")}


def arp(data, length):
    try:
        packet = dpkt.arp.ARP(data)
    except dpkt.dpkt.NeedData:
        return "ARP, [|arp]"
    asks, answers = inet_to_str(packet.tpa), inet_to_str(packet.spa)
    if packet.op == dpkt.arp.ARP_OP_REQUEST:
        known = f" ({mac_to_str(packet.tha)})" if any(packet.tha) else ""
        return f"ARP, Request who-has {asks}{known} tell {answers}, length {length}"
    return f"ARP, Reply {answers} is-at {mac_to_str(packet.sha)}, length {length}"


# ---- IP ----

def ip(data, length):
    if len(data) < 20:
        return "IP  [|ip]" if data else " [|ip]"
    version, header, total = data[0] >> 4, (data[0] & 15) * 4, number(data, 2, 2)
    if version != 4:
        return f"IP{version} (invalid)"
    if header < 20:
        return f"IP bad-hlen {header}"
    if total < header:
        return f"IP bad-len {total}"
    missing = f"truncated-ip - {total - length} bytes missing! " if length < total else ""
    ends = inet_to_str(data[12:16]), inet_to_str(data[16:20])
    protocol = data[9]
    if number(data, 6, 2) & 0x1fff:
        return f"IP {missing}{between(ends)}ip-proto-{protocol}"
    return f"IP {missing}" + transport(protocol, data[header:total], total - header, ends, ttl=data[8])


def ip6(data, length):
    if len(data) < 40:
        return " [|ip6]"
    if data[0] >> 4 != 6:
        return f"IP6 version error: {data[0] >> 4} != 6"
    total = number(data, 4, 2)
    missing = f"truncated-ip6 - {total + 40 - length} bytes missing!" if length < total + 40 else ""
    ends = inet_to_str(data[8:24]), inet_to_str(data[24:40])
    return f"IP6 {missing}" + extended(data[6], data[40:40 + total], total, ends)


def extended(kind, data, length, ends):
    """What is behind the IPv6 header, extension headers first."""
    chain = ""
    while kind in (*OPTIONS, FRAGMENT):
        if len(data) < 8:
            return between(ends) + f"{chain} [|{OPTIONS[kind][1] if kind in OPTIONS else 'frag6'}]"
        bytes_of = 8 if kind == FRAGMENT else (data[1] + 1) * 8
        offset = number(data, 2, 2) & 0xfff8
        chain += f"frag ({offset}|{length - 8}) " if kind == FRAGMENT else f"{OPTIONS[kind][0]} "
        if kind == FRAGMENT and offset:
            return between(ends) + chain.rstrip()
        kind, data, length = data[0], data[bytes_of:], length - bytes_of
    if kind == NO_NEXT:
        return between(ends) + f"{chain}no next header"
    return transport(kind, data, length, ends, chain)


def between(ends, ports=None, chain=""):
    """Who sends to whom. Ports stand by the addresses, but where headers come between."""
    if ports and not chain:
        ends = [f"{end}.{port}" for end, port in zip(ends, ports)]
    inner = f"{ports[0]} > {ports[1]}: " if ports and chain else ""
    return f"{ends[0]} > {ends[1]}: {chain}{inner}"


# ---- and what is in it ----

def transport(protocol, data, length, ends, chain="", ttl=0):
    if protocol in (6, 17):
        ports = struct.unpack_from("!HH", data) if len(data) >= 4 else None
        return between(ends, ports, chain) + (tcp if protocol == 6 else udp)(data, length)
    if protocol in CARRIED:
        return between(ends, None, chain) + CARRIED[protocol](data, length)
    if protocol == 112 and data[:1] and data[0] >> 4 in (2, 3):
        return between(ends, None, chain) + vrrp(data, length, ttl)
    return between(ends, None, chain) + f"{PROTOCOLS.get(protocol, f' ip-proto-{protocol}')} {length}"


def udp(data, length):
    if len(data) < 4:
        return " [|udp]"
    if length < 8:
        return f"truncated-udp {length}"
    if len(data) < 8:
        return " [|udp]"
    inner = number(data, 4, 2) - 8
    if inner < 0:
        return f"truncated-udplength {inner + 8}"
    return f"UDP, bad length {inner} > {length - 8}" if inner > length - 8 else f"UDP, length {inner}"


def tcp(data, length):
    if len(data) < 20:
        return " [|tcp]" if len(data) >= 4 else "[|tcp]"
    flags, header = data[13], (data[12] >> 4) * 4
    if header < 20:
        return f" tcp {length - header} [bad hdr length {header} - too short, < 20]"
    text = f"Flags [{''.join(letter for bit, letter in TCP_FLAGS if flags & bit) or 'none'}]"
    if header > length:
        return f"{text} [bad hdr length {header} - too long, > {length}]"
    text += tcp_numbers(data, flags, length - header)
    if header > 20:
        options, whole = tcp_options(data[20:header], header - 20)
        text += f", options [{options}" + ("]" if whole else " [|tcp]")
        if not whole:
            return text
    return f"{text}, length {length - header}"


def tcp_numbers(data, flags, length):
    sequence, acknowledged, window, urgent = struct.unpack_from("!II2xH2xH", data, 4)
    text = ""
    if length > 0 or flags & 0x07:
        text += f", seq {sequence}" + (f":{(sequence + length) & 0xffffffff}" if length > 0 else "")
    if flags & 0x10:
        text += f", ack {acknowledged}"
    text += f", win {window}"
    return text + (f", urg {urgent}" if flags & 0x20 else "")


def tcp_options(data, length):
    """(the words for each, up to the one that ends them, whether all were captured)."""
    text = ""
    while length > 0:
        kind, size = data[0] if data else None, 1
        if kind is None or kind > 1 and len(data) < 2:
            return text, False
        if kind > 1:
            size = max(data[1], 2)
            if size > len(data):
                return text + TCP_OPTIONS.get(kind, f"unknown-{kind}"), size > length
        text += tcp_option(kind, int.from_bytes(data[2:size], "big"))
        if kind == 0:
            return text, True
        data, length = data[size:], length - size
        text += "," if length > 0 else ""
    return text, True


def tcp_option(kind, value):
    values = {2: f" {value}", 3: f" {value}", 8: f" val {value >> 32} ecr {value & 0xffffffff}"}
    return TCP_OPTIONS.get(kind, f"unknown-{kind}") + values.get(kind, "")


def icmp(data, length):
    if len(data) < 8:
        return " [|icmp]"
    return f"ICMP {ICMP.get(data[0], f'type-#{data[0]}')}{echo(data) if data[0] in ICMP else ''}, length {length}"


def icmp6(data, length):
    if len(data) < 8:
        return " [|icmp6]"
    kind = ICMP6.get(data[0], f"type-#{data[0]}")
    return f"ICMP6, {kind}{echo(data) if data[0] in (128, 129) else ''}, length {length}"


def echo(data):
    return f", id {number(data, 4, 2)}, seq {number(data, 6, 2)}"


def igmp(data, length):
    if len(data) < 8:
        return " [|igmp]"
    if data[0] == 0x11:
        group = f" [gaddr {inet_to_str(data[4:8])}]" if any(data[4:8]) else ""
        return f"igmp query v{3 if length >= 12 else 2 if data[1] else 1}{group}"
    if data[0] == 0x22:
        return f"igmp v3 report, {number(data, 6, 2)} group record(s)"
    return f"igmp {IGMP[data[0]]} {inet_to_str(data[4:8])}" if data[0] in IGMP else f"igmp-{data[0]}"


def vrrp(data, length, ttl):
    if len(data) < 8:
        return " [|vrrp]"
    version = data[0] >> 4
    kind = "Advertisement" if data[0] & 15 == 1 else f"[type#{data[0] & 15}]"
    pace = f"intvl {number(data, 4, 2) & 0xfff}cs" if version == 3 else \
        f"authtype {VRRP_AUTH.get(data[4], f'type#{data[4]}')}, intvl {data[5]}s"
    return f"VRRPv{version}, {kind}, (ttl {ttl}), vrid {data[1]}, prio {data[2]}, {pace}, length {length}"


def number(data, at, size):
    return int.from_bytes(data[at:at + size], "big")


CARRIED = {1: icmp, 2: igmp, 4: ip, 41: ip6, 58: icmp6}
OF_ETHERTYPE = {0x0800: ip, 0x0806: arp, 0x86DD: ip6}
