# SPDX-License-Identifier: BSD-3-Clause
"""What a capture ring asks of a TLB, by the model of bench/tlb: for machines without a PMU.

Deterministic. Input is how a ring is really mapped (levels.of) and the pages that a walk over it touches, in order:
block header, frame header, every page of the packet. One side at a time is modelled, on a TLB that nothing else
uses, so the figures are what the ring costs at the least.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import NamedTuple

from tlb.model import BROADWELL_EP, ZEN_4, Cpu, Tlb

from .levels import PAGE

BLOCK_HEADER = 48    # struct tpacket_block_desc
MAC = 82             # tp_mac of an Ethernet frame: header 48, address 20, aligned to 16, less the Ethernet header
ALIGNMENT = 8        # of a frame in a V3 block
FRAME_HEADER, WORD = 48, 8
SIZES = (700, 1500)
BLOCK = 4 << 20
DIRECT_MAP = 0xFFFF888000000000
VMALLOC = 0xFFFFC90000000000
CPUS = {"broadwell-ep": BROADWELL_EP, "zen4": ZEN_4}


def packet_sizes(seed: int) -> Iterator[int]:
    """Drawn like the generator's: each size is as likely."""
    random = Random(seed)
    while True:
        yield random.randint(*SIZES)


def frames(ring_bytes: int, sizes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(offset, bytes) of each frame that one round through the ring has, in blocks of 4 MiB."""
    sizes = iter(sizes)
    size = next(sizes)
    for block in range(0, ring_bytes, BLOCK):
        at = BLOCK_HEADER
        while at + MAC + size <= BLOCK:
            yield block + at, MAC + size
            at += -(-(MAC + size) // ALIGNMENT) * ALIGNMENT
            size = next(sizes)


def touched(ring_bytes: int, sizes: Iterable[int]) -> Iterator[int]:
    """Offsets in the order in which a round touches them; of touches in one 4 KiB page that follow each other, one."""
    block, page = -1, -1
    for at, size in frames(ring_bytes, sizes):
        if at // BLOCK != block:
            block = at // BLOCK
            yield block * BLOCK
        for number in range(at // PAGE, (at + size - 1) // PAGE + 1):
            if number != page:
                page = number
                yield number * PAGE


def accesses(ring_bytes: int, seed: int) -> float:
    """Words of 8 bytes per packet that who reads or writes all of it touches, its frame header's among them."""
    found = [-(-(size - MAC) // WORD) + FRAME_HEADER // WORD for _, size in frames(ring_bytes, packet_sizes(seed))]
    return sum(found) / len(found)


class Side(NamedTuple):
    """How one side sees the ring: page size, and the address of an offset."""

    page: int
    base: int
    frame_runs: list[list[int]] | None = None

    def addresses(self, ring_bytes: int) -> list[int]:
        """Of each 4 KiB of the ring."""
        if self.frame_runs is None:
            return [self.base + offset for offset in range(0, ring_bytes, PAGE)]
        return [self.base + (first + i) * PAGE for first, count in self.frame_runs for i in range(count)]


def sides(levels: dict) -> dict[str, Side]:
    user = Side(levels["user_page_bytes"], levels["address"])
    if levels["kernel_via"] == "direct map":
        return {"user": user, "kernel": Side(levels["kernel_page_bytes"], DIRECT_MAP, levels["frame_runs"])}
    return {"user": user, "kernel": Side(levels["kernel_page_bytes"], VMALLOC)}


def side_misses(cpu: Cpu, side: Side, ring_bytes: int, seed: int) -> dict[str, float]:
    """Per packet, in the second round through the ring: the first one fills the TLB."""
    offsets = list(touched(ring_bytes, packet_sizes(seed)))
    packets = sum(1 for _ in frames(ring_bytes, packet_sizes(seed)))
    addresses = side.addresses(ring_bytes)
    buffers = Tlb(cpu)
    for _ in range(2):
        before = (buffers.misses, buffers.walks)
        for offset in offsets:
            buffers.access(addresses[offset // PAGE], side.page)
    return {"first_level": (buffers.misses - before[0]) / packets, "walks": (buffers.walks - before[1]) / packets,
            "packets": packets}


def misses(cpu: Cpu, levels: dict, seed: int = 1) -> dict[str, dict[str, float]]:
    """{side: misses per packet} of a ring mapped like this."""
    return {name: side_misses(cpu, side, levels["ring_bytes"], seed) for name, side in sides(levels).items()}
