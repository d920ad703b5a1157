# SPDX-License-Identifier: BSD-3-Clause
"""Whatever is on a link, every way of reading delivers it: the same bytes, times and lengths in the same order."""

import contextlib
import socket

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import hugepcap
from helpers import wait_until
from helpers.packets import ETH_QINQ, ETH_VLAN, MAC_A, MAC_B, ethernet, tagged
from helpers.ways import WAYS, read, shown_by
from test_links import put

SO_TIMESTAMP = 29    # asm-generic/socket.h; Python does not name it
TAG_BYTES = 4
# A packet that is cut before this byte has no place for the tag that the kernel took out of it.
TAG_AT = len(MAC_A + MAC_B)
RING = {"ring_bytes": 2 << 20}


def payloads(least, most):
    """Of the bytes only the number matters, and that neighbours differ."""
    sizes = st.integers(least, most) | st.sampled_from([least, least + 1, most])
    return st.builds(lambda size, seed: bytes((seed + i * 7) & 0xFF for i in range(size)), sizes, st.integers(0, 255))


kinds = st.sampled_from([0x0800, 0x0806, 0x86DD, 0x1234])
tags = st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=2)
plain = st.builds(ethernet, payloads(0, 1500), kinds)
# The kernel drops what has less than two bytes behind its tag, and sends nothing beyond the MTU.
vlan = st.builds(lambda payload, tags, kind, outer: tagged(payload, *tags, kind=kind, outer=outer),
                 payloads(2, 1500 - 2 * TAG_BYTES), tags, kinds, st.sampled_from([ETH_VLAN, ETH_QINQ]))
traffic = st.lists(plain | vlan, min_size=1, max_size=60)
snaplens = st.integers(1, 40) | st.integers(41, 1600) | st.just(65535)
steps = st.lists(st.integers(1, 70), min_size=1, max_size=4)


@contextlib.contextmanager
def one_stamp(link):
    """The kernel stamps each packet once, when it comes in, and not anew for each socket that reads it.

    It does while a socket wants SO_TIMESTAMP, from a moment after that was said.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, \
            hugepcap.open_live(link.far, 64, 1, 20, **RING) as one, hugepcap.open_live(link.far, 64, 1, 20, **RING) as two:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)

        def same():
            put(link.near, ethernet(b""))
            stamps = [read(reader, WAYS["next"], 1, [1])[0][0] for reader in (one, two)]
            return stamps[0] == stamps[1]

        wait_until(same, "one time stamp for all sockets")
        yield


def as_captured(packet, snaplen):
    """(length on the wire, bytes) of a packet that was sent."""
    tag_lost = snaplen < TAG_AT and int.from_bytes(packet[TAG_AT:TAG_AT + 2], "big") in (ETH_VLAN, ETH_QINQ)
    return len(packet) - tag_lost * TAG_BYTES, packet[:snaplen]


@pytest.mark.deadline(240)
def test_every_way_delivers_the_same(link):
    @settings(max_examples=40, deadline=None, phases=(Phase.generate,))    # seven captures an example: no time to shrink
    @given(traffic, snaplens, steps)
    def check(packets, snaplen, mosts):
        with contextlib.ExitStack() as stack:
            readers = {way: stack.enter_context(hugepcap.open_live(link.far, snaplen, 1, 20, **RING)) for way in WAYS}
            put(link.near, *packets)
            seen = {way: read(readers[way], WAYS[way], len(packets), mosts) for way in WAYS}
            assert {readers[way].stats()[:2] for way in WAYS} == {(len(packets), 0)}
        rows = seen["loop"]
        assert [row[1:] for row in rows] == [as_captured(packet, snaplen) for packet in packets]
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)
        for way in WAYS:
            assert seen[way] == shown_by(way, rows), way

    with one_stamp(link):
        check()
