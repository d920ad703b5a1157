# SPDX-License-Identifier: BSD-3-Clause
"""Live: the highest rate without loss, by bisection, and the loss at it, at 1.5 times and at twice it.

The reader takes a SHA3-256 of every packet, in Python: without work every engine keeps up with all that the generator
can send here. The generator has the other CPU, whose interrupts put the packets into the ring, too. Engines take
turns, step by step; each trial is a fresh process. Two of three trials decide on a rate; one in which the generator
fell short of it does not count, for what it then catches up with is a burst. A trial whose packets did not come in
order, or whose packets and drops are not what was sent, fails the run.
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
LEAST_PPS, MOST_PPS = 20_000, 420_000
STEPS, SECONDS = 5, 1.0
VOTES, TRIALS = 3, 5    # that decide on a rate; that are made at most
QUICK_STEPS, QUICK_SECONDS = 1, 0.05
FACTORS = (1.0, 1.5, 2.0)
SHORT = 0.98    # of the rate asked for: less, and the trial was none of that rate
CASES = [("pcapy-ng", "dispatch"), ("hugepcap", "dispatch"), ("pcapy-ng", "next_batch"), ("hugepcap", "next_batch"),
         ("hugepcap", "next_block"), ("cypcap", "dispatch"), ("scapy", "recv_raw")]


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


def loses(case, link, rate_pps, seconds, trials):
    """Whether most trials at a rate lose packets; None where the generator could not keep it. Notes each trial."""
    votes = []
    for _ in range(TRIALS):
        answer = trial(case, link, rate_pps, seconds)
        trials.append({"asked_pps": rate_pps, "reached_pps": answer["reached_pps"], "drops": answer["dropped"]})
        if answer["reached_pps"] >= SHORT * rate_pps:
            votes.append(answer["dropped"] > 0)
        for verdict in (True, False):
            if votes.count(verdict) > VOTES // 2:
                return verdict
    return None


class Bisection:
    """Between the rate that had no loss and the one that had, or that the generator could not keep."""

    def __init__(self):
        self.good, self.bad, self.short, self.trials = LEAST_PPS, MOST_PPS, True, []

    @property
    def next(self):
        return (self.good + self.bad) // 2

    def step(self, lost):
        if lost is False:
            self.good = self.next
        else:
            self.bad, self.short = self.next, lost is None


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
                    search.step(loses(case, link, search.next, seconds, search.trials))
            for case, search in searches.items():
                known[case] = search, [trial(case, link, int(search.good * factor), seconds) for factor in FACTORS]
        return known

    return of


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_live(benchmark, live, link, other_cpus, case):
    (search, answers), (engine, way) = live(link)[case], case
    benchmark.group = "live"
    benchmark.extra_info.update(
        suite="live", engine=engine, version=version(engine), way=way, policy="stock", correct=True, ring_bytes=RING_BYTES,
        sizes=SIZES, lossless_pps=search.good, limited=search.short, lossy_pps=search.bad, factors=FACTORS,
        trials=search.trials,
        packets=[answer["packets"] for answer in answers], drops=[answer["dropped"] for answer in answers],
        reached_pps=[answer["reached_pps"] for answer in answers],
        cpu_per_million=[answer["cpu"] / max(answer["packets"], 1) * 1e6 for answer in answers])
    benchmark.pedantic(lambda: childclock.advance(answers[0]["cpu"]), rounds=1, iterations=1)
