# SPDX-License-Identifier: BSD-3-Clause
"""Unmodified capture programs: how each is called, and the word by which it says that it captures."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Callable, NamedTuple

READERS = Path(__file__).parent / "readers"


class Tool(NamedTuple):
    command: Callable[[str, int, Path], list[object]]    # of the device, the number of packets and the file
    ready: str
    needs: str    # a Debian program, or a module of PyPI after "python:"
    ends: bool = True    # by itself after that many packets; otherwise after SIGINT


def _tcpdump(*extra: str) -> Callable[[str, int, Path], list[object]]:
    return lambda device, count, file: ["tcpdump", "-n", "-Z", "root", *extra, "-i", device, "-c", count, "-w", file]


def _reader(name: str) -> Callable[[str, int, Path], list[object]]:
    return lambda device, count, file: [sys.executable, READERS / f"{name}.py", device, count, file]


TOOLS = {
    "tcpdump": Tool(_tcpdump(), "listening on", "tcpdump"),
    "tcpdump V2": Tool(_tcpdump("--immediate-mode", "-s", "200"), "listening on", "tcpdump"),
    "dumpcap": Tool(lambda device, count, file: ["dumpcap", "-q", "-P", "-i", device, "-c", count, "-w", file],
                    "File:", "dumpcap"),
    "tshark": Tool(lambda device, count, file: ["tshark", "-n", "-i", device, "-c", count, "-F", "pcap", "-w", file],
                   "Capture started", "tshark"),
    # Its own ring would be of 2.3 GiB on a veth; --num waits for one block more than the packets fill.
    "netsniff-ng": Tool(lambda device, count, file: ["netsniff-ng", "--in", device, "--out", file, "--silent",
                                                     "--clrw", "--ring-size", "2MiB"],
                        "Running!", "netsniff-ng", ends=False),
    "pcapy-ng": Tool(_reader("pcapy_ng"), "ready", "python:pcapy"),
    "cypcap": Tool(_reader("cypcap_reader"), "ready", "python:cypcap"),
    "scapy": Tool(_reader("scapy_reader"), "ready", "python:scapy"),
}


def missing(tool: Tool) -> str | None:
    """Why the tool cannot be run here."""
    kind, _, module = tool.needs.rpartition(":")
    if kind == "python":
        from importlib.util import find_spec
        return None if find_spec(module) else f"no module {module}: pip install {module}"
    return None if shutil.which(tool.needs) else f"no program {tool.needs}"
