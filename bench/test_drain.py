# SPDX-License-Identifier: BSD-3-Clause
"""Drain: CPU time to read packets that are in the ring already.

The ring is large enough for all of them, so nothing is lost, and sender and kernel are outside the clock. Each
round is a fresh process on one CPU; the engines take turns within a round, so that what slows the machine down
slows all of them. A round whose packets are not the ones that were sent, each once and in order, fails the run.
"""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import childclock
import pytest
from consume import CHECKED_SHARE, WAYS, checksum
from pinned import child
from test_walk import PAGES, TOTAL_BYTES
from test_walk import measure as measure_walk

from helpers.smaps import ring_pages
from hugepcap._generate import generate

HERE = Path(__file__).resolve().parent
ROUNDS = 3
# bytes on the wire, least and most -> packets, and a ring that holds them all in either engine
SIZES = {(64, 64): (1_500_000, 512 << 20), (200, 200): (1_000_000, 512 << 20), (594, 594): (600_000, 768 << 20),
         (1400, 1400): (400_000, 768 << 20), (700, 1500): (450_000, 768 << 20)}
QUICK_SIZES = [(64, 64), (1400, 1400)]
QUICK_DIVISOR = 20

# What cypcap has; its dispatch() does not say how many it read.
OF_CYPCAP = {"loop", "iteration"}
IN_C = {"pcap_dispatch", "pcap_next_ex"}
LIBPCAP_C, WALK_C = "libpcap (C)", "walk (C)"


def engines_of(way, sizes):
    if way in IN_C:
        return [LIBPCAP_C]
    if way == "batches":    # the walk's memory has packets of one size
        return ["pcapy-ng", LIBPCAP_C, *[WALK_C] * (sizes[0] == sizes[1]), "hugepcap"]
    engines = ["hugepcap"] if way == "iteration" else ["pcapy-ng", "hugepcap"]
    return ["cypcap", *engines] if way in OF_CYPCAP else engines


def engine_version(engine, c_consumer):
    if engine == WALK_C:
        return version("hugepcap")
    if engine == LIBPCAP_C:
        return subprocess.run(["pcap-config", "--version"], capture_output=True, text=True).stdout.strip()
    return version(engine)


def send(link, count, sizes):
    sent = generate(link.near, count, sizes=sizes, seed=sizes[0], flows=64)
    assert sent.packets == count


def drain(command, link, count, sizes):
    """Runs one consumer; its timed answer, its checked one, and its rings' mappings."""
    with child(command) as process:
        assert process.stdout.readline() == "ready\n", f"{command}: did not start"
        answers, pages = [], ring_pages(process.pid)
        for nr in (count, count // CHECKED_SHARE):
            send(link, nr, sizes)
            process.stdin.write("\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline()))
        assert process.wait() == 0
        return *answers, pages


def measure(engine, way, link, c_consumer, count, sizes, ring_bytes):
    """CPU seconds of one round and the page size; fails where a packet is missing, twice there or out of order."""
    arguments = [link.far, count, ring_bytes]
    command = [c_consumer, way if way in IN_C else "pcap_dispatch"] if engine == LIBPCAP_C else \
        [sys.executable, HERE / "consume.py", engine, way]
    timed, checked, pages = drain(command + arguments, link, count, sizes)
    assert timed["packets"] == timed["received"] == count and timed["dropped"] == 0, f"{engine} {way}: {timed}"
    nr = count // CHECKED_SHARE
    assert checked == {"packets": nr, "checksum": checksum(range(nr))}, f"{engine} {way}: {checked}"
    assert [size for size, _ in pages] == [ring_bytes], f"{engine} {way}: rings of {pages}, not of {ring_bytes} bytes"
    return timed["seconds"], pages[0][1]


def walk_alone(program, count, sizes):
    """CPU seconds that walking as many packets takes, from memory that is filled like a ring: see test_walk."""
    seconds, packets = measure_walk(program, PAGES["4 KiB"], 1, sizes[0], TOTAL_BYTES)
    return seconds * count / packets, PAGES["4 KiB"]


@pytest.fixture(scope="session")
def rounds(request, link, c_consumer, walk):
    """Seconds and page size of each round, per engine: measured once for all engines of a way and size, in turns."""
    quick, known = request.config.getoption("--quick"), {}

    def of(way, sizes):
        if (way, sizes) not in known:
            count, ring_bytes = SIZES[sizes]
            count //= QUICK_DIVISOR if quick else 1
            taken = {engine: [] for engine in engines_of(way, sizes)}
            for _ in range(1 if quick else ROUNDS):
                for engine in taken:
                    taken[engine].append(walk_alone(walk, count, sizes) if engine == WALK_C else
                                         measure(engine, way, link, c_consumer, count, sizes, ring_bytes))
            known[way, sizes] = count, ring_bytes, taken
        return known[way, sizes]

    return of


def pytest_generate_tests(metafunc):
    some = QUICK_SIZES if metafunc.config.getoption("--quick") else SIZES
    cases = [(sizes, way, engine) for sizes in some for way in [*WAYS, *sorted(IN_C)] for engine in engines_of(way, sizes)]
    names = [f"{'-'.join(map(str, dict.fromkeys(sizes)))}-{way}-{engine}" for sizes, way, engine in cases]
    metafunc.parametrize("sizes, way, engine", cases, ids=names)


def test_drain(benchmark, rounds, c_consumer, sizes, way, engine):
    count, ring_bytes, taken = rounds(way, sizes)
    each = [seconds for seconds, _ in taken[engine]]
    seconds = iter(each)
    benchmark.group = f"drain {sizes[0]} to {sizes[1]} B: {way}"
    benchmark.extra_info.update(
        engine=engine, version=engine_version(engine, c_consumer), way=way, sizes=sizes, packets=count, drops=0,
        ring_bytes=ring_bytes, policy="stock", page_bytes=taken[engine][0][1], correct=True,
        ns_per_packet=[second / count * 1e9 for second in each])
    benchmark.pedantic(lambda: childclock.advance(next(seconds)), rounds=len(each), iterations=1)
