# SPDX-License-Identifier: BSD-3-Clause
"""What is sent comes out of the ring: whole, in order, and counted."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import socket
import struct
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from rings import (DEBUG, ETHERTYPE, HUGE, HUGE_POLICIES, KIB, MIB, POLICIES, Mapping, Ring, enable, frame_of, hugetlb,
                   info, make_ring, packet_socket, request, smaps)

BATCH = 150
BLOCKS = {"256K": 256 * KIB, "2M": 2 * MIB, "4M": 4 * MIB}
RINGS = {"2M": 2 * MIB, "64M": 64 * MIB}
# On the debug kernel, rings of 64 MiB are tried in V3 alone.
CELLS = [(total, version) for total, version in itertools.product(RINGS, [1, 2, 3])
         if total == "2M" or version == 3 or not DEBUG]


def deliver(ring: Ring, sender: socket.socket, count: int, size: int | None = None) -> None:
    for first in range(0, count, BATCH):
        sent = [frame_of(number, size) for number in range(first, min(first + BATCH, count))]
        for frame in sent:
            sender.send(frame)
        for frame, got in zip(sent, ring.packets(len(sent))):
            assert got == frame
    assert ring.statistics() == (count, 0)


@pytest.mark.parametrize("total,version", CELLS, ids=[f"{total}-V{version}" for total, version in CELLS])
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("policy", POLICIES[1:])
def test_all_packets_in_order(policy, block, total, version, pair, sender):
    """A ring has two blocks at least: a lone block of V3 is closed while it is read."""
    length = max(RINGS[total], 2 * BLOCKS[block])
    with Ring(policy, BLOCKS[block], length, version).bind(pair[1]) as ring:
        got = info(ring.sock)
        assert POLICIES[got.policy] == policy
        assert (got.block_bytes, got.block_nr) == (BLOCKS[block], length // BLOCKS[block])
        deliver(ring, sender, 3 * BATCH)


@pytest.mark.parametrize("block", [192 * KIB, 256 * KIB, 4 * MIB])
@pytest.mark.parametrize("policy", HUGE_POLICIES)
def test_once_round_a_ring_of_64_mib(policy, block, pair, sender):
    """Each block, in each huge page, is written and read. Those of 192 KiB cross huge pages."""
    with Ring(policy, block, 64 * MIB // block * block, 2, frame=64 * KIB).bind(pair[1]) as ring:
        assert info(ring.sock).kernel_huge_bytes == ring.total
        deliver(ring, sender, ring.total // ring.frame + 20, size=8000)


def test_ring_in_huge_shmem(pair, sender, huge_shmem):
    """A file of tmpfs in huge pages, mapped: INFO says huge throughout, and the ring goes round."""
    with os.fdopen(os.memfd_create("ring"), "rb") as file:
        os.truncate(file.fileno(), 4 * MIB)
        memory = Mapping(4 * MIB, mmap.MAP_SHARED, file.fileno(), align=True)
        ctypes.memset(memory.address, 0xFF, memory.length)
        assert smaps(memory.address)["ShmemPmdMapped"] * KIB == memory.length
        with Ring("HUGETLB", 256 * KIB, memory.length, 2, memory=memory).bind(pair[1]) as ring:
            got = info(ring.sock)
            assert got.user_huge_bytes == got.kernel_huge_bytes == got.pinned_bytes == memory.length
            assert got.user_page_bytes == got.kernel_page_bytes == HUGE and got.reason == 0
            deliver(ring, sender, ring.total // ring.frame + BATCH)


@pytest.mark.parametrize("block", [4 * KIB, 12 * KIB, 64 * KIB, MIB])
@pytest.mark.parametrize("policy", HUGE_POLICIES)
def test_blocks_of_other_readers(policy, block, pair, sender):
    """DPDK, Suricata, netsniff-ng and stenographer; blocks of 12 KiB cross huge pages. The ring goes round."""
    with Ring(policy, block, 4 * MIB, 2).bind(pair[1]) as ring:
        assert info(ring.sock).kernel_huge_bytes == ring.total
        deliver(ring, sender, ring.total // block * (block // 2048) + BATCH)


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_geometry_of_tcpdump(policy, pair, sender):
    """libpcap 1.10 asks for 8 blocks of 256 KiB, one frame a block."""
    with Ring(policy, 256 * KIB, 2 * MIB, 3, frame=256 * KIB).bind(pair[1]) as ring:
        deliver(ring, sender, 4 * BATCH, size=8000)


def pktgen(device: str, count: int) -> None:
    """The kernel's own generator puts numbered packets into the receive path of a device."""
    pktgen = Path("/proc/net/pktgen")
    (pktgen / "kpktgend_0").write_text("rem_device_all\n")
    (pktgen / "kpktgend_0").write_text(f"add_device {device}\n")
    for line in (f"count {count}", "pkt_size 3000", "delay 0", "xmit_mode netif_receive", "dst_mac 02:02:02:02:02:02"):
        (pktgen / device).write_text(line + "\n")
    (pktgen / "pgctrl").write_text("start\n")
    (pktgen / "kpktgend_0").write_text("rem_device_all\n")


