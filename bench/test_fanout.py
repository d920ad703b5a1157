# SPDX-License-Identifier: BSD-3-Clause
"""Fanout: what two workers on two cores carry beside one, when each packet is work: a hash of all its bytes.

As in the drain, the packets are in the rings before the clock starts, so that the sender takes nobody's core; the
workers run before all that is not real-time (SCHED_FIFO), so that nothing else on the machine does. A round's wall
time is from the workers' common start to the last one's last packet. The sum of all hashes must be the generator's.
"""

import functools
import os
import time

import pytest
from engines import Cell
from manifest import MASK, Wrong, hash_of, manifest
from record import in_turns, record

import hugepcap
from hugepcap._generate import generate

ROUNDS = 5
SIZES, PACKETS, RING_BYTES, QUICK_PACKETS = (1400, 1400), 100_000, 256 << 20, 5000
FLOWS = 256    # enough that "hash" shares them evenly
DEADLINE_S = 60
START_S = 0.5    # until when all workers have been told to start
CASES = {"one thread": (1, False), "two threads": (2, False), "one process": (1, True), "two processes": (2, True)}
CELLS = [Cell("hugepcap", case) for case in CASES]


def hash_all(begin, reader):
    """Begins when the clock says so: (packets, sum of their hashes, CPU seconds, wall clock at the last packet, ring's pages)."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))    # this thread alone, which ends with this function
    time.sleep(max(begin - time.monotonic(), 0))
    packets = total = 0
    cpu, ended, used = time.thread_time(), begin, 0.0
    for batch in reader.batches():
        with batch:
            for packet in batch:
                total += hash_of(packet)
            packets += len(batch)
        ended, used = time.monotonic(), time.thread_time() - cpu
    return packets, total, used, ended, reader.ring.user_page_bytes


def wait_for(fanout, count):
    end = time.monotonic() + DEADLINE_S
    while fanout.stats().total[0] < count:
        if time.monotonic() > end:
            raise Wrong(f"fanout: {fanout.stats()}: {count} packets were sent")


def check(cell, totals, packets, stats, count):
    right = manifest(0, SIZES, seed=SIZES[0], flows=FLOWS).hash(0, count)
    if sum(packets) != count or stats != (count, 0, 0) or sum(totals) & MASK != right:
        raise Wrong(f"fanout, {cell}: {packets} packets, {stats} counted, of {count}; "
                    f"hashes {'right' if sum(totals) & MASK == right else 'wrong'}")


def measure(cell, link, count):
    workers, processes = CASES[cell.way]
    with hugepcap.open_fanout(link.far, workers, "hash", processes=processes, ring_bytes=RING_BYTES, policy=cell.policy,
                              strict=True) as fanout:
        assert generate(link.near, count, sizes=SIZES, seed=SIZES[0], flows=FLOWS).packets == count
        wait_for(fanout, count)
        begin = time.monotonic() + START_S
        fanout.start(functools.partial(hash_all, begin))
        results = fanout.stop()
        stats = fanout.stats().total
    packets, totals, used, ended, pages = zip(*results)
    check(cell, totals, packets, stats, count)
    return {"seconds": max(ended) - begin, "cpu_seconds": sum(used), "shares": packets, "packets": count, "drops": 0,
            "page_bytes": min(pages)}


@pytest.fixture(scope="session")
def taken(quick, chosen, link):
    return in_turns(chosen("fanout", CELLS), 1 if quick else ROUNDS,
                    lambda cell: measure(cell, link, QUICK_PACKETS if quick else PACKETS))


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_fanout(benchmark, taken, cell):
    workers, processes = CASES[cell.way]
    record(benchmark, "fanout", cell, taken[cell], group=f"fanout {SIZES[0]} B: a hash of every packet", sizes=SIZES,
           workers=workers, processes=processes, ring_bytes=RING_BYTES, each=["seconds", "cpu_seconds", "shares"])
