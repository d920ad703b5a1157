# SPDX-License-Identifier: BSD-3-Clause
"""At which level of the page tables a ring is mapped, for the reader and for the kernel."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from pathlib import Path

import pytest

from rings import DEBUG, HUGE, HUGE_POLICIES, KIB, MIB, POLICIES, Ring, check, info, libc, smaps

RING = 64 * MIB
PAGE = 4 * KIB
PTDUMP = Path("/sys/kernel/debug/page_tables")
Range = tuple[int, int]


def frames(ring: Ring) -> list[int]:
    """Page frame numbers of the first page of each 256 KiB block."""
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        numbers = []
        for block in range(RING // ring.block):
            pagemap.seek((ring.memory.address + block * ring.block) // PAGE * 8)
            numbers.append(struct.unpack("Q", pagemap.read(8))[0] & (1 << 55) - 1)
    return numbers


def areas() -> set[Range]:
    """What is mapped in the vmalloc range; each area ends with a guard page."""
    text = Path("/proc/vmallocinfo").read_text()
    return {(int(start, 16), int(end, 16) - PAGE) for start, end in re.findall(r"0x(\w+)-0x(\w+)", text)}


def dumped() -> str:
    """The page tables of this process, with the kernel's half."""
    return (PTDUMP / "current_kernel").read_text()


def levels(ranges: list[Range], dump: str) -> dict[str, int]:
    """How many entries of each level the page table needs for these ranges."""
    size = {"pte": PAGE, "pmd": HUGE, "pud": 1 << 30}
    entries: dict[str, set[int]] = {}
    for line in dump.splitlines():
        if not (found := re.match(r"0x(\w+)-0x(\w+)\s.* NX (pte|pmd|pud)$", line.strip())):
            continue
        start, end, level = int(found[1], 16), int(found[2], 16), found[3]
        for low, high in ranges:
            if max(start, low) < min(end, high):
                first, last = max(start, low) // size[level], (min(end, high) - 1) // size[level]
                entries.setdefault(level, set()).update(range(first, last + 1))
    return {level: len(found) for level, found in entries.items()}


def direct_map(ring: Ring, dump: str) -> list[Range]:
    base = int(re.search(r"Low Kernel Mapping.*\n0x(\w+)-", dump)[1], 16)
    return [(base + pfn * PAGE, base + pfn * PAGE + ring.block) for pfn in frames(ring)]


def level_table(ring: Ring, new: list[Range]) -> tuple[dict[str, int], dict[str, int], str]:
    address = ring.memory.address
    dump = dumped()
    user = levels([(address, address + ring.total)], dump)
    if new:
        return user, levels(new, dump), "vmalloc range"
    return user, levels(direct_map(ring, dump), dump), "direct map"


# The dump of the debug kernel, with KASAN's shadow, takes a minute: it has one size, and nobody's base pages.
BLOCKS = {"256K": 256 * KIB} if DEBUG else {"256K": 256 * KIB, "2M": 2 * MIB, "4M": 4 * MIB}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("policy", ["STOCK", *HUGE_POLICIES] if DEBUG else POLICIES[1:])
def test_levels_of_64_mib(policy, block, table):
    before = areas()
    with Ring(policy, block, RING) as ring:
        new = [area for area in areas() - before if area[1] - area[0] >= block]
        ctypes.memset(ring.memory.address, 0, RING)
        user, kernel, through = level_table(ring, new)
        got = info(ring.sock)
        table.append(f"64 MiB in blocks of {block // KIB:>4} KiB, {policy:<10}: user {user}, kernel {kernel}, {through}")
        if policy in HUGE_POLICIES:
            assert user == {"pmd": 32}
            assert kernel and "pte" not in kernel
            assert got.user_page_bytes == got.kernel_page_bytes == HUGE
            assert got.user_huge_bytes == got.kernel_huge_bytes == RING
            assert got.reason == 0
        else:
            assert user == {"pte": RING // PAGE}
            assert got.user_page_bytes == PAGE and got.user_huge_bytes == 0
        if policy == "VZALLOC":
            assert kernel == {"pte": RING // PAGE}
            assert got.kernel_page_bytes == PAGE and got.kernel_huge_bytes == 0


def test_blocks_over_scattered_pages_stay_huge_for_the_kernel(table):
    """Blocks of 12 KiB cross huge pages, which are not neighbours: an area of PMD entries."""
    before = areas()
    with Ring("HUGETLB", 12 * KIB, 12 * KIB * 1000, frame=12 * KIB) as ring:
        kernel = levels([area for area in areas() - before if area[1] - area[0] >= HUGE], dumped())
        assert info(ring.sock).kernel_page_bytes == HUGE
        assert "pte" not in kernel
        table.append(f"12 MiB in blocks of   12 KiB, HUGETLB   : kernel {kernel or 'direct map, the pages are neighbours'}")


def test_unaligned_mapping_falls_back_and_says_so():
    with Ring("TRANSHUGE", 256 * KIB, 4 * MIB) as ring:
        ring.view.release()
        ring.memory.close()
        ring.memory = type(ring.memory)(6 * MIB, 0x22, align=True)
        at = check(libc.mmap(ring.memory.address + PAGE, ring.total, 3, 0x11, ring.sock.fileno(), 0))
        ctypes.memset(at, 1, ring.total)
        got, fields = info(ring.sock), smaps(at)
        assert fields["FilePmdMapped"] == 0 and fields["Rss"] * KIB == ring.total
        assert (got.user_huge_bytes, got.user_page_bytes, os.strerror(got.reason)) == (0, PAGE, "Invalid argument")
        assert got.kernel_huge_bytes == ring.total
        ring.view = ring.memory.view()


def test_end_of_ring_that_fills_no_huge_page():
    with Ring("TRANSHUGE", 256 * KIB, 3 * MIB) as ring:
        ctypes.memset(ring.memory.address, 1, ring.total)
        got = info(ring.sock)
        assert (got.user_huge_bytes, got.kernel_huge_bytes) == (2 * MIB, 3 * MIB)
        assert smaps(ring.memory.address)["FilePmdMapped"] * KIB == 2 * MIB
        assert smaps(ring.memory.address)["Rss"] * KIB == 3 * MIB
