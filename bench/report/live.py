# SPDX-License-Identifier: BSD-3-Clause
"""docs/results/live.md: the highest rate without loss, and the loss above it."""

from .common import MIB, by_sizes, label, named, spread, table, who

SHORT = 0.98    # of the rate asked for: test_live's


def of_factor(rounds, place):
    return [one[place] for one in rounds]


def loss(case, place):
    """The range of the share lost, and the mean rate that was reached."""
    packets, drops, reached = (of_factor(case[name], place) for name in ("packets", "drops", "reached_pps"))
    lost = [100 * drop / (drop + seen) for drop, seen in zip(drops, packets)]
    return f"{min(lost):.1f} to {max(lost):.1f} % at {sum(reached) / len(reached) / 1e3:.0f}"


def row(case):
    rate = f"{case['lossless_pps'] / 1e3:.0f} to {case['lossy_pps'] / 1e3:.0f}"
    short = sum(trial["reached_pps"] < SHORT * trial["asked_pps"] for trial in case["trials"])
    return [who(case), rate + (", the generator's most" if case["limited"] else ""), f"{short} of {len(case['trials'])}",
            *(loss(case, place) for place in range(len(case["factors"]))),
            *(spread(of_factor(case["cpu_per_million"], place), 2) for place in (0, -1))]


def section(sizes, cases):
    factors = cases[0]["factors"]
    head = ["engine, way", "without loss", "short", *(f"loss, {factor:g} times asked for" for factor in factors),
            "CPU s per million packets", f"at {factors[-1]:g} times"]
    return f"## Packets of {named(sizes)} bytes\n\n{table(head, map(row, cases))}\n"


def page(results):
    some = results["cases"][0]
    seconds = (some["packets"][0][0] + some["drops"][0][0]) / some["reached_pps"][0][0]
    return f"""# Live: the highest rate without loss, and the loss above it

{label(results)}

Thousands of packets a second, of each of which the reader takes a SHA3-256 (Python's, and the same library's in C):
without work every engine keeps up with all that the generator can send here. Rings of {some['ring_bytes'] // MIB} MiB. The rate
without loss lies between the two given: two of three trials of {seconds:.1f} s decide on a rate of the bisection; one in
which the generator fell short of its rate does not count (how many: "short"), and a rate that it could not keep is its
limit. The losses are the least and the most of {len(some['packets'])} trials, at the rate that was reached: one moment in which the virtual machine
stood still is a loss. CPU seconds: the least and in brackets the most. The generator has the other CPU, whose interrupts
fill the ring. All packets came in order, their hashes were those of what was sent without what was dropped, and packets
and drops are together what was sent.

""" + "\n".join(section(*group) for group in by_sizes(results["cases"]))
