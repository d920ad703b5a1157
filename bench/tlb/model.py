# SPDX-License-Identifier: BSD-3-Clause
"""A data TLB of two levels, set-associative, each set replacing what was used longest ago.

What it leaves out: prefetches, caches of upper page-table levels, pages that a CPU joins into one entry, and
everything else that runs on the CPU. Real replacement is only near to the least recently used.
"""

from collections import OrderedDict
from typing import NamedTuple

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
ANY = (4 * KIB, 2 * MIB, GIB)


class Array(NamedTuple):
    """Entries of one structure; ways equal to entries: fully associative."""

    pages: tuple
    entries: int
    ways: int


class Cpu(NamedTuple):
    name: str
    source: str
    first: tuple
    second: tuple


BROADWELL_EP = Cpu(
    "Broadwell-EP", "Intel 64 and IA-32 Architectures Optimization Reference Manual (248966), Broadwell",
    first=(Array((4 * KIB,), 64, 4), Array((2 * MIB,), 32, 4), Array((GIB,), 4, 4)),
    second=(Array((4 * KIB, 2 * MIB), 1536, 6), Array((GIB,), 16, 4)))
# A 1 GiB page has no entry of its own in the second level: reloaded as parts of 2 MiB, left out here.
ZEN_4 = Cpu(
    "Zen 4", "AMD Software Optimization Guide for the Zen 4 Microarchitecture (57647), data TLBs",
    first=(Array(ANY, 72, 72),),
    second=(Array((4 * KIB, 2 * MIB), 3072, 24),))
CPUS = (BROADWELL_EP, ZEN_4)


class _Level:
    def __init__(self, arrays):
        self._of = {}
        for array in arrays:
            sets = [OrderedDict() for _ in range(array.entries // array.ways)]
            self._of.update((page, (sets, array.ways)) for page in array.pages)

    def hit(self, page, number):
        """Whether the entry is there; it is afterwards."""
        if page not in self._of:
            return False
        sets, ways = self._of[page]
        entries = sets[number % len(sets)]
        if (page, number) in entries:
            entries.move_to_end((page, number))
            return True
        if len(entries) == ways:
            entries.popitem(last=False)
        entries[page, number] = None
        return False


class Tlb:
    """misses: of the first level; walks: of both, so that the page table was read."""

    def __init__(self, cpu):
        self._first, self._second = _Level(cpu.first), _Level(cpu.second)
        self.misses = self.walks = 0

    def access(self, address, page):
        number = address // page
        if self._first.hit(page, number):
            return
        self.misses += 1
        if not self._second.hit(page, number):
            self.walks += 1
