# SPDX-License-Identifier: BSD-3-Clause
"""The addresses that reading, or filling, rings of TPACKET_V3 blocks touches."""

from typing import NamedTuple

from .model import KIB, Tlb

FRAME_HEADER, FIRST_FRAME, DATA_OFFSET = 48, 48, 82    # tpacket3_hdr, block descriptor, tp_mac on Ethernet


def frame_bytes(packet):
    return (DATA_OFFSET + packet + 7) & ~7


class Ring(NamedTuple):
    start: int
    ring_bytes: int
    block_bytes: int
    packet: int

    @property
    def per_block(self):
        return (self.block_bytes - FIRST_FRAME) // frame_bytes(self.packet)

    @property
    def packets(self):
        return self.ring_bytes // self.block_bytes * self.per_block

    def touched(self, nr):
        """What reading its packet `nr` touches: the header, then each 4 KiB its bytes lie in."""
        block, place = divmod(nr % self.packets, self.per_block)
        frame = self.start + block * self.block_bytes + FIRST_FRAME + place * frame_bytes(self.packet)
        first, last = frame + DATA_OFFSET, frame + DATA_OFFSET + self.packet - 1
        return (frame, first, *range((first | (4 * KIB - 1)) + 1, last + 1, 4 * KIB))


def scattered(nr, packets):
    """Where ring `nr` stands when the walk begins: rings that stand alike would all press into one set."""
    return nr * 2654435761 % packets


def misses_per_packet(cpu, page, *, ring_bytes, block_bytes, packet, rings=1, packets=None):
    """
    (first-level misses, page-table walks) per packet, reading one packet of each ring in turn.

    Counted are `packets` of each ring, or one round of it, after as many that are not.
    """
    tlb = Tlb(cpu)
    many = [Ring(nr * ring_bytes, ring_bytes, block_bytes, packet) for nr in range(rings)]
    at = [scattered(nr, ring.packets) for nr, ring in enumerate(many)]
    packets = packets or many[0].packets
    for step in range(2 * packets):
        if step == packets:
            tlb.misses = tlb.walks = 0
        for ring, start in zip(many, at):
            for address in ring.touched(start + step):
                tlb.access(address, page)
    return tlb.misses / (packets * rings), tlb.walks / (packets * rings)
