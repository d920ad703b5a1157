# SPDX-License-Identifier: BSD-3-Clause
"""Loss over the factor: stock libpcap with its default ring against deeper rings and two workers, in the same run."""
from __future__ import annotations

import sys
from itertools import product
from typing import NamedTuple

from . import experiment, measure, traffic
from .programs import HERE, program

MIB = 1 << 20
FACTORS = (0, 100, 200, 400, 700, 1000, 2000, 4000)
STARTS_AT = 0.001    # a share lost that counts as loss


class Consumer(NamedTuple):
    label: str
    ring_mib: int    # of each worker
    workers: int     # 0: stock libpcap

    def __str__(self) -> str:
        return self.label


CONSUMERS = (Consumer("libpcap, default ring (2 MiB)", 0, 0), Consumer("hugepcap, 2 MiB", 2, 1),
             Consumer("hugepcap, 64 MiB", 64, 1), Consumer("hugepcap, 256 MiB", 256, 1),
             Consumer("hugepcap, 2 workers of 2 MiB", 2, 2), Consumer("hugepcap, 2 workers of 64 MiB", 64, 2))


def command(consumer: Consumer, device: str, factor: int) -> list[str]:
    if not consumer.workers:
        return [str(program("libpcap")), device, "0", str(factor)]
    return [sys.executable, str(HERE / "consume.py"), str(program("work.so")), device, str(consumer.ring_mib * MIB),
            str(factor), str(consumer.workers)]


def starts(points: list[dict]) -> int | None:
    """The least factor from which on packets are lost at every greater one, too; None where there is none."""
    first = None
    for found in reversed(points):
        if found["loss"]["mean"] <= STARTS_AT:
            break
        first = found["factor"]
    return first


def curves(runs: int, interface, load, factors=FACTORS) -> list[dict]:
    with traffic.open_link(interface) as link:
        measure.pin(0)
        expected = traffic.expected(load)
        taken = experiment.in_turns(list(product(factors, CONSUMERS)), runs, lambda key: measure.run_command(
            command(key[1], link.captures, key[0]), {}, link, load, spread_out=key[1].workers > 1))
    found = []
    for consumer in CONSUMERS:
        points = [{"factor": factor, **experiment.point_of(taken[factor, consumer], expected)} for factor in factors]
        found.append({**consumer._asdict(), "points": points, "starts_at": starts(points)})
    return found
