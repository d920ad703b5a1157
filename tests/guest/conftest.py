# SPDX-License-Identifier: BSD-3-Clause
"""These tests run inside a guest with the patched kernel: `kernel/boot IMAGE -- python -m pytest tests/guest`."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest

if "HUGEPCAP_GUEST" not in os.environ:
    collect_ignore_glob = ["test_*.py"]
else:
    sys.path.insert(0, str(Path(__file__).parent))

POOL_PAGES = 48
COMPLAINT = re.compile(r"WARNING:|BUG|Oops|Bad page|KASAN|refcount_t|possible (circular|recursive)|suspicious RCU"
                       r"|inconsistent lock|sleeping function|blocked for more|ODEBUG|corruption")
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
    from rings import counters
    before = counters()
    yield
    ends = time.monotonic() + 20
    while counters() != before and time.monotonic() < ends:
        pass
    assert counters() == before
    complaints = [line for line in kernel_log() if COMPLAINT.search(line)]
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
def table() -> list[str]:
    return TABLE


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in TABLE:
        terminalreporter.write_line(line)
