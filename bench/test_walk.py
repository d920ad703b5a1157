# SPDX-License-Identifier: BSD-3-Clause
"""Walk: what the C walk costs on memory of each page size, by itself; the limit that every way of reading has.

One ring, or many of which one packet is read in turn, of the same bytes together. Page sizes take turns within a
round, each in a fresh process on one CPU. A result counts only if smaps shows that the memory had those pages.
"""

import json
import os
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import childclock
import pytest
from pinned import child

from helpers.smaps import mapping_at

PAGES = {"4 KiB": 4 << 10, "2 MiB": 2 << 20, "1 GiB": 1 << 30}
TOTAL_BYTES = 512 << 20
RINGS = (1, 64, 1024)
SIZES = (64, 1400)
ROUNDS, PASSES = 3, 3
SYS = Path("/sys/kernel/mm")


@contextmanager
def gib_page():
    """One page of 1 GiB more in the pool, for as long as it is wanted. Yields whether there is one to be had."""
    count = SYS / "hugepages/hugepages-1048576kB/nr_hugepages"
    if not os.access(count, os.W_OK):
        yield False
        return
    before = count.read_text()
    count.write_text(str(int(before) + 1))
    try:
        yield int(count.with_name("free_hugepages").read_text()) > 0
    finally:
        count.write_text(before)


@cache
def pages_here():
    """Page sizes that this machine can give; the others are not measured, and the report says so."""
    thp = SYS / "transparent_hugepage/enabled"
    lacking = set() if thp.exists() and "[never]" not in thp.read_text() else {"2 MiB"}
    with gib_page() as can_be_had:
        if not can_be_had:
            lacking.add("1 GiB")
    return [name for name in PAGES if name not in lacking]


def has_pages(found, page, total_bytes):
    if page == PAGES["1 GiB"]:
        return found["MMUPageSize"] == page
    huge = found["AnonHugePages"]
    return huge == 0 if page == PAGES["4 KiB"] else huge >= total_bytes


def measure(program, page, rings, size, total_bytes):
    """Least CPU seconds of a pass, and its packets."""
    with child([program, page, rings, total_bytes // rings, size, PASSES]) as process:
        ready = process.stdout.readline().split()
        assert ready, f"walk: no {total_bytes} bytes in pages of {page}"
        found = mapping_at(int(ready[1], 16), process.pid).sizes
        assert has_pages(found, page, total_bytes), f"walk: not in pages of {page}: {found}"
        process.stdin.write("\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
    packets = answer["packets"]
    assert answer["checksum"] == packets * (packets + 1) // 2, f"walk: {answer}"
    return min(answer["seconds"]), packets


@pytest.fixture(scope="session")
def rounds(request, walk):
    """Per page size the answers of each round, measured once for all page sizes of a size and number of rings."""
    quick, known = request.config.getoption("--quick"), {}

    def of(size, rings):
        if (size, rings) not in known:
            known[size, rings] = {name: [] for name in pages_here()}
            with gib_page():
                for _ in range(1 if quick else ROUNDS):
                    for name, answers in known[size, rings].items():
                        answers.append(measure(walk, PAGES[name], rings, size, TOTAL_BYTES))
        return known[size, rings]

    return of


@pytest.mark.parametrize("page", pages_here())
@pytest.mark.parametrize("rings", RINGS)
@pytest.mark.parametrize("size", SIZES)
def test_walk(benchmark, rounds, size, rings, page):
    answers = rounds(size, rings)[page]
    benchmark.group = f"walk {size} B, {rings} rings"
    times = iter([seconds for seconds, _ in answers])
    benchmark.extra_info.update(
        suite="walk", engine="walk (C)", size=size, rings=rings, page=page, lacking=sorted(set(PAGES) - set(pages_here())),
        correct=True, total_bytes=TOTAL_BYTES, packets=answers[0][1], drops=0,
        ns_per_packet=[seconds / packets * 1e9 for seconds, packets in answers])
    benchmark.pedantic(lambda: childclock.advance(next(times)), rounds=len(answers), iterations=1)
