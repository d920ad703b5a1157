# SPDX-License-Identifier: BSD-3-Clause
"""docs/results/drain.md: every way of reading a full ring beside pcapy-ng's."""

from .common import PAGE, by_sizes, label, met, named, ratio, spread, table, who

SMALL, LARGE = (64, 64), (1400, 1400)
# How many times as fast as pcapy-ng each way is promised to be.
PROMISED = {
    "loop": {SMALL: 1.8, LARGE: 1.8}, "next": {SMALL: 1.7, LARGE: 1.7}, "next_batch": {SMALL: 1.5, LARGE: 1.2},
    "loop_to_buffer": {SMALL: 1.5, LARGE: 1.5}, "loop_filtered": {SMALL: 1.5, LARGE: 1.5}, "batches": {SMALL: 2.0, LARGE: 7.0},
}
# What batches() may cost at most, as a share of these.
SHARES = {("libpcap (C)", "pcap_dispatch"): {SMALL: 0.8}, ("walk (C)", "walk"): {SMALL: 1.8}}
PEERS = {"batches": "next_batch"}    # what pcapy-ng has in its place
LABELS = {"batches": "batches(), every column touched (against next_batch)", "next_batch": "next_batch(1024)",
          "loop_filtered": "loop_filtered(admit_mask=0), which hugepcap only counts",
          "loop_filtered_set": "loop_filtered(admit_mask=0, addr_set of 1000)"}
COMPARED = ("pcapy-ng", "cypcap", "hugepcap")

HEAD = """# Drain: CPU time per packet of reading a full ring

{label}

Nanoseconds of CPU per packet: the least of {rounds} rounds, since whatever else the machine does only adds to it, and in
brackets the most. The ratio is pcapy-ng's least over hugepcap's, its range that of the rounds, in which all took turns.
All had the same ring bytes, mapped in pages of {pages} for the reader. After each timed reading as many as a tenth of its
packets came and were read by the same way: they were the next ones, every byte, so the timed reading took just those
before. Scapy has no ring, and fewer packets. Where loop_filtered() can admit nothing and has no set and no flows to look
into, hugepcap takes the number of packets from the head of each block, and walks none; with a set both look at all.
"""


def row(way, ns, sizes):
    ours, theirs = ns.get(("hugepcap", way)), ns.get(("pcapy-ng", PEERS.get(way, way)))
    said = [LABELS.get(way, way), *(spread(ns[engine, way]) if (engine, way) in ns else "" for engine in COMPARED)]
    if way in PEERS and theirs:
        said[1] = spread(theirs)
    if not (ours and theirs):
        return [*said, "", "", ""]
    value, words = ratio(theirs, ours)
    promised = PROMISED.get(way, {}).get(sizes)
    return [*said, words, promised or "", met(value >= promised) if promised else ""]


def beside(case, ours, sizes):
    """A row: hugepcap's batches() in terms of something else."""
    if not ours:
        return [who(case), PAGE[case["page_bytes"]], spread(case["ns_per_packet"]), "", "", ""]
    value, words = ratio(ours, case["ns_per_packet"])
    promised = SHARES.get((case["engine"], case["way"]), {}).get(sizes)
    return [who(case), PAGE[case["page_bytes"]], spread(case["ns_per_packet"]), words, f"at most {promised}" if promised else "",
            met(value <= promised) if promised else ""]


def section(sizes, cases):
    stock = [case for case in cases if case["engine"] in COMPARED and case["policy"] == "stock"]
    ns = {(case["engine"], case["way"]): case["ns_per_packet"] for case in stock}
    ways = table(["way", *COMPARED, "pcapy-ng's over hugepcap's", "promised", ""],
                 [row(way, ns, sizes) for way in dict.fromkeys(case["way"] for case in stock)])
    others = table(["beside them", "pages", "ns", "batches() costs, times that", "promised", ""],
                   [beside(case, ns.get(("hugepcap", "batches")), sizes) for case in cases if case not in stock])
    return f"## Packets of {named(sizes)} bytes\n\n{ways}\n\n{others}\n"


def page(results):
    cases = results["cases"]
    pages = ", ".join(sorted({PAGE[case["page_bytes"]] for case in cases if case["page_bytes"]}))
    rounds = max((len(case["ns_per_packet"]) for case in cases), default=0)
    return HEAD.format(label=label(results), rounds=rounds, pages=pages) + "\n" + "\n".join(
        section(*group) for group in by_sizes(cases))
