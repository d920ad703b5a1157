# SPDX-License-Identifier: BSD-3-Clause
"""Live: the highest rate without loss, by bisection, and the loss at it, at 1.5 times and at twice it.

The reader takes a SHA3-256 of every packet: without work every engine keeps up with all that the generator can send
here. The generator has the other CPU, whose interrupts put the packets into the ring, too. Cells take turns, step by
step; each trial is a fresh process. Two of three trials decide on a rate; one in which the generator fell short of it
does not count, for what it then catches up with is a burst. The hashes of a trial must be those of what was sent,
without the packets that were dropped.
"""

import pytest
from engines import ENDLESS, LIBPCAP_C, Cell, by_policy, capturing, cells, named
from manifest import Wrong, manifest
from record import Taken, record, take

from hugepcap._generate import generate

RING_BYTES, MIX, SMALL = 16 << 20, (700, 1500), (64, 64)
LEAST_PPS = 20_000
STEPS, SECONDS = 5, 0.6
VOTES, TRIALS = 3, 5    # that decide on a rate; that are made at most
FACTORS, REPEATS = (1.0, 1.5, 2.0), 3
QUICK_SECONDS, QUICK_FACTORS = 0.05, (1.0,)
SHORT = 0.98    # of the rate asked for: less, and the trial was none of that rate
# sizes -> the rate above which it is not looked for, and the cells
CASES = {MIX: (420_000, [*cells(ENDLESS), *by_policy("next_block")]),
         SMALL: (700_000, [Cell(LIBPCAP_C, "pcap_dispatch"), Cell("pcapy-ng", "dispatch"), Cell("hugepcap", "dispatch"),
                           Cell("hugepcap", "next_block")])}


def trial(cell, c_programs, link, sizes, rate_pps, seconds):
    """What the reader answered, and the rate that was reached."""
    with capturing(cell, c_programs, "hash", link, RING_BYTES) as process:
        count = max(int(rate_pps * seconds), 1)
        sent = generate(link.near, count, sizes=sizes, seed=1, flows=64, rate_pps=rate_pps)
        process.ask(sent.packets)
        answer = process.answer()
    if answer["packets"] + answer["dropped"] != answer["received"] or answer["received"] != count:
        raise Wrong(f"{process.who} at {rate_pps} packets a second: {answer['packets']} seen, {answer['dropped']} dropped, "
                    f"{answer['received']} received of {count}")
    manifest(0, sizes, seed=1, flows=64).check(process.who, answer, count, answer["dropped"])
    return {"asked_pps": rate_pps, "reached_pps": count / sent.seconds, "packets": answer["packets"],
            "drops": answer["dropped"], "cpu": answer["cpu"], "page_bytes": process.told["page_bytes"]}


class Bisection:
    """Of a cell, between the rate that had no loss and the one that had, or that the generator could not keep."""

    def __init__(self, try_at, most_pps):
        self.try_at = try_at    # a trial at a rate
        self.good, self.bad, self.short, self.trials = LEAST_PPS, most_pps, True, []

    @property
    def next(self):
        return (self.good + self.bad) // 2

    def loses(self):
        """Whether most trials at the next rate lose packets; None where the generator could not keep it."""
        votes = []
        for _ in range(TRIALS):
            self.trials.append(self.try_at(self.next))
            if self.trials[-1]["reached_pps"] >= SHORT * self.next:
                votes.append(self.trials[-1]["drops"] > 0)
            for verdict in (True, False):
                if votes.count(verdict) > VOTES // 2:
                    return verdict
        return None

    def step(self):
        lost = self.loses()
        if lost is False:
            self.good = self.next
        else:
            self.bad, self.short = self.next, lost is None

    def at_factors(self, factors):
        """A round: one trial at each factor of the rate without loss."""
        trials = [self.try_at(int(self.good * factor)) for factor in factors]
        return {name: [one[name] for one in trials] for name in ("packets", "drops", "reached_pps")} | {
            "seconds": trials[0]["cpu"], "cpu_per_million": [one["cpu"] / max(one["packets"], 1) * 1e6 for one in trials],
            "page_bytes": trials[0]["page_bytes"]}


class Searches:
    """The bisections of all cells of a size, step by step in turns, then their rounds at the factors."""

    def __init__(self, c_programs, link, sizes, some, quick):
        most_pps = CASES[sizes][0]
        seconds, self.factors = (QUICK_SECONDS, QUICK_FACTORS) if quick else (SECONDS, FACTORS)
        self.of = {cell: Bisection(lambda rate_pps, cell=cell: trial(cell, c_programs, link, sizes, rate_pps, seconds), most_pps)
                   for cell in some}
        self.taken = {cell: Taken() for cell in some}
        for _ in range(0 if quick else STEPS):
            self.turn(lambda cell: self.of[cell].step())
        for kept in self.taken.values():
            kept.rounds.clear()    # of which the steps have none
        for _ in range(1 if quick else REPEATS):
            self.turn(lambda cell: self.of[cell].at_factors(self.factors))

    def turn(self, measure):
        for cell, kept in self.taken.items():
            if not kept.wrong:
                take(kept, cell, measure)


@pytest.fixture(scope="session")
def searches(quick, chosen, c_programs, link):
    known = {}

    def of(sizes):
        if sizes not in known:
            known[sizes] = Searches(c_programs, link, sizes, chosen("live", CASES[sizes][1]), quick)
        return known[sizes]

    return of


def pytest_generate_tests(metafunc):
    some = [MIX] if metafunc.config.getoption("--quick") else CASES
    pairs = [(sizes, cell) for sizes in some for cell in CASES[sizes][1]]
    metafunc.parametrize("sizes, cell", pairs, ids=[f"{named(sizes)}-{cell}" for sizes, cell in pairs])


def test_live(benchmark, other_cpus, searches, sizes, cell):
    found = searches(sizes)
    search = found.of[cell]
    record(benchmark, "live", cell, found.taken[cell], group=f"live {named(sizes)} B", sizes=sizes, ring_bytes=RING_BYTES,
           lossless_pps=search.good, limited=search.short, lossy_pps=search.bad, factors=found.factors,
           trials=[{name: one[name] for name in ("asked_pps", "reached_pps", "drops")} for one in search.trials],
           each=["reached_pps", "cpu_per_million"])
