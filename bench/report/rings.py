# SPDX-License-Identifier: BSD-3-Clause
"""The pages of the suites of one table: walk, open, corunner, fanout."""

from .common import MIB, PAGE, is_alone, label, named, ratio, spread, table, who


def walk(results):
    cases = {(tuple(case["sizes"]), case["rings"], case["page"]): case for case in results["cases"]}
    some = results["cases"][0]
    pages = [page for page in PAGE.values() if any(key[2] == page for key in cases)]
    rows = []
    for sizes, rings in sorted({key[:2] for key in cases}, key=lambda key: (sum(key[0]), key[1])):
        each = [cases.get((sizes, rings, page), {}).get("ns_per_packet") for page in pages]
        gains = [f"{(1 - min(other) / min(each[0])) * 100:+.0f} %" if other and each[0] else "" for other in each[1:]]
        rows.append([named(sizes), rings, *(spread(ns) if ns else "" for ns in each), *gains])
    lacking = ", ".join(some["lacking"])
    missing = f"Not available on this machine, so not measured: pages of {lacking}.\n" if lacking else ""
    return f"""# Walk: reading a ring's headers in C, by page size

{label(results)}

Nanoseconds of CPU per packet, the least of the rounds and in brackets the most, of walking {some['total_bytes'] // MIB} MiB of blocks
that nobody fills meanwhile, a packet of each ring in turn, touching each packet's header and first bytes. Every
packet's number is summed and held against what it must be; smaps has shown the pages. "Saved" is against 4 KiB; where
it is smaller than the spread it says nothing. Where sizes vary, the next packet's place is known only from the one before.
{missing}
{table(["bytes", "rings", *pages, *[f"saved by {page}" for page in pages[1:]]], rows)}
"""


def opening(results):
    rows = [[f"{case['ring_bytes'] // MIB} MiB", who(case, way=False), PAGE[case["page_bytes"]], spread(sum(case["ms"], [])),
             max(case["tables"]) >> 10] for case in results["cases"]]
    return f"""# Open: a ring opened, mapped and closed

{label(results)}

Milliseconds, the least and in brackets the most, and KiB that the process's page tables grew by (VmPTE). smaps has shown
the mapping to be the ring's size, and after each process's openings one more ring of the kind gave every packet that came.

{table(["ring", "engine", "reader's pages", "ms", "KiB of page tables"], rows)}
"""


def corunner(results):
    cases = results["cases"]
    alone = next((case for case in cases if is_alone(case)), None)
    rows = [["nobody" if case is alone else who(case), PAGE[case["page_bytes"]], spread(case["ns_per_step"]),
             ratio(case["ns_per_step"], alone["ns_per_step"])[1] if alone and case is not alone else "",
             f"{max(case['steps_per_s']) / 1e6:.2f} ({min(case['steps_per_s']) / 1e6:.2f})",
             f"{min(case['capture_cpu']) * 100:.1f}", max(case["drops"])] for case in cases]
    return f"""# Corunner: what a capture does to another program on its CPU

{label(results)}

A chase of pointers through 64 MiB, beside a capture of {cases[0]['rate_pps']:,} packets of {named(cases[0]['sizes'])} bytes a second that only reads
them; without one ("nobody") the same packets come. A step's CPU time, the least of the rounds and in brackets the most,
tells what the capture's use of caches and TLB costs; millions of steps a second, the most and in brackets the least,
what its use of the CPU costs as well. Each capture then read some packets more, every byte right. The packets' sender has
the other CPU, but memory and last-level cache are everybody's.

{table(["capture", "pages", "ns of CPU a step", "times nobody's", "million steps/s", "the capture's CPU, %", "drops"], rows)}
"""


def rates(case, clock):
    return [packets / seconds / 1000 for packets, seconds in zip(case["packets"], case[clock])]


def most(values):
    return f"{max(values):.0f} ({min(values):.0f})"


def fanout(results):
    cases = results["cases"]
    ones = {(case["processes"], case["work"]): case for case in cases if case["workers"] == 1}
    rows = []
    for case in cases:
        one = ones.get((case["processes"], case["work"]))
        beside = ratio(one["seconds"], case["seconds"])[1] if one and one is not case else ""
        share = max(max(shares) / sum(shares) for shares in case["shares"])
        rows.append([case["way"], most(rates(case, "seconds")), beside, most(rates(case, "cpu_seconds")), f"{share:.0%}"])
    return f"""# Fanout: two workers beside one, when every packet is work

{label(results)}

Each worker takes the SHA3-256 of every packet of {named(cases[0]['sizes'])} bytes, out of rings that were filled before the clock
started, at real-time priority: {cases[0]['packets'][0]} packets, shared by `hash`, none lost, the sum of the hashes the generator's.
With "flows()" it decodes every batch {cases[0]['decoded_times']} times instead, without the interpreter's lock; the sum of the payloads is
the generator's. Thousands of packets a second: the best of {len(cases[0]['seconds'])} rounds taken in turns, and in brackets the worst.

{table(["workers", "a second of wall time", "beside one", "a second of CPU time", "largest share of one worker"], rows)}

Threads share the interpreter's lock: where the work per packet is Python's, the second one waits for the first.
Processes do not, and threads do not where the work is on whole batches and in C. Two of them cannot be twice as fast
where flows do not fall evenly, and where two virtual CPUs are one core's.
"""
