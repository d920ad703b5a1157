# SPDX-License-Identifier: BSD-3-Clause
"""At which level of the page tables a running program's ring is mapped, for the program and for the kernel.

The user's side comes from smaps. The kernel's comes from the dumped page tables (CONFIG_PTDUMP_DEBUGFS) where there are
any: of the areas that came into the vmalloc range with the ring, or else of the direct map's part with the ring's page
frames. Without a dump PACKET_HUGE_INFO tells the page size, or on a stock kernel whether the frames of a block are
neighbours; that it is the direct map is then assumed, and its entries are taken to be as most of /proc/meminfo's.
"""
from __future__ import annotations

import os
import re
import struct
from itertools import groupby
from pathlib import Path

from helpers.smaps import mapping_at

PAGE, HUGE, GIANT = 4 << 10, 2 << 20, 1 << 30
FRAME_MASK = (1 << 55) - 1
PTDUMP = Path("/sys/kernel/debug/page_tables/kernel")
LEVELS = {"pte": PAGE, "pmd": HUGE, "pud": GIANT}


def user_page(fields: dict[str, int], ring_bytes: int) -> int:
    if fields.get("FilePmdMapped", 0) >= ring_bytes:
        return HUGE
    return fields["KernelPageSize"]


def frame_runs(pid: int, address: int, ring_bytes: int) -> list[list[int]]:
    """[first frame, frames] of each stretch of neighbours, in the ring's order."""
    with open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        pagemap.seek(address // PAGE * 8)
        entries = struct.unpack(f"{ring_bytes // PAGE}Q", pagemap.read(ring_bytes // PAGE * 8))
    numbers = enumerate(entry & FRAME_MASK for entry in entries)
    runs = (list(run) for _, run in groupby(numbers, key=lambda pair: pair[1] - pair[0]))
    return [[run[0][1], len(run)] for run in runs]


def direct_map_page() -> int:
    """The size of most of the direct map's entries."""
    text = Path("/proc/meminfo").read_text()
    kilobytes = {size: int(kb) for size, kb in re.findall(r"DirectMap(\w+):\s+(\d+) kB", text)}
    most = max(kilobytes, key=lambda size: kilobytes[size], default="4k")
    return {"4k": PAGE, "2M": HUGE, "1G": GIANT}[most]


def areas() -> set[tuple[int, int]]:
    """What is mapped in the vmalloc range, without each area's guard page; empty for who may not see it."""
    if not os.access("/proc/vmallocinfo", os.R_OK):
        return set()
    found = re.findall(r"0x(\w+)-0x(\w+)", Path("/proc/vmallocinfo").read_text())
    return {(int(start, 16), int(end, 16) - PAGE) for start, end in found}


def mapped(ranges: list[tuple[int, int]], dump: str) -> dict[str, int]:
    """Bytes of these ranges that a dump has at each level, as {level: bytes}."""
    found: dict[str, int] = {}
    for start, end, level in re.findall(r"^\s*0x(\w+)-0x(\w+)\s.* NX (pte|pmd|pud)\s*$", dump, re.M):
        covered = sum(max(0, min(int(end, 16), high) - max(int(start, 16), low)) for low, high in ranges)
        if covered:
            found[level] = found.get(level, 0) + covered
    return found


def direct_ranges(runs: list[list[int]], dump: str) -> list[tuple[int, int]]:
    base = int(re.search(r"Low Kernel Mapping.*\n\s*0x(\w+)-", dump)[1], 16)
    return [(base + first * PAGE, base + (first + count) * PAGE) for first, count in runs]


def dumped(runs: list[list[int]], new: list[tuple[int, int]], dump: str) -> dict:
    """The kernel's side as its page tables have it; the page size is that of most of the ring."""
    found = mapped(new or direct_ranges(runs, dump), dump)
    return {"kernel_via": "vmalloc" if new else "direct map", "kernel_levels": found,
            "kernel_page_bytes": LEVELS[max(found, key=lambda level: found[level])], "told_by": "page-table dump"}


def assumed(runs: list[list[int]], told: int | None) -> dict:
    direct = told != PAGE if told else min(count for _, count in runs) * PAGE >= HUGE
    source = "PACKET_HUGE_INFO" if told else "pagemap"
    return {"kernel_via": "direct map" if direct else "vmalloc", "kernel_page_bytes": direct_map_page() if direct else PAGE,
            "told_by": f"{source}; unknown, direct map assumed" if direct else source}


def of(pid: int, ready: dict, before: set[tuple[int, int]]) -> dict | None:
    """What a program that said where its ring is has got; None for one that did not say. `before`: areas() without it."""
    if "address" not in ready:
        return None
    address, ring_bytes = ready["address"], ready["ring_bytes"]
    runs = frame_runs(pid, address, ring_bytes)
    if os.access(PTDUMP, os.R_OK):
        new = [area for area in areas() - before if area[1] - area[0] >= HUGE]
        kernel = dumped(runs, new, PTDUMP.read_text())
    else:
        kernel = assumed(runs, ready.get("kernel_page_bytes"))
    return {"address": address, "ring_bytes": ring_bytes, "frame_runs": runs,
            "user_page_bytes": user_page(mapping_at(address, pid).sizes, ring_bytes), **kernel}
