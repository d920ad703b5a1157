# SPDX-License-Identifier: BSD-3-Clause
"""Drain: CPU time to read packets that are in the ring already.

The ring is large enough for all of them, so nothing is lost, and sender and kernel are outside the clock. Each round is
a fresh process on one CPU; all cells of a size take turns. After the timed packets as many as a tenth of them come,
are read by the same way and hashed: they must be the generator's next ones, every byte, so that the timed reading took
exactly those before.
"""

import os
import time
from functools import cache

import pytest
from engines import COUNTED, WALK_C, Cell, by_policy, capturing, cells, named
from manifest import Wrong, manifest
from pinned import CPU
from record import in_turns, record
from test_walk import PAGES, TOTAL_BYTES
from test_walk import measure as measure_walk

from hugepcap._generate import generate

ROUNDS, CHECKED_SHARE = 5, 10
SETTLE_S = 0.3    # until the ring's last block is the reader's
MIB = 1 << 20
# bytes on the wire, least and most -> packets, and a ring that holds them all in any engine
SIZES = {(64, 64): (800_000, 256 * MIB), (200, 200): (600_000, 256 * MIB), (594, 594): (300_000, 256 * MIB),
         (1400, 1400): (300_000, 512 * MIB), (700, 1500): (300_000, 512 * MIB)}
ONCE_IN = {"scapy": 20}    # what takes microseconds a packet, or hundreds of bytes beside it, is given fewer
QUICK_DIVISOR, QUICK_RING = 20, 32 * MIB
WALK = Cell(WALK_C, "walk", "none")
CELLS = [*cells(COUNTED), WALK, Cell("scapy", "recv_raw"), *by_policy("batches")]
# For sizes between those that something is promised of.
MAIN = [cell for cell in CELLS if cell.way in ("loop", "next", "next_batch", "batches", "pcap_dispatch", "walk", "recv_raw")]
FULL_SIZES = ((64, 64), (1400, 1400))


def cells_of(sizes):
    return CELLS if sizes in FULL_SIZES else MAIN


def fill(process, link, first, count, sizes):
    """The answer of a reader that is asked when so many packets are in its ring.

    They are sent on its CPU: where a ring's timer, which runs where the ring was opened, hands a block over while a
    packet comes in on another CPU, the kernel can take the ring for full and drop that packet (packet_rcv_has_room()
    looks without a lock).
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CPU})
    try:
        assert generate(link.near, count, sizes=sizes, seed=sizes[0], flows=64, first_seq=first).packets == count
    finally:
        os.sched_setaffinity(0, before)
    time.sleep(SETTLE_S)
    process.ask()
    return process.answer()


def drain(cell, c_programs, link, sizes, count, ring_bytes):
    count //= ONCE_IN.get(cell.engine, 1)
    checked = count // CHECKED_SHARE
    with capturing(cell, c_programs, "drain", link, ring_bytes, count, checked) as process:
        timed = fill(process, link, 0, count, sizes)
        seen = fill(process, link, count, checked, sizes)
    if (timed["received"], timed["dropped"]) != (count, 0):
        raise Wrong(f"{process.who}: {timed} of {count} packets")
    manifest(count, sizes, seed=sizes[0], flows=64).check(process.who, seen, count + checked)
    return {"seconds": timed["seconds"], "ns_per_packet": timed["seconds"] / count * 1e9, "packets": count, "drops": 0,
            "page_bytes": process.told["page_bytes"]}


@pytest.fixture(scope="session")
def rounds(quick, chosen, link, c_programs, huge_pages):
    """{cell: Taken} of a size."""
    @cache
    def of(sizes):
        count, ring_bytes = SIZES[sizes]
        count, ring_bytes = (count // QUICK_DIVISOR, QUICK_RING) if quick else (count, ring_bytes)

        def measure(cell):
            if cell == WALK:
                return measure_walk(c_programs["walk"], PAGES["4 KiB"], 1, sizes, TOTAL_BYTES // (QUICK_DIVISOR if quick else 1))
            return drain(cell, c_programs, link, sizes, count, ring_bytes)

        with huge_pages(ring_bytes):
            return in_turns(chosen("drain", cells_of(sizes)), 1 if quick else ROUNDS, measure)

    return of


def pytest_generate_tests(metafunc):
    some = FULL_SIZES[:1] if metafunc.config.getoption("--quick") else SIZES
    pairs = [(sizes, cell) for sizes in some for cell in cells_of(sizes)]
    metafunc.parametrize("sizes, cell", pairs, ids=[f"{named(sizes)}-{cell}" for sizes, cell in pairs])


def test_drain(benchmark, rounds, sizes, cell):
    record(benchmark, "drain", cell, rounds(sizes)[cell], group=f"drain {named(sizes)} B", sizes=sizes, each=["ns_per_packet"])
