# SPDX-License-Identifier: BSD-3-Clause
"""Open: time to open, map and close a ring, and the page tables it takes meanwhile. Wall-clock time: the work is the kernel's."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import childclock
import pytest
from pinned import child

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
SIZES = (2 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB)
ENGINES = ("pcapy-ng", "hugepcap")
ROUNDS, TIMES = 3, 3


def measure(engine, device, ring_bytes):
    with child([sys.executable, HERE / "openring.py", engine, device, ring_bytes, TIMES]) as process:
        return json.loads(process.stdout.readline())


@pytest.fixture(scope="session")
def rounds(request, link):
    quick, known = request.config.getoption("--quick"), {}

    def of(ring_bytes):
        if ring_bytes not in known:
            known[ring_bytes] = {engine: [] for engine in ENGINES}
            for _ in range(1 if quick else ROUNDS):
                for engine in ENGINES:
                    known[ring_bytes][engine] += measure(engine, link.far, ring_bytes)
        return known[ring_bytes]

    return of


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ring_bytes", SIZES, ids=lambda size: f"{size // MIB}MiB")
def test_open(benchmark, rounds, ring_bytes, engine):
    taken = rounds(ring_bytes)[engine]
    for one in taken:
        assert [size for size, _ in one["pages"]] == [ring_bytes], f"{engine}: {one}, not {ring_bytes} bytes of ring"
    seconds = iter([one["seconds"] for one in taken])
    benchmark.group = f"open {ring_bytes // MIB} MiB"
    benchmark.extra_info.update(
        suite="open", engine=engine, version=version(engine), policy="stock", ring_bytes=ring_bytes, correct=True,
        page_bytes=taken[0]["pages"][0][1], packets=0, drops=0, tables=max(one["tables"] for one in taken),
        ms=[one["seconds"] * 1e3 for one in taken])
    benchmark.pedantic(lambda: childclock.advance(next(seconds)), rounds=len(taken), iterations=1)
