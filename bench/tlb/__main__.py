# SPDX-License-Identifier: BSD-3-Clause
"""python -m tlb: the modelled misses of every policy, as JSON."""

import json

from .model import CPUS, GIB, KIB, MIB
from .walk import misses_per_packet

# policy -> page of the user's side, of the kernel's: as guests of 6.12 printed them for blocks of 256 KiB, from
# smaps and the dumped page tables (kernel/README.md). A direct map of 1 GiB pages is that guest's; hugetlb's kernel
# side lay partly in a 1 GiB page, and is reckoned here as if none of it did.
LEVELS = {
    "stock, gfpnoretry, gfpretry": (4 * KIB, GIB), "vzalloc": (4 * KIB, 4 * KIB),
    "thp": (2 * MIB, GIB), "hugetlb": (2 * MIB, 2 * MIB),
}
# The thesis's patch, by its own account: huge on one side each.
THESIS = {"thesis TRANSHUGE": (4 * KIB, GIB), "thesis HUGETLB": (2 * MIB, 4 * KIB)}
RING, BLOCK, RINGS = 64 * MIB, 256 * KIB, (1, 64, 512)
SIZES = 64, 1400
COUNTED = 80_000    # packets of all rings, where there are many


def results():
    """Policies share page sizes, so each page size is reckoned once."""
    known = {}

    def of(cpu, page, size, rings):
        key = cpu.name, page, size, rings
        if key not in known:
            known[key] = misses_per_packet(cpu, page, ring_bytes=RING, block_bytes=BLOCK, packet=size, rings=rings,
                                           packets=None if rings == 1 else COUNTED // rings)
        return known[key]

    for cpu in CPUS:
        for size in SIZES:
            for rings in RINGS:
                for policy, pages in {**LEVELS, **THESIS}.items():
                    yield {"cpu": cpu.name, "source": cpu.source, "size": size, "rings": rings, "policy": policy,
                           "user_page": pages[0], "kernel_page": pages[1],
                           "user": of(cpu, pages[0], size, rings), "kernel": of(cpu, pages[1], size, rings)}


if __name__ == "__main__":
    print(json.dumps({"ring_bytes": RING, "block_bytes": BLOCK, "results": list(results())}, indent=1))
