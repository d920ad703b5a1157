# SPDX-License-Identifier: BSD-3-Clause
"""Drain: CPU time to read packets that are in the ring already.

The ring is large enough for all of them, so nothing is lost, and sender and kernel are outside the clock. Each
round is a fresh process on one CPU; the engines take turns within a round, so that what slows the machine down
slows all of them. A round whose packets are not the ones that were sent, each once and in order, fails the run.
"""

import json
import os
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import childclock
import pytest
from consume import CHECKED_SHARE, WAYS, checksum
from test_walk import PAGES, TOTAL_BYTES
from test_walk import measure as measure_walk

from hugepcap._generate import generate

HERE = Path(__file__).resolve().parent
DEADLINE_S = 120
ROUNDS = 3
# bytes on the wire -> packets, and a ring that holds them all in either engine
SIZES = {64: (1_500_000, 512 << 20), 1400: (400_000, 768 << 20)}
QUICK_DIVISOR = 20

# What cypcap has; its dispatch() does not say how many it read.
OF_CYPCAP = {"loop", "iteration"}
IN_C = {"pcap_dispatch", "pcap_next_ex"}
CPU = max(os.sched_getaffinity(0))
LIBPCAP_C, WALK_C = "libpcap (C)", "walk (C)"


def engines_of(way):
    if way in IN_C:
        return [LIBPCAP_C]
    if way == "batches":
        return ["pcapy-ng", LIBPCAP_C, WALK_C, "hugepcap"]
    engines = ["hugepcap"] if way == "iteration" else ["pcapy-ng", "hugepcap"]
    return ["cypcap", *engines] if way in OF_CYPCAP else engines


def engine_version(engine, c_consumer):
    if engine == WALK_C:
        return version("hugepcap")
    if engine == LIBPCAP_C:
        return subprocess.run(["pcap-config", "--version"], capture_output=True, text=True).stdout.strip()
    return version(engine)


def send(link, count, size):
    sent = generate(link.near, count, sizes=(size, size), seed=size, flows=64)
    assert sent.packets == count


def drain(command, link, count, size):
    """Runs one consumer; its timed answer and its checked one."""
    child = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                             preexec_fn=lambda: os.sched_setaffinity(0, {CPU}))
    deadline = threading.Timer(DEADLINE_S, child.kill)    # its pipes then end, and with them every wait below
    deadline.start()
    try:
        assert child.stdout.readline() == "ready\n", f"{command}: did not start"
        answers = []
        for nr in (count, count // CHECKED_SHARE):
            send(link, nr, size)
            child.stdin.write("\n")
            child.stdin.flush()
            answers.append(json.loads(child.stdout.readline()))
        assert child.wait() == 0
        return answers
    finally:
        deadline.cancel()
        child.kill()
        child.wait()


def measure(engine, way, link, c_consumer, count, size, ring_bytes):
    """CPU seconds of one round; fails where a packet is missing, twice there or out of order."""
    arguments = [link.far, count, ring_bytes]
    command = [c_consumer, way if way in IN_C else "pcap_dispatch"] if engine == LIBPCAP_C else \
        [sys.executable, HERE / "consume.py", engine, way]
    timed, checked = drain(command + arguments, link, count, size)
    assert timed["packets"] == timed["received"] == count and timed["dropped"] == 0, f"{engine} {way}: {timed}"
    nr = count // CHECKED_SHARE
    assert checked == {"packets": nr, "checksum": checksum(range(nr))}, f"{engine} {way}: {checked}"
    return timed["seconds"]


def walk_alone(program, count, size):
    """CPU seconds that walking as many packets takes, from memory that is filled like a ring: see test_walk."""
    seconds, packets = measure_walk(program, PAGES["4 KiB"], 1, size, TOTAL_BYTES)
    return seconds * count / packets


@pytest.fixture(scope="session")
def rounds(request, link, c_consumer, walk):
    """Seconds of each round, per engine: measured once for all engines of a way and size, in turns."""
    quick, known = request.config.getoption("--quick"), {}

    def of(way, size):
        if (way, size) not in known:
            count, ring_bytes = SIZES[size]
            count //= QUICK_DIVISOR if quick else 1
            taken = {engine: [] for engine in engines_of(way)}
            for _ in range(1 if quick else ROUNDS):
                for engine in taken:
                    taken[engine].append(walk_alone(walk, count, size) if engine == WALK_C else
                                         measure(engine, way, link, c_consumer, count, size, ring_bytes))
            known[way, size] = count, ring_bytes, taken
        return known[way, size]

    return of


CASES = [(size, way, engine) for size in SIZES for way in [*WAYS, *sorted(IN_C)] for engine in engines_of(way)]


@pytest.mark.parametrize("size, way, engine", CASES, ids=[f"{s}-{w}-{e}" for s, w, e in CASES])
def test_drain(benchmark, rounds, c_consumer, size, way, engine):
    count, ring_bytes, taken = rounds(way, size)
    seconds = iter(taken[engine])
    benchmark.group = f"drain {size} B: {way}"
    benchmark.extra_info.update(
        engine=engine, version=engine_version(engine, c_consumer), way=way, size=size, packets=count, drops=0,
        ring_bytes=ring_bytes, policy="stock", correct=True,
        ns_per_packet=[second / count * 1e9 for second in taken[engine]])
    benchmark.pedantic(lambda: childclock.advance(next(seconds)), rounds=len(taken[engine]), iterations=1)
