# SPDX-License-Identifier: BSD-3-Clause
"""Open: time to open, map and close a ring, and the page tables it takes meanwhile. Wall-clock time: the work is the kernel's.

After each process's openings one more ring is opened, and packets that come through it are checked.
"""

from functools import cache

import pytest
from engines import LIBPCAP_C, Cell, by_policy, capturing
from manifest import manifest
from record import in_turns, record

from hugepcap._generate import generate

MIB = 1 << 20
RINGS = (2 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB)
QUICK_RINGS = RINGS[:2]
ROUNDS, TIMES = 3, 3
CHECKED, SIZES = 500, (700, 1500)
CELLS = [*(Cell(engine, "open") for engine in (LIBPCAP_C, "pcapy-ng", "cypcap", "hugepcap")), *by_policy("open")]


def measure(cell, c_programs, link, ring_bytes):
    with capturing(cell, c_programs, "open", link, ring_bytes, TIMES, CHECKED) as process:
        process.ask()    # it reads while they come: the least ring is soon full of blocks that a slow sender leaves half empty
        assert generate(link.near, CHECKED, sizes=SIZES, seed=1, flows=64).packets == CHECKED
        manifest(0, SIZES, seed=1, flows=64).check(process.who, process.answer(), CHECKED)
    taken = process.told["taken"]
    return {"seconds": min(one["seconds"] for one in taken), "ms": [one["seconds"] * 1e3 for one in taken],
            "tables": max(one["tables"] for one in taken), "packets": CHECKED, "drops": 0,
            "page_bytes": process.told["page_bytes"]}


@pytest.fixture(scope="session")
def rounds(quick, chosen, link, c_programs, huge_pages):
    @cache
    def of(ring_bytes):
        with huge_pages(ring_bytes):
            return in_turns(chosen("open", CELLS), 1 if quick else ROUNDS,
                            lambda cell: measure(cell, c_programs, link, ring_bytes))

    return of


def pytest_generate_tests(metafunc):
    rings = QUICK_RINGS if metafunc.config.getoption("--quick") else RINGS
    metafunc.parametrize("ring_bytes", rings, ids=lambda size: f"{size // MIB}MiB")


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_open(benchmark, rounds, ring_bytes, cell):
    record(benchmark, "open", cell, rounds(ring_bytes)[cell], group=f"open {ring_bytes // MIB} MiB", sizes=SIZES,
           each=["ms", "tables"], ring_bytes=ring_bytes)
