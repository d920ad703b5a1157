# SPDX-License-Identifier: BSD-3-Clause
"""Packets as lines, in the words of `tcpdump -n -S`, and as JSON: the link layer, and what there is in any."""

import json
import socket
import time
from typing import NamedTuple

from .. import constants
from . import words

ETHERNET_NAMES = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6", 0x8100: "802.1Q", 0x88A8: "802.1Q-QinQ"}
TAGS = (0x8100, 0x88A8)
LENGTH_MAX = 1500    # up to this the "ethertype" of a frame is its length: IEEE 802.3
SNAP = b"\xaa\xaa\x03\0\0\0"    # and then the ethertype
FAMILIES = {2: 0x0800, 24: 0x86DD, 28: 0x86DD, 30: 0x86DD}    # of BSDs
DLT_NULL, DLT_LOOP, DLT_IPV4, DLT_IPV6 = 0, 108, 228, 229
KIND_AT = {constants.DLT_EN10MB: 12, constants.DLT_LINUX_SLL: 14}    # where the ethertype stands
WAYS = {0: "In", 1: "B", 2: "M", 3: "P", 4: "Out"}


def line(header, data, linktype, link_header=False):
    """One packet as tcpdump prints it; `link_header` adds MACs and VLAN tags, as its -e does."""
    seconds, microseconds = header.getts()
    try:
        clock = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{microseconds:06d}"
    except (OverflowError, OSError, ValueError):    # beyond what the C library reckons with
        clock = "[Error converting time]"
    return f"{clock} {described(header, data, linktype, link_header)}"


def described(header, data, linktype, link_header=False):
    try:
        link = take_link(data, linktype)
    except IndexError:
        return " [|ether]" if linktype == constants.DLT_EN10MB else f"[{len(data)} bytes that do not decode]"
    try:
        text = network(link.kind, link.payload, header.getlen() - (len(data) - len(link.payload)))
    except RecursionError:    # IP in IP in IP ...
        text = f"[{len(data)} bytes that do not decode]"
    if link_header and linktype == constants.DLT_EN10MB:
        return frame(header, data, link.tags) + text.removeprefix("IP ").removeprefix("IP6 ").removeprefix("ARP, ")
    return link.prefix + text


def frame(header, data, tags):
    """The MACs and what is between them and the packet."""
    macs = " > ".join(":".join(f"{byte:02x}" for byte in mac) for mac in (data[6:12], data[:6]))
    outer = two_bytes(data, 12)
    if outer <= LENGTH_MAX:
        return f"{macs}, "
    text = f"{macs}, {ethertype(outer)}, length {header.getlen()}: "
    for tag, inner in tags:
        text += f"vlan {tag & 0xfff}, p {tag >> 13}, {ethertype(inner)}, "
    return text


class Link(NamedTuple):
    """What is under a packet: the ethertype (or the words for what is none), what follows, [(VLAN tag, ethertype
    behind it)], and what stands before the packet's words."""

    kind: object
    payload: bytes
    tags: list = []
    prefix: str = ""


def take_link(data, linktype):
    """The Link of a packet. IndexError for a short one."""
    if linktype in (constants.DLT_RAW, DLT_IPV4, DLT_IPV6):
        version = data[0] >> 4
        return Link({4: 0x0800, 6: 0x86DD}.get(version, f"unknown ip {version}"), data)
    if linktype in (DLT_NULL, DLT_LOOP):
        return family(data, linktype)
    if linktype == constants.DLT_LINUX_SLL2:
        prefix = f"{interface(int.from_bytes(data[4:8], 'big')):<5} {WAYS.get(data[10], '?'):<3} "
        return behind(data, two_bytes(data, 0), 20)._replace(prefix=prefix)
    if linktype not in KIND_AT:
        return Link(f"link type {linktype}, length {len(data)}", data)
    at = KIND_AT[linktype]
    return behind(data, two_bytes(data, at), at + 2)


def behind(data, kind, at):
    tags = []
    while kind in TAGS:
        tag, kind = two_bytes(data, at), two_bytes(data, at + 2)
        tags.append((tag, kind))
        at += 4
    if kind > LENGTH_MAX:
        return Link(kind, data[at:], tags)
    if data[at:at + 6] == SNAP:
        return Link(two_bytes(data, at + 6), data[at + 8:], tags)
    return Link(f"802.3, length {kind}", data[at:], tags)


def family(data, linktype):
    """Of the loopback of a BSD: four bytes in the order of the host that captured, or (LOOP) of the network."""
    number = int.from_bytes(data[:4], "big" if linktype == DLT_LOOP else "little")
    if number > 0xffff:
        number = int.from_bytes(data[:4], "big")
    return Link(FAMILIES.get(number, f"AF Unknown ({number}), length {len(data)}"), data[4:])


def interface(index):
    """Its name on this host, which need not be the one that captured."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return "?"


def two_bytes(data, at):
    return data[at] << 8 | data[at + 1]


def ethertype(kind):
    return f"ethertype {ETHERNET_NAMES.get(kind, 'Unknown')} (0x{kind:04x})"


def network(kind, payload, length):
    """What is behind the link-layer header; `length` bytes on the wire."""
    if isinstance(kind, str):
        return kind
    if kind in words.OF_ETHERTYPE:
        return words.OF_ETHERTYPE[kind](payload, length)
    return f"ethertype Unknown (0x{kind:04x}), length {length}"


def hexdump(data, linktype):
    """What tcpdump's -x shows: 16 bytes a line, by their offset, of what is behind the link-layer header."""
    try:
        payload = take_link(data, linktype).payload
    except IndexError:
        payload = data
    for at in range(0, len(payload), 16):
        row = payload[at:at + 16].hex()
        yield f"\t0x{at:04x}:  {' '.join(row[i:i + 4] for i in range(0, len(row), 4))}"


def as_json(header, data, linktype):
    """One line of JSON: nanoseconds since the Epoch, lengths, the packet in words and in hex."""
    return json.dumps({"ts_ns": header.ts_ns, "caplen": header.getcaplen(), "len": header.getlen(),
                       "text": described(header, data, linktype), "data": data.hex()})
