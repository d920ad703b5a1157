# SPDX-License-Identifier: BSD-3-Clause
"""All runs that were asked for, and the JSON of them."""

import datetime
import os
import platform
import re
import shutil
import sys
from itertools import product
from pathlib import Path

import click
from pool import HUGE, pool

from . import measure, tlb, traffic
from .measure import Missing, Setup
from .spread import spread

SPARE_PAGES = 4
MAPPED_BLOCKS = 16    # the ring of 64 MiB that the model is asked about


def machine() -> dict:
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return {"cpu": found[1] if found else platform.machine(), "cores": len(measure.ALL_CPUS),
            "kernel": platform.release(), "python": platform.python_version(),
            "load_average": os.getloadavg()[0],
            "emulated": bool(found and "QEMU TCG" in found[1]) or os.environ.get("HUGEPCAP_GUEST") == "1",
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def missing_policies(programs, policies, link) -> dict[str, str]:
    """Of those asked for, the ones this kernel has not, with its reason."""
    reasons = {}
    for name, policy in product(programs, policies):
        try:
            measure.run(Setup(name, policy, 2, 0), link, traffic.Traffic(1))
        except Missing as reason:
            reasons.setdefault(policy, str(reason).splitlines()[0])
    for policy, reason in reasons.items():
        say(f"{policy}: missing here: {reason}")
    return reasons


def missing_events(results: list[dict]) -> list[str]:
    """Events that no run could count, as name:side."""
    return sorted(f"{name}:{side}" for name, sides in results[0]["events"].items() for side in sides
                  if all(result["events"][name][side] is None for result in results))


def in_turns(keys, runs: int, run) -> dict:
    """{key: its results}; the keys take turns, run by run, so that what else the machine does meets them all."""
    results = {key: [] for key in keys}
    for number in range(runs):
        for key, kept in results.items():
            kept.append(run(key))
            say(f"run {number + 1} of {runs}, {' '.join(map(str, key))}: loss {measure.loss(kept[-1]):.1%}")
    return results


def point_of(results: list[dict], expected) -> dict:
    """A point of a curve: each run's figures, and the spread of its loss."""
    return {"loss": spread([measure.loss(result) for result in results]), "runs": results,
            "correct": all(measure.correct(result, expected) for result in results)}


def mapping_of(setup: Setup, link, load) -> dict:
    """A ring's levels, and what the model of each CPU's TLB says of it."""
    result = measure.run(setup, link, load, mapping=True)
    found = result["levels"]
    model = {name: tlb.misses(cpu, found, seed=load.seed) for name, cpu in tlb.CPUS.items()}
    say(f"{setup.policy}: user {found['user_page_bytes'] >> 10} KiB, kernel {found['kernel_page_bytes'] >> 10} KiB "
        f"({found['kernel_via']})")
    found["frame_runs"] = len(found["frame_runs"])
    return {"policy": setup.policy, "blocks": setup.blocks, "levels": found, "model": model,
            "events": result["events"], "packets": result["packets"]}


def experiment(programs, policies, factors, blocks, runs, interface, load) -> dict:
    if not shutil.which("gcc"):
        raise click.ClickException("no gcc: the capture programs are C (install gcc)")
    with traffic.open_link(interface) as link, pool(max(*blocks, MAPPED_BLOCKS) * (4 << 20) // HUGE + SPARE_PAGES):
        measure.pin(0)
        absent = missing_policies(programs, policies, link)
        there = [policy for policy in policies if policy not in absent]
        if not there:
            raise click.ClickException(f"none of {', '.join(policies)} is in Linux {platform.release()}; `make guest` runs a "
                                       "kernel that has them")
        expected = traffic.expected(load)
        setups = [Setup(name, policy, number, factor)
                  for name, number, factor, policy in product(programs, blocks, factors, there)]
        taken = in_turns(setups, runs, lambda setup: measure.run(setup, link, load))
        points = [{**setup._asdict(), **point_of(results, expected)} for setup, results in taken.items()]
        mappings = [mapping_of(Setup("lowlevel", policy, MAPPED_BLOCKS, 0), link, load) for policy in there]
    every = [result for point in points for result in point["runs"]]
    return {"machine": machine(), "link": interface or "veth pair", "traffic": load._asdict(), "sizes": traffic.SIZES,
            "missing_policies": absent, "missing_events": missing_events(every), "points": points,
            "mappings": mappings}
