# SPDX-License-Identifier: BSD-3-Clause
"""At which level of the page tables a ring is mapped, for the reader and for the kernel."""

from __future__ import annotations

import ctypes
import os
import re
import struct
from pathlib import Path

import pytest

from rings import HUGE, HUGE_POLICIES, KIB, MIB, POLICIES, Ring, check, info, libc, smaps

RING = 64 * MIB
PAGE = 4 * KIB
PTDUMP = Path("/sys/kernel/debug/page_tables/kernel")
DIRECT_MAP = 0xFFFF888000000000


def user_entries(ring: Ring) -> int:
    fields = smaps(ring.memory.address)
    if fields["KernelPageSize"] * KIB >= HUGE:
        return RING // HUGE
    huge = (fields["FilePmdMapped"] + fields["AnonHugePages"] + fields["ShmemPmdMapped"]) * KIB
    return huge // HUGE + (fields["Rss"] * KIB - huge) // PAGE


def frames(ring: Ring) -> list[int]:
    """Page frame numbers of the first page of each 256 KiB block."""
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        numbers = []
        for block in range(RING // ring.block):
            pagemap.seek((ring.memory.address + block * ring.block) // PAGE * 8)
            numbers.append(struct.unpack("Q", pagemap.read(8))[0] & (1 << 55) - 1)
    return numbers


def packet_areas() -> list[tuple[int, int]]:
    """Address ranges in vmalloc space that the packet code has mapped."""
    pattern = re.compile(r"0x(\w+)-0x(\w+)\s+\d+ (?:alloc_pg_vec|alloc_one_pg_vec_page|packet_\w+)")
    return [(int(start, 16), int(end, 16)) for start, end in pattern.findall(Path("/proc/vmallocinfo").read_text())]


def kernel_levels(ranges: list[tuple[int, int]]) -> dict[str, int]:
    """Entries of each level that the kernel's page table has for these ranges."""
    entries: dict[str, int] = {}
    size = {"pte": PAGE, "pmd": HUGE, "pud": 1 << 30}
    for line in PTDUMP.read_text().splitlines():
        if not (found := re.match(r"0x(\w+)-0x(\w+)\s.*\b(pte|pmd|pud)$", line.strip())):
            continue
        start, end, level = int(found[1], 16), int(found[2], 16), found[3]
        for low, high in ranges:
            overlap = min(end, high) - max(start, low)
            if overlap > 0 and " x " not in line and "NX" in line:
                entries[level] = entries.get(level, 0) + -(-overlap // size[level])
    return entries


def level_table(ring: Ring) -> tuple[int, dict[str, int]]:
    areas = packet_areas()
    if areas:
        return user_entries(ring), kernel_levels([(low, high - PAGE) for low, high in areas])
    return user_entries(ring), kernel_levels([(DIRECT_MAP + pfn * PAGE, DIRECT_MAP + pfn * PAGE + ring.block)
                                              for pfn in frames(ring)])


@pytest.mark.parametrize("block", [256 * KIB, 2 * MIB, 4 * MIB], ids=["256K", "2M", "4M"])
@pytest.mark.parametrize("policy", POLICIES[1:])
def test_levels_of_64_mib(policy, block, table):
    with Ring(policy, block, RING) as ring:
        ctypes.memset(ring.memory.address, 0, RING)
        user, kernel = level_table(ring)
        got = info(ring.sock)
        if block == 256 * KIB:
            table.append(f"64 MiB in blocks of 256 KiB, {policy:<10}: user entries {user:>5}, kernel {kernel or 'none'}"
                         f" ({'area of its own' if packet_areas() else 'direct map'})")
        if policy in HUGE_POLICIES:
            assert user == 32
            assert "pte" not in kernel and kernel
            assert got.user_page_bytes == got.kernel_page_bytes == HUGE
            assert got.user_huge_bytes == got.kernel_huge_bytes == RING
            assert got.reason == 0
        else:
            assert user == RING // PAGE
            assert got.user_page_bytes == PAGE and got.user_huge_bytes == 0
        if policy == "VZALLOC":
            assert kernel == {"pte": RING // PAGE}
            assert got.kernel_page_bytes == PAGE and got.kernel_huge_bytes == 0


def test_blocks_over_scattered_pages_stay_huge_for_the_kernel(table):
    """Blocks of 12 KiB cross huge pages, which are not neighbours: an area of PMD entries."""
    with Ring("HUGETLB", 12 * KIB, 12 * KIB * 1000, frame=12 * KIB) as ring:
        kernel = kernel_levels([(low, high - PAGE) for low, high in packet_areas()])
        assert info(ring.sock).kernel_page_bytes == HUGE
        assert "pte" not in kernel
        table.append(f"12 MiB in blocks of  12 KiB, HUGETLB   : kernel {kernel or 'direct map'}")


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
