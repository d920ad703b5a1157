# SPDX-License-Identifier: BSD-3-Clause
"""python -m tlb: the modelled misses of every policy, as JSON; of rings mapped as those of a run of the thesis's experiments."""

import json
import sys
from datetime import date
from pathlib import Path

from .model import CPUS, GIB, KIB, MIB
from .walk import misses_per_packet

RESULTS = Path(__file__).resolve().parents[1] / "results"
# The thesis's patch, by its own account: huge on one side each.
THESIS = {"thesis TRANSHUGE": (4 * KIB, GIB), "thesis HUGETLB": (2 * MIB, 4 * KIB)}
RING, BLOCK, RINGS = 64 * MIB, 256 * KIB, (1, 64, 512)
SIZES = 64, 1400
COUNTED = 80_000    # packets of all rings, where there are many


def with_most_policies():
    """(file name, its result) of the run that has most policies, of those the newest."""
    found = [(path.name, json.loads(path.read_text())) for path in sorted(RESULTS.glob("thesis-*.json"))]
    if not found:
        sys.exit(f"no thesis-*.json in {RESULTS}: make thesis and make thesis-guest say how rings are mapped")
    return max(found, key=lambda pair: (len(pair[1]["mappings"]), pair[1]["machine"]["date"]))


def levels_of(thesis):
    """{policies: (page of the user's side, of the kernel's)}; policies that are mapped alike stand together."""
    alike = {}
    for mapping in thesis["mappings"]:
        pages = mapping["levels"]["user_page_bytes"], mapping["levels"]["kernel_page_bytes"]
        alike.setdefault(pages, []).append(mapping["policy"])
    return {", ".join(policies): pages for pages, policies in alike.items()}


def results(levels):
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
                for policy, pages in levels.items():
                    yield {"cpu": cpu.name, "source": cpu.source, "size": size, "rings": rings, "policy": policy,
                           "user_page": pages[0], "kernel_page": pages[1],
                           "user": of(cpu, pages[0], size, rings), "kernel": of(cpu, pages[1], size, rings)}


def main():
    name, thesis = with_most_policies()
    told = sorted({mapping["levels"]["told_by"] for mapping in thesis["mappings"]})
    print(json.dumps({"date": date.today().isoformat(), "levels_of": name, "told_by": "told by " + " or ".join(told),
                      "machine": thesis["machine"], "ring_bytes": RING, "block_bytes": BLOCK,
                      "results": list(results({**levels_of(thesis), **THESIS}))}, indent=1))


if __name__ == "__main__":
    main()
