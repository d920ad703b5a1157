# SPDX-License-Identifier: BSD-3-Clause
"""Corunner: what a capture does to another program on its CPU, a pointer chase over 64 MiB, by engine and policy.

Two figures: how much longer a step takes of the CPU time the chase gets (its caches and TLB are shared), and how much
fewer steps it makes in the same time (its CPU is, too). Without a capture the same packets come and nobody reads them.
"""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import childclock
import pytest
from pinned import child

from hugepcap._generate import generate
from policies import kernel_has_policies

HERE = Path(__file__).resolve().parent
CHASE_BYTES, RING_BYTES = 64 << 20, 64 << 20
RATE_PPS, SECONDS, ROUNDS = 100_000, 3, 3
SIZES = (700, 1500)
POLICIES = ["stock", "thp", "hugetlb"] if kernel_has_policies() else ["stock"]
NOBODY = ("none", "none", "none")
CASES = [NOBODY, ("pcapy-ng", "dispatch", "stock"), ("pcapy-ng", "next_batch", "stock"),
         ("cypcap", "dispatch", "stock"), ("scapy", "recv_raw", "stock"),
         *[("hugepcap", way, policy) for policy in POLICIES for way in ("dispatch", "next_block")]]


@pytest.fixture(scope="session")
def chase(tmp_path_factory):
    program = tmp_path_factory.mktemp("chase") / "chase"
    subprocess.run(["gcc", "-O2", "-std=gnu11", HERE / "chase.c", "-o", program], check=True)
    return program


def ask(process):
    process.stdin.write("\n")
    process.stdin.flush()


def measure(chase, case, link, seconds):
    """The chase's answer and the capture's, over the same packets."""
    engine, way, policy = case
    os.environ["HUGEPCAP_POLICY"] = policy if engine == "hugepcap" else "stock"
    with ExitStack() as stack:
        other = stack.enter_context(child([chase, CHASE_BYTES]))
        assert other.stdout.readline() == "ready\n"
        if case != NOBODY:
            capture = stack.enter_context(child([sys.executable, HERE / "watch.py", engine, way, link.far, RING_BYTES]))
            assert capture.stdout.readline() == "ready\n", f"{engine} {way}: did not start"
        ask(other)
        sent = generate(link.near, int(RATE_PPS * seconds), sizes=SIZES, seed=1, flows=64, rate_pps=RATE_PPS)
        ask(other)
        answer = json.loads(other.stdout.readline())
        if case == NOBODY:
            return answer, {"packets": 0, "dropped": 0, "cpu": 0.0}
        ask(capture)
        captured = json.loads(capture.stdout.readline())
    assert captured["packets"] + captured["dropped"] == captured["received"] == sent.packets, f"{engine} {way}: {captured}"
    return answer, captured


@pytest.fixture(scope="session")
def rounds(request, chase, link):
    quick, known = request.config.getoption("--quick"), {case: [] for case in CASES}

    def all_of():
        if not known[NOBODY]:
            for _ in range(1 if quick else ROUNDS):
                for case in CASES:
                    known[case].append(measure(chase, case, link, 0.2 if quick else SECONDS))
        return known

    return all_of


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_corunner(benchmark, rounds, case):
    taken, (engine, way, policy) = rounds()[case], case
    ns_per_step = [answer["cpu"] / answer["steps"] * 1e9 for answer, _ in taken]
    benchmark.group = "corunner"
    benchmark.extra_info.update(
        suite="corunner", engine=engine, version=version(engine) if engine != "none" else "", way=way, policy=policy,
        correct=True, rate_pps=RATE_PPS, sizes=SIZES, packets=[captured["packets"] for _, captured in taken],
        drops=[captured["dropped"] for _, captured in taken], ns_per_step=ns_per_step,
        steps_per_s=[answer["steps"] / answer["wall"] for answer, _ in taken],
        capture_cpu=[captured["cpu"] / answer["wall"] for answer, captured in taken])
    times = iter([value / 1e9 for value in ns_per_step])
    benchmark.pedantic(lambda: childclock.advance(next(times)), rounds=len(taken), iterations=1)
