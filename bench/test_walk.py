# SPDX-License-Identifier: BSD-3-Clause
"""Walk: what the C walk costs on memory of each page size, by itself; the limit that every way of reading has.

One ring, or many of which one packet is read in turn, of the same bytes together. Page sizes take turns within a
round, each in a fresh process on one CPU. A result counts only if smaps shows that the memory had those pages.
"""

from functools import cache
from pathlib import Path

import pytest
from engines import FIXTURES, WALK_C, Cell, named
from manifest import Wrong
from pinned import child
from pool import GIANT, pool
from record import in_turns, record

from helpers.smaps import mapping_at

PAGES = {"4 KiB": 4 << 10, "2 MiB": 2 << 20, "1 GiB": GIANT}
TOTAL_BYTES, QUICK_BYTES = 512 << 20, 64 << 20
RINGS, QUICK_RINGS = (1, 4, 64, 1024), (1, 64)
ROUNDS, PASSES = 3, 3


@cache
def pages_here():
    """Page sizes that this machine can give; the others are not measured, and the report says so."""
    thp = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    lacking = set() if thp.exists() and "[never]" not in thp.read_text() else {"2 MiB"}
    with pool(1, GIANT) as free:
        if not free:
            lacking.add("1 GiB")
    return [name for name in PAGES if name not in lacking]


def has_pages(found, page, total_bytes):
    if page == PAGES["1 GiB"]:
        return found["MMUPageSize"] == page
    huge = found["AnonHugePages"]
    return huge == 0 if page == PAGES["4 KiB"] else huge >= total_bytes


def measure(program, page, rings, sizes, total_bytes):
    """The least CPU seconds of a pass."""
    who = f"walk, {rings} rings in pages of {page}"
    with child([program, page, rings, total_bytes // rings, *sizes, PASSES], who) as process:
        found = mapping_at(int(process.line().split()[1], 16), process.pid).sizes
        if not has_pages(found, page, total_bytes):
            raise Wrong(f"{who}: {found}")
        process.ask()
        answer = process.answer()
    packets = answer["packets"]
    if answer["checksum"] != packets * (packets + 1) // 2:
        raise Wrong(f"{who}: {answer}")
    seconds = min(answer["seconds"])
    return {"seconds": seconds, "ns_per_packet": seconds / packets * 1e9, "packets": packets, "drops": 0, "page_bytes": page}


def pytest_generate_tests(metafunc):
    quick = metafunc.config.getoption("--quick")
    metafunc.parametrize("sizes", (FIXTURES[0], FIXTURES[-1]) if quick else FIXTURES, ids=named)
    metafunc.parametrize("rings", QUICK_RINGS if quick else RINGS)


@pytest.fixture(scope="session")
def rounds(quick, c_programs):
    """Per page size its rounds, measured once for all page sizes of a size and number of rings."""
    @cache
    def of(sizes, rings):
        with pool(1, GIANT):
            return in_turns(pages_here(), 1 if quick else ROUNDS, lambda page: measure(
                c_programs["walk"], PAGES[page], rings, sizes, QUICK_BYTES if quick else TOTAL_BYTES))

    return of


@pytest.mark.parametrize("page", pages_here())
def test_walk(benchmark, quick, rounds, sizes, rings, page):
    record(benchmark, "walk", Cell(WALK_C, f"{rings} rings", "none"), rounds(sizes, rings)[page],
           group=f"walk {named(sizes)} B, {rings} rings", sizes=sizes, each=["ns_per_packet"], rings=rings, page=page,
           lacking=sorted(set(PAGES) - set(pages_here())), total_bytes=QUICK_BYTES if quick else TOTAL_BYTES)
