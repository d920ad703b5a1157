# SPDX-License-Identifier: BSD-3-Clause
"""The TLB model of bench/tlb, on sequences whose misses can be counted by hand."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from tlb.model import BROADWELL_EP, CPUS, GIB, KIB, MIB, Array, Cpu, Tlb  # noqa: E402
from tlb.walk import Ring, frame_bytes, misses_per_packet  # noqa: E402

SMALL = 4 * KIB


def counts(cpu, pages, rounds, page=SMALL):
    tlb = Tlb(cpu)
    for _ in range(rounds):
        for number in pages:
            tlb.access(number * page, page)
    return tlb.misses, tlb.walks


def test_what_fits_misses_once():
    assert counts(BROADWELL_EP, range(64), 3) == (64, 64)


def test_one_more_than_fits_misses_in_its_set_alone():
    # 65 pages in 16 sets of 4: set 0 has five, and in order they drive each other out in every round.
    assert counts(BROADWELL_EP, range(65), 3) == (65 + 2 * 5, 65)


def test_the_second_level_ends_too():
    assert counts(BROADWELL_EP, range(1536), 2) == (2 * 1536, 1536)
    assert counts(BROADWELL_EP, range(2 * 1536), 2) == (4 * 1536, 4 * 1536)


def test_the_one_used_longest_ago_goes():
    cpu = Cpu("two", "", first=(Array((SMALL,), 2, 2),), second=(Array((SMALL,), 64, 64),))
    assert counts(cpu, [0, 1, 0, 2, 0], 1) == (3, 3)
    assert counts(cpu, [0, 1, 2, 0], 1) == (4, 3)


def test_a_page_size_that_the_second_level_lacks_is_walked():
    cpu = Cpu("one", "", first=(Array((GIB,), 1, 1),), second=())
    assert counts(cpu, [0, 1], 2, GIB) == (4, 4)


@pytest.mark.parametrize("packet", [64, 594, 1400, 9000])
def test_the_walk_stays_in_its_blocks_and_touches_every_page_of_a_packet(packet):
    block = 256 * KIB
    ring = Ring(0, 2 * block, block, packet)
    assert ring.packets == 2 * ((block - 48) // frame_bytes(packet))
    for header, first, *more in map(ring.touched, range(ring.packets)):
        touched = {first // SMALL, *(address // SMALL for address in more)}
        assert touched == set(range(first // SMALL, (first + packet - 1) // SMALL + 1))
        assert header // block == (first + packet - 1) // block


@pytest.mark.parametrize("cpu", CPUS, ids=lambda cpu: cpu.name)
def test_a_walk_in_order_misses_once_a_page(cpu):
    ring = dict(ring_bytes=64 * MIB, block_bytes=256 * KIB, packet=1400)
    packets = 256 * ((256 * KIB - 48) // frame_bytes(1400))
    assert misses_per_packet(cpu, SMALL, **ring) == (16384 / packets, 16384 / packets)
    # 32 pages fit the second level of both, so that in the second round none is walked.
    assert misses_per_packet(cpu, 2 * MIB, **ring)[1] == 0


def test_the_same_twice():
    ring = dict(ring_bytes=MIB, block_bytes=256 * KIB, packet=200, rings=3, packets=300)
    assert misses_per_packet(BROADWELL_EP, SMALL, **ring) == misses_per_packet(BROADWELL_EP, SMALL, **ring)


@pytest.mark.parametrize("rings, walked", [(8, False), (4096, True)])
def test_many_rings_in_turns_are_walked_for_once_their_pages_do_not_fit(rings, walked):
    _, walks = misses_per_packet(BROADWELL_EP, SMALL, ring_bytes=4 * MIB, block_bytes=256 * KIB, packet=64, rings=rings,
                                 packets=20)
    assert (walks > 0.9) is walked
