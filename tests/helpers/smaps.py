# SPDX-License-Identifier: BSD-3-Clause
"""/proc/PID/smaps: what a process has mapped, and in pages of which size. Source: proc_pid_smaps(5)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Mapping(NamedTuple):
    """`sizes`: each of its fields that is one, in bytes."""

    start: int
    end: int
    name: str
    sizes: dict[str, int]


def mappings(pid: int | str = "self") -> list[Mapping]:
    found: list[Mapping] = []
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+ *(.*)", line):
            found.append(Mapping(int(head[1], 16), int(head[2], 16), head[3], {}))
        elif field := re.match(r"(\w+): +(\d+) kB", line):
            found[-1].sizes[field[1]] = int(field[2]) << 10
    return found


def mapping_at(address: int, pid: int | str = "self") -> Mapping:
    """Raises LookupError where nothing is mapped."""
    for mapping in mappings(pid):
        if mapping.start <= address < mapping.end:
            return mapping
    raise LookupError(f"process {pid} has no mapping at {address:#x}")


def ring_pages(pid: int | str = "self") -> list[tuple[int, int]]:
    """Of each packet ring that a process has mapped, the bytes and the bytes of a page."""
    return [(found.sizes["Size"], found.sizes["MMUPageSize"]) for found in mappings(pid)
            if "socket:[" in found.name or "memfd:hugepcap" in found.name]
