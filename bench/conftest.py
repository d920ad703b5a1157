# SPDX-License-Identifier: BSD-3-Clause
"""For every measurement: a private network, the C consumer, and what the results are to be labelled with."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "live"), str(ROOT / "bench")]

import netns  # noqa: E402

GENERATOR = ("hp_gen", "hp_send", "hp_tx_ring", "hp_err")    # of the core, for the sequence numbers


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="few packets, one round: whether it works, not how fast")


@pytest.fixture(scope="session")
def link():
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a network namespace")
    with netns.namespace():
        yield netns.veth()


@pytest.fixture(scope="session")
def c_consumer(tmp_path_factory):
    program = tmp_path_factory.mktemp("bench") / "consume"
    core = ROOT / "hugepcap" / "_csrc"
    sources = [ROOT / "bench" / "consume.c", *(core / f"{name}.c" for name in GENERATOR)]
    subprocess.run(["gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", f"-I{core}", *sources, "-lpcap", "-o", program], check=True)
    return program


@pytest.fixture(scope="session")
def walk(tmp_path_factory):
    program = tmp_path_factory.mktemp("walk") / "walk"
    core = ROOT / "hugepcap" / "_csrc"
    subprocess.run(["gcc", "-O2", "-std=gnu11", "-D_GNU_SOURCE", f"-I{core}", ROOT / "bench" / "walk.c", "-o", program],
                   check=True)
    return program


def cpu_model():
    found = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found.group(1) if found else platform.machine()


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info.update(kernel=platform.release(), cpu_model=cpu_model(), cores=os.cpu_count())