def test_more_than_65536_blocks(pair):
    """One packet a block, once round the ring, and then the first blocks again."""
    blocks, magic = 65_536 + 64, b"\xbe\x9b\xe9\x55"
    with Ring("STOCK", 4 * KIB, blocks * 4 * KIB, 3, frame=4 * KIB, retire_ms=500) as ring:
        ring.sock.bind((pair[1], 3))
        for count in (blocks - 1, 200):
            pktgen(pair[1], count)
            numbers = [int.from_bytes(packet[46:50], "big") for packet in ring.packets(count)
                       if packet[42:46] == magic]
            assert numbers == list(range(numbers[0], numbers[0] + count))
        assert ring.statistics() == (blocks + 199, 0)


class TxRing:
    """The TX ring of a socket, TPACKET_V2; mapped after an RX ring of `behind` bytes."""

    def __init__(self, sock: socket.socket, policy: str, total: int) -> None:
        self.sock, self.total, self.at, self.memory = sock, total, 0, None
        if policy == "HUGETLB":
            self.memory = hugetlb(total)
            enable(sock, self.memory.address, self.memory.length, tx=True)
        make_ring(sock, policy, request(256 * KIB, total, 2048, 2), tx=True)

    def put(self, view: memoryview, frame: bytes) -> None:
        view[self.at + 32:self.at + 32 + len(frame)] = frame
        struct.pack_into("II", view, self.at, 1, len(frame))
        self.at = (self.at + 2048) % self.total

    def close(self) -> None:
        if self.memory:
            self.memory.close()


@pytest.mark.parametrize("tx,rx", list(itertools.product(["STOCK", *HUGE_POLICIES], repeat=2)))
def test_tx_ring_beside_rx_ring(tx, rx, pair, sender):
    """Frames leave the one ring while others come into the other, of the same socket."""
    total = 2 * MIB
    with ExitStack() as ends:
        sock, memory = ends.enter_context(packet_socket(2)), None
        if rx == "HUGETLB":
            memory = ends.enter_context(closing(hugetlb(total)))
            enable(sock, memory.address, total)
        make_ring(sock, rx, request(256 * KIB, total, 2048, 2))
        out = ends.enter_context(closing(TxRing(sock, tx, total)))
        mapped = [kind for kind in (rx, tx) if kind != "HUGETLB"]
        mapping = ends.enter_context(closing(Mapping(total * len(mapped), 1, sock.fileno()))) if mapped else None
        receive = memory.view() if memory else mapping.view()[:total]
        transmit = out.memory.view() if out.memory else mapping.view()[-total:]
        assert POLICIES[info(sock).policy] == rx and POLICIES[info(sock, tx=True).policy] == tx
        sock.bind((pair[1], ETHERTYPE))
        with Ring("STOCK", version=2).bind(pair[0]) as far:
            for number in range(200):
                sender.send(frame_of(1000 + number))
                out.put(transmit, frame_of(number))
            assert sock.send(b"") > 0
            for number, got in enumerate(far.packets(200)):
                assert got == frame_of(number)
        for number in range(200):
            at = number * 2048
            length, _, mac = struct.unpack_from("IIH", receive, at + 4)
            assert bytes(receive[at + mac:at + mac + length]) == frame_of(1000 + number)
