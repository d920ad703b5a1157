# SPDX-License-Identifier: BSD-3-Clause
"""docs/results/files.md: reading and writing capture files."""

from .common import by_sizes, label, met, named, ratio, spread, table

PROMISED = (("next_batch", "pcapy-ng", 8), ("reader", "dpkt", 50))
OURS = {"batches": "batches()", "mapped batches": "batches() of a mapped file"}


def rows(cases):
    """Quickest first, each with how many times as much as the first it costs."""
    cases = sorted(cases, key=lambda case: min(case["ns_per_packet"]))
    least = min(cases[0]["ns_per_packet"])
    return [[case["engine"], case["way"], spread(case["ns_per_packet"]), f"{min(case['ns_per_packet']) / least:.1f}"]
            for case in cases]


def promises(cases):
    taken = {(case["engine"], case["way"]): case["ns_per_packet"] for case in cases}
    for way, engine, promised in PROMISED:
        for ours, said in OURS.items():
            if (engine, way) in taken and ("hugepcap", ours) in taken:
                value, words = ratio(taken[engine, way], taken["hugepcap", ours])
                yield f"{said} is {words} times as fast as {engine}'s {way}; {promised} is promised: {met(value >= promised)}."


def section(kind, sizes, cases):
    said = f"## To {kind} packets of {named(sizes)} bytes\n\n"
    said += table(["engine", "way", "ns a packet", "times the least"], rows(cases))
    promised = "\n".join(f"- {line}" for line in promises(cases)) if kind == "read" else ""
    return said + "\n" + (f"\n{promised}\n" if promised else "")


def page(results):
    sections = [section(kind, sizes, some) for kind in ("read", "write") for sizes, cases in by_sizes(results["cases"])
                if (some := [case for case in cases if case["kind"] == kind])]
    return f"""# Files: reading and writing captures that are in the page cache

{label(results)}

Nanoseconds of CPU per packet, opening and closing included, importing not: the least of the rounds, in which the engines
took turns, and in brackets the most. `batches()` touches every column. What was timed read as many packets as the file
has and was then at its end; each process read a smaller file by the same way as well, of which every byte it gave was
checked; every file written was compared with the one it must be. The page cache took the files from the disk by
reading ahead. `mapped batches` are of `open_offline(path, mapped=True)`. No library is what nobody can do without: `read` only
has the bytes copied (and is not checked), `read+walk` goes from each length to the next, `mmap+walk` does so in a mapping
of the file.

{chr(10).join(sections)}"""
