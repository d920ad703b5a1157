# SPDX-License-Identifier: BSD-3-Clause
"""Measuring cells in turns, and the one form that every suite's results have."""

import platform
import re
import sys
from pathlib import Path

import childclock
import pytest
from engines import version_of
from manifest import Wrong


def cpu_model():
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


class Taken:
    """A cell's rounds; `wrong` says why there are no more."""

    def __init__(self):
        self.rounds, self.wrong = [], ""

    def all(self, name):
        return [one[name] for one in self.rounds]


def in_turns(cells, rounds, measure):
    """{cell: Taken}: what slows the machine down slows all. A cell with a wrong round is measured no further."""
    taken = {cell: Taken() for cell in cells}
    for _ in range(rounds):
        for cell, kept in taken.items():
            if not kept.wrong:
                take(kept, cell, measure)
    return taken


def take(kept, cell, measure):
    try:
        kept.rounds.append(measure(cell))
    except Wrong as reason:
        kept.wrong = str(reason)
        print(f"\nWRONG, left out of the tables: {reason}", file=sys.stderr, flush=True)


def record(benchmark, suite, cell, taken, *, group, sizes, seconds="seconds", each=(), **figures):
    """Gives pytest-benchmark a cell's result; of its rounds the packets, drops and pages, `seconds`, and what `each` names.

    The result of a wrong one says so and why, has no figures, and fails its test.
    """
    benchmark.group = group
    benchmark.extra_info.update(
        suite=suite, **cell._asdict(), version=version_of(cell.engine), sizes=sizes, kernel=platform.release(),
        cpu=cpu_model(), page_bytes=None, packets=[], drops=[], correct=not taken.wrong, **figures)
    if taken.wrong:
        benchmark.extra_info["wrong"] = taken.wrong
        benchmark.pedantic(lambda: None, rounds=1, iterations=1)
        pytest.fail(taken.wrong, pytrace=False)
    benchmark.extra_info.update({name: taken.all(name) for name in ("packets", "drops", *each)},
                                page_bytes=taken.rounds[0]["page_bytes"])
    times = iter(taken.all(seconds))
    benchmark.pedantic(lambda: childclock.advance(next(times)), rounds=len(taken.rounds), iterations=1)
