# SPDX-License-Identifier: BSD-3-Clause
"""Corunner: what a capture does to another program on its CPU, a pointer chase over 64 MiB, by engine and policy.

Two figures: how much longer a step takes of the CPU time the chase gets (its caches and TLB are shared), and how much
fewer steps it makes in the same time (its CPU is, too). Without a capture the same packets come and nobody reads them.
Afterwards the chase ends, some packets more are sent, and each capture shows by their hashes what it reads.
"""

from contextlib import ExitStack

import pytest
from engines import LIBPCAP_C, Cell, by_policy, capturing
from manifest import Wrong, manifest
from pinned import child
from record import in_turns, record

from hugepcap._generate import generate

CHASE_BYTES, RING_BYTES = 64 << 20, 64 << 20
RATE_PPS, SECONDS, ROUNDS, QUICK_SECONDS = 100_000, 2, 3, 0.2
SIZES, CHECKED = (700, 1500), 2000
NOBODY = Cell("nobody", "none", "none")
CELLS = [NOBODY, Cell(LIBPCAP_C, "pcap_dispatch"), Cell("pcapy-ng", "dispatch"), Cell("pcapy-ng", "next_batch"),
         Cell("cypcap", "dispatch"), Cell("scapy", "recv_raw"), Cell("hugepcap", "dispatch"), Cell("hugepcap", "next_block"),
         *by_policy("next_block")]


def send(link, count, **options):
    sent = generate(link.near, count, sizes=SIZES, seed=1, flows=64, **options)
    assert sent.packets == count
    return count


def chased(chase, link, seconds):
    """The chase's answer over packets that come meanwhile, and how many those were."""
    with child([chase, CHASE_BYTES], "chase") as other:
        other.line()
        other.ask()
        sent = send(link, int(RATE_PPS * seconds), rate_pps=RATE_PPS)
        other.ask()
        return other.answer(), sent


def check(capture, sent, link):
    """What the capture answers of the packets that were sent; Wrong unless it reads the next ones as they are."""
    capture.ask(sent)
    captured = capture.answer()
    if captured["packets"] + captured["dropped"] != sent or captured["received"] != sent:
        raise Wrong(f"{capture.who}: {captured} of {sent} packets")
    capture.ask(send(link, CHECKED, first_seq=sent))
    manifest(sent, SIZES, seed=1, flows=64).check(capture.who, capture.answer(), sent + CHECKED)
    return captured


def measure(cell, c_programs, link, seconds):
    captured, page = {"packets": 0, "dropped": 0, "cpu": 0.0}, None
    with ExitStack() as stack:
        if cell != NOBODY:
            capture = stack.enter_context(capturing(cell, c_programs, "read", link, RING_BYTES))
            page = capture.told["page_bytes"]
        answer, sent = chased(c_programs["chase"], link, seconds)
        if cell != NOBODY:
            captured = check(capture, sent, link)
    ns_per_step = answer["cpu"] / answer["steps"] * 1e9
    return {"seconds": ns_per_step / 1e9, "ns_per_step": ns_per_step, "steps_per_s": answer["steps"] / answer["wall"],
            "capture_cpu": captured["cpu"] / answer["wall"], "packets": captured["packets"], "drops": captured["dropped"],
            "page_bytes": page}


@pytest.fixture(scope="session")
def taken(quick, chosen, c_programs, link, huge_pages):
    with huge_pages(RING_BYTES):
        return in_turns(chosen("corunner", CELLS), 1 if quick else ROUNDS,
                        lambda cell: measure(cell, c_programs, link, QUICK_SECONDS if quick else SECONDS))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_corunner(benchmark, taken, cell):
    record(benchmark, "corunner", cell, taken[cell], group="corunner", sizes=SIZES, rate_pps=RATE_PPS,
           each=["ns_per_step", "steps_per_s", "capture_cpu"])
