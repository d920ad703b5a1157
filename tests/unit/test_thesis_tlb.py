# SPDX-License-Identifier: BSD-3-Clause
"""What the walk over a ring asks of a TLB: sequences whose misses can be told in advance."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from thesis import tlb  # noqa: E402
from thesis.levels import HUGE, PAGE  # noqa: E402
from tlb.model import Array  # noqa: E402

TINY = tlb.Cpu("tiny", "this test", (Array((PAGE,), 4, 2),), (Array((PAGE,), 8, 8),))
RING = 64 << 20


def walk(cpu, numbers):
    model = tlb.Tlb(cpu)
    for number in numbers:
        model.access(number * PAGE, PAGE)
    return model.misses, model.walks


def test_what_fits_misses_once():
    assert walk(TINY, [0, 1, 2, 3] * 5) == (4, 4)


def test_one_page_more_than_the_ways_of_a_set_misses_always():
    assert walk(TINY, [0, 2, 4] * 5) == (15, 3)


def test_the_least_recently_used_goes():
    assert walk(TINY, [0, 2, 0, 4, 0, 2]) == (4, 3)


def test_more_than_both_levels_walks_always():
    assert walk(TINY, list(range(9)) * 3) == (27, 27)


def test_touches_of_frames_within_a_page_are_one():
    offsets = list(tlb.touched(tlb.BLOCK, iter([1000] * 10_000)))
    assert offsets[0] == 0
    assert offsets[1:] == list(range(0, offsets[-1] + 1, PAGE))


def levels(user, kernel, via):
    return {"address": 0x7F0000000000, "ring_bytes": RING, "frame_runs": [[512, RING // PAGE]],
            "user_page_bytes": user, "kernel_page_bytes": kernel, "kernel_via": via}


@pytest.mark.parametrize("cpu", tlb.CPUS.values(), ids=lambda cpu: cpu.name)
def test_small_pages_walk_once_a_page_and_huge_ones_fit(cpu):
    found = tlb.misses(cpu, levels(PAGE, HUGE, "direct map"))
    pages = RING // PAGE
    assert found["user"]["walks"] * found["user"]["packets"] == pytest.approx(pages, rel=0.001)
    assert found["kernel"]["walks"] == 0
    assert tlb.misses(cpu, levels(HUGE, PAGE, "vmalloc"))["user"]["walks"] == 0


def test_frames_stay_in_their_blocks():
    for at, size in tlb.frames(2 * tlb.BLOCK, tlb.packet_sizes(3)):
        assert at // tlb.BLOCK == (at + size - 1) // tlb.BLOCK
