# SPDX-License-Identifier: BSD-3-Clause
"""One run: a capture program in a process of its own, the traffic, and what the program counted."""
from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import NamedTuple

from . import levels, traffic
from .programs import SHIM, program

POLICIES = ("RX_RING", "GFPNORETRY", "VZALLOC", "GFPRETRY", "TRANSHUGE", "HUGETLB")
SHIM_POLICIES = dict(zip(POLICIES, ("stock", "gfpnoretry", "vzalloc", "gfpretry", "thp", "hugetlb")))
EXIT_MISSING = 3
DEADLINE_S = 300
ALL_CPUS = os.sched_getaffinity(0)    # before this process pins itself


class Missing(Exception):
    """This kernel has no such policy; the text is the program's."""


class Setup(NamedTuple):
    program: str    # lowlevel, libpcap
    policy: str
    blocks: int
    factor: int
    block_bytes: int = 4 << 20

    @property
    def ring_bytes(self) -> int:
        return self.blocks * self.block_bytes


def pin(cpu: int) -> None:
    """Sender and receiver on CPUs of their own, where there are two."""
    there = sorted(ALL_CPUS)
    os.sched_setaffinity(0, {there[cpu % len(there)]})


def command(setup: Setup, device: str) -> tuple[list[str], dict[str, str]]:
    if setup.program == "lowlevel":
        return [str(program("lowlevel")), device, setup.policy, str(setup.block_bytes), str(setup.blocks),
                str(setup.factor)], {}
    shim = {"LD_PRELOAD": str(SHIM), "HUGEPCAP_POLICY": SHIM_POLICIES[setup.policy], "HUGEPCAP_STRICT": "1"}
    return [str(program("libpcap")), device, str(setup.ring_bytes), str(setup.factor)], shim


def failure(child: subprocess.Popen, arguments: list[str], complaint: str) -> Exception:
    if child.returncode == EXIT_MISSING or "CONFIG_PACKET_HUGE" in complaint:
        return Missing(complaint.strip())
    return RuntimeError(f"{' '.join(arguments)}: ended with status {child.returncode}: {complaint.strip()}")


def start(arguments: list[str], extra: dict[str, str], cpus: set[int]) -> subprocess.Popen:
    return subprocess.Popen(["taskset", "-c", ",".join(map(str, sorted(cpus))), *arguments], env={**os.environ, **extra},
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run_command(arguments: list[str], extra: dict[str, str], link: traffic.Link, load: traffic.Traffic, *,
                mapping: bool = False, spread_out: bool = False) -> dict:
    """One run of a program that says a line when it captures and its report after SIGINT.

    `spread_out`: on all CPUs, the sender's included, and not on the last alone.
    """
    before = levels.areas() if mapping else set()
    child = start(arguments, extra, ALL_CPUS if spread_out else {max(ALL_CPUS)})
    try:
        ready = child.stdout.readline()
        if not ready:
            _, complaint = child.communicate(timeout=DEADLINE_S)
            raise failure(child, arguments, complaint)
        found = levels.of(child.pid, json.loads(ready), before) if mapping else None
        sent, seconds = traffic.send(link, load)
        child.send_signal(signal.SIGINT)
        report, complaint = child.communicate(timeout=DEADLINE_S)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode != 0:
        raise failure(child, arguments, complaint)
    result = {**json.loads(report), "sent": sent, "sent_s": seconds}
    return {**result, "levels": found} if mapping else result


def run(setup: Setup, link: traffic.Link, load: traffic.Traffic, mapping: bool = False) -> dict:
    """The program's report, with what was sent; `mapping`: and the levels of its ring. Raises Missing."""
    return run_command(*command(setup, link.captures), link, load, mapping=mapping)


def loss(result: dict) -> float:
    """As the thesis deduces it: what the kernel received and the program did not see, as a share."""
    return 1 - result["packets"] / result["received"] if result["received"] else 0.0


def correct(result: dict, expected: dict | None) -> bool:
    """Every packet accounted for, and where none was lost every byte as it was sent."""
    counted = result["packets"] + result["dropped"] == result["received"] == result["sent"]
    if result["dropped"] or expected is None:
        return counted
    return counted and all(result[key] == expected[key] for key in expected)
