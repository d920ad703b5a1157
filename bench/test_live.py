# SPDX-License-Identifier: BSD-3-Clause
"""Live: the highest rate without loss, by bisection, and the loss at it, at 1.5 times and at twice it.

The reader takes a SHA3-256 of every packet, in Python: without work every engine keeps up with all that the generator
can send here. The generator has the other CPU, whose interrupts put the packets into the ring, too. Engines take
turns, step by step; each trial is a fresh process. A trial whose packets did not come in order, or whose packets and
drops are not what was sent, fails the run.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import childclock
import pytest
from pinned import CPU, child

from hugepcap._generate import generate

HERE = Path(__file__).resolve().parent
RING_BYTES, SIZES = 16 << 20, (700, 1500)
LEAST_PPS, MOST_PPS = 50_000, 450_000
STEPS, SECONDS = 6, 1.0
QUICK_STEPS, QUICK_SECONDS = 1, 0.05
FACTORS = (1.0, 1.5, 2.0)
SHORT = 0.95    # of the rate asked for: less is the generator's limit, not the reader's
CASES = [("pcapy-ng", "dispatch"), ("hugepcap", "dispatch"), ("pcapy-ng", "next_batch"), ("hugepcap", "next_batch"),
         ("hugepcap", "next_block")]


@pytest.fixture
def other_cpus():
    """Keeps the generator off the reader's CPU, and what else the machine does off the generator's."""
    before, nice = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    os.sched_setaffinity(0, before - {CPU} or before)
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    os.sched_setaffinity(0, before)


def trial(case, link, rate_pps, seconds):
    """What the reader answered, and the rate that was reached."""
    engine, way = case
    with child([sys.executable, HERE / "live.py", engine, way, link.far, RING_BYTES]) as process:
        assert process.stdout.readline() == "ready\n", f"{engine} {way}: did not start"
        sent = generate(link.near, max(int(rate_pps * seconds), 1), sizes=SIZES, seed=1, flows=64, rate_pps=rate_pps)
        process.stdin.write(f"{sent.packets}\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
    told = f"{engine} {way} at {rate_pps} packets a second: {answer} of {sent.packets}"
    assert answer["packets"] + answer["dropped"] == answer["received"] == sent.packets and answer["rising"], told
    return {**answer, "reached_pps": sent.packets / sent.seconds}


class Bisection:
    """Between the rate that had no loss and the least that had. Where the generator falls short, it ends."""

    def __init__(self):
        self.good, self.bad, self.next, self.short = 0, None, MOST_PPS, False

    def step(self, answer):
        reached = round(answer["reached_pps"])
        self.short = reached < SHORT * self.next and not answer["dropped"]
        if answer["dropped"]:
            self.bad = min(reached, self.bad or reached)
        else:
            self.good = max(reached, self.good)
        if self.bad:
            self.next = (max(self.good, LEAST_PPS) + self.bad) // 2

    def ended(self):
        return self.short or not self.bad and self.good >= SHORT * MOST_PPS


@pytest.fixture(scope="session")
def live(request):
    """Per case its bisection and the answers at each factor, measured for all cases together."""
    quick, known = request.config.getoption("--quick"), {}
    steps, seconds = (QUICK_STEPS, QUICK_SECONDS) if quick else (STEPS, SECONDS)

    def of(link):
        if not known:
            searches = {case: Bisection() for case in CASES}
            for _ in range(steps):
                for case, search in searches.items():
                    if not search.ended():
                        search.step(trial(case, link, search.next, seconds))
            for case, search in searches.items():
                rate = search.good or LEAST_PPS
                known[case] = search, [trial(case, link, int(rate * factor), seconds) for factor in FACTORS]
        return known

    return of


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_live(benchmark, live, link, other_cpus, case):
    (search, answers), (engine, way) = live(link)[case], case
    benchmark.group = "live"
    benchmark.extra_info.update(
        suite="live", engine=engine, version=version(engine), way=way, policy="stock", correct=True, ring_bytes=RING_BYTES,
        sizes=SIZES, lossless_pps=search.good, limited=search.ended(), lossy_pps=search.bad, factors=FACTORS,
        packets=[answer["packets"] for answer in answers], drops=[answer["dropped"] for answer in answers],
        reached_pps=[answer["reached_pps"] for answer in answers],
        cpu_per_million=[answer["cpu"] / max(answer["packets"], 1) * 1e6 for answer in answers])
    benchmark.pedantic(lambda: childclock.advance(answers[0]["cpu"]), rounds=1, iterations=1)
