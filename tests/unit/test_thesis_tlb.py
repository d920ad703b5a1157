# SPDX-License-Identifier: BSD-3-Clause
"""What the walk over a ring asks of a TLB: sequences whose misses can be told in advance; levels, and the PMU's verdict."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from thesis import levels as mapping_levels  # noqa: E402
from thesis import tlb, verdict  # noqa: E402
from thesis.levels import HUGE, PAGE  # noqa: E402
from thesis.results import name_of  # noqa: E402
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


def test_accesses_are_the_words_of_packet_and_header():
    mean = sum(tlb.SIZES) / 2
    assert tlb.accesses(RING, seed=1) == pytest.approx(mean / 8 + 0.5 + 6, rel=0.01)


DUMP = """---[ Low Kernel Mapping ]---
0xffff888000000000-0xffff888000200000           2M     RW                     NX pte
0xffff888000200000-0xffff888040000000        1022M     RW         PSE     GLB NX pmd
0xffff888040000000-0xffff888100000000           3G     RW         PSE     GLB NX pud
---[ vmalloc() Area ]---
0xffffc90000000000-0xffffc90000400000           4M     RW         PSE     GLB NX pmd
0xffffc90000800000-0xffffc90000801000           4K     RW                 GLB NX pte
"""


def test_the_dump_tells_the_levels_of_the_direct_map():
    runs = [[0x1000, 512], [0x40000, 1024]]    # at 16 MiB and at 1 GiB
    found = mapping_levels.dumped(runs, [], DUMP)
    assert found == {"kernel_via": "direct map", "kernel_levels": {"pmd": 512 * PAGE, "pud": 1024 * PAGE},
                     "kernel_page_bytes": 1 << 30, "told_by": "page-table dump"}


def test_blocks_in_the_vmalloc_range_are_not_the_direct_map_even_if_huge():
    area = (0xFFFFC90000000000, 0xFFFFC90000400000)
    found = mapping_levels.dumped([[0x40000, 1024]], [area], DUMP)
    assert (found["kernel_via"], found["kernel_page_bytes"]) == ("vmalloc", HUGE)


def test_without_a_dump_the_direct_map_is_assumed_and_said_to_be():
    assert "assumed" in mapping_levels.assumed([[1, 1024]], HUGE)["told_by"]
    assert mapping_levels.assumed([[1, 1024]], PAGE)["told_by"] == "PACKET_HUGE_INFO"
    assert mapping_levels.assumed([[1, 1], [9, 1]], None)["kernel_via"] == "vmalloc"


def mapping(policy, walks, misses, base=0.4):
    """Counts of 1000 packets: the ring's misses on top of what every policy has."""
    count = None if misses is None else (base + misses) * 1000
    side = {"user": count, "kernel": count}
    events = {"dtlb_load_misses": side, "dtlb_store_misses": dict.fromkeys(side, count and 0)}
    return {"policy": policy, "packets": 1000, "events": events,
            "model": {cpu: {name: {"walks": walks} for name in side} for cpu in tlb.CPUS}}


def test_a_pmu_agrees_with_the_model_by_its_differences():
    lines = verdict.verdicts([mapping("RX_RING", 0.29, 0.25), mapping("VZALLOC", 0.29, 0.25), mapping("HUGETLB", 0.0, 0.0)])
    assert len(lines) == 4 and all(line.endswith("2 policies: agrees.") for line in lines)


@pytest.mark.parametrize("misses", [0.25, 0.4, 0.2])
def test_a_pmu_that_saw_no_such_difference_disagrees(misses):
    lines = verdict.verdicts([mapping("RX_RING", 0.29, 0.25), mapping("HUGETLB", 0.0, misses)])
    assert len(lines) == 4 and all("DISAGREES (HUGETLB: " in line for line in lines)


def test_without_a_pmu_nothing_was_checked():
    assert verdict.verdicts([mapping("RX_RING", 0.29, None), mapping("HUGETLB", 0.0, None)]) == [
        "Model against PMU: not checked, no counter of dTLB misses here."]


def test_a_later_run_of_a_kernel_series_takes_the_name_of_the_former():
    assert name_of({"machine": {"kernel": "6.18.44-fc-v669", "emulated": False}}) == "6.18"
    assert name_of({"machine": {"kernel": "6.12.117", "emulated": True}}) == "6.12-guest"
