# SPDX-License-Identifier: BSD-3-Clause
"""The corpus of packets as the kernel would queue it on a link of each type."""

from __future__ import annotations

from fakering import (
    ARPHRD_LOOPBACK, ARPHRD_NONE, BROADCAST, ETHER, HOST, MULTICAST, OTHERHOST, OUTGOING, RAW, VLAN_8021AD, Frame, Vlan,
)
from helpers.packets import CORPUS

HEAD = 14    # of Ethernet
# 802.1Q, 802.1ad, and of a kernel that does not say which
TAGS = [Vlan(42), Vlan(0xE001, VLAN_8021AD), Vlan(7, None)]
SIDES = [(HOST, 1), (BROADCAST, 1), (MULTICAST, 1), (OTHERHOST, 1), (OUTGOING, 1), (HOST, ARPHRD_LOOPBACK),
         (HOST, ARPHRD_NONE)]


def frames_for(link: int) -> list[Frame]:
    """Each with a time of its own. RAW links carry IP alone."""
    cut = 0 if link == ETHER else HEAD
    return [Frame(packet[cut:], sec=1000 + i, nsec=999_999_999 - i * 1001, wire_bytes=len(packet[cut:]) + i % 3,
                  protocol=int.from_bytes(packet[12:14], "big"))
            for i, packet in enumerate(CORPUS.values())
            if len(packet) >= HEAD and (link != RAW or packet[12:14] in (b"\x08\0", b"\x86\xdd"))]


def with_tags(frames: list[Frame]) -> list[Frame]:
    """Every second one with a tag."""
    return [frame._replace(vlan=TAGS[i // 2 % 3] if i % 2 else None) for i, frame in enumerate(frames)]


def all_sides(link: int) -> list[Frame]:
    """Every packet whole, without a tag and with each; packet types, devices and hardware types in turn."""
    found = []
    for frame in frames_for(link):
        for vlan in [None] if link == RAW else [None, *TAGS]:
            pkttype, hatype = SIDES[len(found) % len(SIDES)]
            found.append(frame._replace(wire_bytes=None, vlan=vlan, pkttype=pkttype, hatype=hatype,
                                        ifindex=1 + len(found) % 5))
    return found
