# SPDX-License-Identifier: BSD-3-Clause
"""Programs under preload.so: their environment, what they say, the rings in their address space."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import helpers
from helpers import child_environment, wait_until
from helpers.smaps import mappings

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "preload" / "preload.so"
SOL_PACKET, PACKET_HUGE_INFO = 263, 0x4806
MIB = 1 << 20
# A guest under TCG takes half a minute to import scapy.
DEADLINE_S = helpers.DEADLINE_S * (4 if "HUGEPCAP_GUEST" in os.environ else 1)


def kernel_has_policies() -> bool:
    if os.geteuid() != 0:
        return False
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        try:
            sock.getsockopt(SOL_PACKET, PACKET_HUGE_INFO, 72)
        except OSError:
            return False
    return True


def environment(*, shim: bool = True, library: object = LIBRARY, **settings: object) -> dict[str, str]:
    """settings: policy="thp", ring="64M" and so on; no HUGEPCAP_ variable of the caller's gets through."""
    plain = {name: value for name, value in child_environment().items() if not name.startswith("HUGEPCAP_")}
    if shim:
        plain["LD_PRELOAD"] = str(library)
    plain.update((f"HUGEPCAP_{name.upper()}", str(value)) for name, value in settings.items() if value is not None)
    return plain


def run(command: list[object], deadline_s: float = DEADLINE_S, folder: Path | None = None,
        **settings: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(word) for word in command], env=environment(**settings), text=True, timeout=deadline_s,
                          cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class RingMapping(NamedTuple):
    """A ring as smaps has it. Sizes in bytes; `huge` is what PMD entries map."""

    name: str
    bytes: int
    page_bytes: int
    huge: int


def ring_mappings(pid: int) -> list[RingMapping]:
    """The mappings of packet sockets and of the shim's own memory, which alone is hugetlb."""
    found = []
    for _, _, name, sizes in mappings(pid):
        page_bytes = sizes["KernelPageSize"]
        if name.startswith("socket:") or page_bytes > 4096:
            huge = sizes["Size"] if page_bytes > 4096 else sizes["FilePmdMapped"] + sizes["ShmemPmdMapped"]
            found.append(RingMapping(name, sizes["Size"], page_bytes, huge))
    return found


def children(parent: int) -> list[int]:
    stats = [path.read_text().rpartition(")") for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    return [int(name.split()[0]) for name, _, rest in stats if int(rest.split()[1]) == parent]


class Program:
    """A capturing program. Its output goes to a file, so that no full pipe can hold it up."""

    def __init__(self, command: list[object], ready: str, **settings: object) -> None:
        self.command = [str(word) for word in command]
        self.log = tempfile.TemporaryFile()
        self.child = subprocess.Popen(self.command, env=environment(**settings), stdin=subprocess.PIPE,
                                      stdout=self.log, stderr=subprocess.STDOUT)
        self.wait_for(ready)

    def said(self) -> str:
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def wait_for(self, words: str) -> None:
        def there() -> bool:
            assert self.child.poll() is None or words in self.said(), f"{self.command} ended: {self.said()}"
            return words in self.said()

        wait_until(there, f"{self.command} to say {words!r}", DEADLINE_S)

    def rings(self) -> list[RingMapping]:
        """Its own and those of its children: tshark captures in one."""
        return [ring for pid in (self.child.pid, *children(self.child.pid)) for ring in ring_mappings(pid)]

    def tell(self, line: str) -> None:
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def end(self, how: int = signal.SIGTERM) -> int:
        self.child.send_signal(how)
        return self.finish()

    def finish(self) -> int:
        return self.child.wait(DEADLINE_S)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(DEADLINE_S)
        self.child.stdin.close()
        self.log.close()
