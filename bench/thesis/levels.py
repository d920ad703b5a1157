# SPDX-License-Identifier: BSD-3-Clause
"""At which level of the page tables a running program's ring is mapped, for the program and for the kernel.

The user's side comes from smaps, the kernel's from PACKET_HUGE_INFO where the kernel has it. On a stock kernel,
blocks whose page frames are neighbours were got from the buddy allocator and are reached through the direct map;
others through vmalloc, in pages of 4 KiB. The direct map's own entries are taken from /proc/meminfo.
"""

import re
import struct
from itertools import groupby
from pathlib import Path

from helpers.smaps import mapping_at

PAGE, HUGE, GIANT = 4 << 10, 2 << 20, 1 << 30
FRAME_MASK = (1 << 55) - 1


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


def of(pid: int, ready: dict) -> dict | None:
    """What a program that said where its ring is has got; None for one that did not say."""
    if "address" not in ready:
        return None
    address, ring_bytes = ready["address"], ready["ring_bytes"]
    runs = frame_runs(pid, address, ring_bytes)
    told = ready.get("kernel_page_bytes")
    direct = told != PAGE if told else min(count for _, count in runs) * PAGE >= HUGE
    return {"address": address, "ring_bytes": ring_bytes, "frame_runs": runs,
            "user_page_bytes": user_page(mapping_at(address, pid).sizes, ring_bytes),
            "kernel_via": "direct map" if direct else "vmalloc",
            "kernel_page_bytes": direct_map_page() if direct else PAGE,
            "told_by": "PACKET_HUGE_INFO" if told else "pagemap"}
