# SPDX-License-Identifier: BSD-3-Clause
"""Fanout: what two workers on two cores carry beside one, when each packet is work: a hash of all its bytes, which is
Python's for each packet, or flows() many times over, which is C's for many packets and without the GIL.

As in the drain, the packets are in the rings before the clock starts, so that the sender takes nobody's core; the
workers run before all that is not real-time (SCHED_FIFO), so that nothing else on the machine does. A round's wall
time is from the workers' common start to the last one's last packet. What they sum up must be the generator's.
"""

import functools
import os
import time

import numpy
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
HEADERS_BYTES = 14 + 20 + 8    # Ethernet, IPv4, UDP
DECODED_TIMES = 64    # so that what C does is most of the work, as it is for a hash


def hashes(batch):
    return sum(map(hash_of, batch))


def payload_bytes(batch):
    for _ in range(DECODED_TIMES):
        flows = batch.flows()
    return int(numpy.asarray(flows.payload_len).sum())


CASES = {"one thread": (1, False, hashes), "two threads": (2, False, hashes), "one process": (1, True, hashes),
         "two processes": (2, True, hashes), "one thread, flows()": (1, False, payload_bytes),
         "two threads, flows()": (2, False, payload_bytes)}
CELLS = [Cell("hugepcap", case) for case in CASES]


def work_on_all(work, begin, reader):
    """Begins when the clock says so: (packets, sum of their work, CPU seconds, wall clock at the last packet, ring's pages)."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))    # this thread alone, which ends with this function
    time.sleep(max(begin - time.monotonic(), 0))
    packets = total = 0
    cpu, ended, used = time.thread_time(), begin, 0.0
    for batch in reader.batches():
        with batch:
            total += work(batch)
            packets += len(batch)
        ended, used = time.monotonic(), time.thread_time() - cpu
    return packets, total, used, ended, reader.ring.user_page_bytes


def wait_for(fanout, count):
    end = time.monotonic() + DEADLINE_S
    while fanout.stats().total[0] < count:
        if time.monotonic() > end:
            raise Wrong(f"fanout: {fanout.stats()}: {count} packets were sent")


def right_total(work, count):
    if work is payload_bytes:
        return count * (SIZES[0] - HEADERS_BYTES)
    return manifest(0, SIZES, seed=SIZES[0], flows=FLOWS).hash(0, count)


def check(cell, totals, packets, stats, count):
    right = right_total(CASES[cell.way][2], count)
    if sum(packets) != count or stats != (count, 0, 0) or sum(totals) & MASK != right:
        raise Wrong(f"fanout, {cell}: {packets} packets, {stats} counted, of {count}; "
                    f"their sums {'right' if sum(totals) & MASK == right else 'wrong'}")


def measure(cell, link, count):
    workers, processes, work = CASES[cell.way]
    with hugepcap.open_fanout(link.far, workers, "hash", processes=processes, ring_bytes=RING_BYTES, policy=cell.policy,
                              strict=True) as fanout:
        assert generate(link.near, count, sizes=SIZES, seed=SIZES[0], flows=FLOWS).packets == count
        wait_for(fanout, count)
        begin = time.monotonic() + START_S
        fanout.start(functools.partial(work_on_all, work, begin))
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
    workers, processes, work = CASES[cell.way]
    record(benchmark, "fanout", cell, taken[cell], group=f"fanout {SIZES[0]} B: {work.__name__}", sizes=SIZES,
           workers=workers, processes=processes, work=work.__name__, decoded_times=DECODED_TIMES, ring_bytes=RING_BYTES,
           each=["seconds", "cpu_seconds", "shares"])
