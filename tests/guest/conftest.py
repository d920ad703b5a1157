# SPDX-License-Identifier: BSD-3-Clause
"""These tests run inside a guest with the patched kernel: `kernel/boot IMAGE -- python -m pytest tests/guest`."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Iterator

import pytest

VARIANT = os.environ.get("HUGEPCAP_KERNEL", "")
OTHERS = {"-(off|stock)-": "test_off.py", "-debug-": "test_debug.py"}

if "HUGEPCAP_GUEST" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
else:
    sys.path.insert(0, str(Path(__file__).parent))
    collect_ignore_glob = [name for kind, name in OTHERS.items() if not re.search(kind, VARIANT)]
    if "test_off.py" not in collect_ignore_glob:
        collect_ignore_glob = ["test_[!o]*.py"]

POOL_PAGES = 48
COMPLAINTS = (Path(__file__).parents[2] / "kernel/complaints").read_text().splitlines()
COMPLAINT = re.compile("|".join(line for line in COMPLAINTS if line[0] not in "#!"))
ALLOWED = re.compile("|".join(line[1:] for line in COMPLAINTS if line[0] == "!"))
TABLE: list[str] = []


def kernel_log() -> list[str]:
    """What the kernel has said since the last call."""
    lines = []
    while True:
        try:
            lines.append(os.read(LOG, 8192).decode(errors="replace"))
        except BlockingIOError:
            return lines
        except BrokenPipeError:
            continue


def pytest_configure() -> None:
    global LOG
    if "HUGEPCAP_GUEST" in os.environ:
        LOG = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test leaves the counters where they were, and nothing in the kernel's log."""
    from rings import comes_to, counters
    before = counters()
    yield
    assert comes_to(before, counters) or counters() == before
    complaints = [line for line in kernel_log() if COMPLAINT.search(line) and not ALLOWED.search(line)]
    assert not complaints, "".join(complaints)


@pytest.fixture(scope="session", autouse=True)
def pool() -> None:
    file = Path("/proc/sys/vm/nr_hugepages")
    file.write_text(str(POOL_PAGES))
    assert int(file.read_text()) == POOL_PAGES, "the guest has not enough memory for the huge page pool"


@pytest.fixture(scope="session")
def pair() -> tuple[str, str]:
    """Two ends of a veth, with nothing on it but what the tests send."""
    for scope in ("all", "default"):
        Path(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6").write_text("1")
    for command in ("link add hp0 type veth peer name hp1", "link set hp0 mtu 9000 up", "link set hp1 mtu 9000 up"):
        subprocess.run(["ip", *command.split()], check=True)
    return "hp0", "hp1"


@pytest.fixture
def sender(pair: tuple[str, str]) -> Iterator[socket.socket]:
    """Stays on one CPU: a sender that moves leaves packets in the queues of both, and they come out of order."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        sock.bind((pair[0], 0))
        yield sock
    os.sched_setaffinity(0, allowed)


@pytest.fixture
def switched_on() -> Iterator[None]:
    switch = Path("/proc/sys/net/packet/huge_rings")
    assert switch.read_text() == "0\n", "the switch must be off until somebody turns it"
    switch.write_text("1")
    yield
    switch.write_text("0")


@pytest.fixture
def huge_shmem() -> Iterator[None]:
    yield from chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always")


def chosen(file: str, value: str) -> Iterator[None]:
    """One of several that a file of sysfs offers, until the test is over."""
    before = re.search(r"\[(\w+)\]", Path(file).read_text())[1]
    Path(file).write_text(value)
    yield
    Path(file).write_text(before)


@pytest.fixture
def thp_mode(request: pytest.FixtureRequest) -> Iterator[str]:
    for _ in chosen("/sys/kernel/mm/transparent_hugepage/enabled", request.param):
        yield request.param


@pytest.fixture
def table() -> list[str]:
    return TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in TABLE:
        terminalreporter.write_line(line)
