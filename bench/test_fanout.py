# SPDX-License-Identifier: BSD-3-Clause
"""Fanout: what two workers on two cores carry beside one, when each packet is work: a hash of all its bytes.

As in the drain, the packets are in the rings before the clock starts, so that the sender takes nobody's core; the
workers run before all that is not real-time (SCHED_FIFO), so that nothing else on the machine does. A round's wall
time is from the workers' common start to the last one's last packet. A round whose packets are not the ones that were
sent, each hashed once, fails the run.
"""

import functools
import hashlib
import os
import time

import childclock
import pytest

import hugepcap
from hugepcap._generate import generate

ROUNDS = 5
QUICK_DIVISOR = 20
SIZE, PACKETS, RING_BYTES = 1400, 100_000, 256 << 20
FLOWS = 256    # enough that "hash" shares them evenly
DEADLINE_S = 60
START_S = 0.5    # until when all workers have been told to start
CASES = {"one thread": (1, False), "two threads": (2, False), "one process": (1, True), "two processes": (2, True)}


def hash_all(begin, reader):
    """(packets, sum of their hashes, CPU seconds, wall clock at the last packet); begins when the clock says so."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))    # this thread alone, which ends with this function
    time.sleep(max(begin - time.monotonic(), 0))
    packets = total = 0
    cpu, ended, used = time.thread_time(), begin, 0.0
    for batch in reader.batches():
        with batch:
            for packet in batch:
                total += int.from_bytes(hashlib.sha3_256(packet).digest()[:8], "big")
            packets += len(batch)
        ended, used = time.monotonic(), time.thread_time() - cpu
    return packets, total, used, ended


def wait_for(fanout, count):
    end = time.monotonic() + DEADLINE_S
    while fanout.stats().total[0] < count:
        assert time.monotonic() < end, f"{fanout.stats()}: {count} packets were sent"


def measure(link, workers, processes, count):
    """(wall seconds, CPU seconds of all workers, packets of each, sum of hashes) of one round."""
    with hugepcap.open_fanout(link.far, workers, "hash", processes=processes, ring_bytes=RING_BYTES) as fanout:
        assert generate(link.near, count, sizes=(SIZE, SIZE), seed=SIZE, flows=FLOWS).packets == count
        wait_for(fanout, count)
        begin = time.monotonic() + START_S
        fanout.start(functools.partial(hash_all, begin))
        results = fanout.stop()
        assert fanout.stats().total == (count, 0, 0)
    packets, totals, used, ended = zip(*results)
    assert sum(packets) == count, packets
    return max(ended) - begin, sum(used), packets, sum(totals)


@pytest.fixture(scope="session")
def rounds(request, link):
    """Each case's rounds; the cases take turns, so that what slows the machine down slows all of them."""
    quick = request.config.getoption("--quick")
    count = PACKETS // (QUICK_DIVISOR if quick else 1)
    taken = {case: [] for case in CASES}
    for _ in range(1 if quick else ROUNDS):
        for case, settings in CASES.items():
            taken[case].append(measure(link, *settings, count))
    assert len({result[3] for results in taken.values() for result in results}) == 1, "not the same packets"
    return count, taken


@pytest.mark.parametrize("case", CASES)
def test_fanout(benchmark, rounds, case):
    count, taken = rounds
    walls, used, packets, _ = zip(*taken[case])
    workers, processes = CASES[case]
    seconds = iter(walls)
    benchmark.group = f"fanout {SIZE} B: sha3_256 of every packet"
    benchmark.extra_info.update(
        case=case, workers=workers, processes=processes, size=SIZE, packets=count, drops=0, ring_bytes=RING_BYTES,
        version=hugepcap.__version__, policy="stock", correct=True, wall_seconds=walls, cpu_seconds=used, shares=packets)
    benchmark.pedantic(lambda: childclock.advance(next(seconds)), rounds=len(walls), iterations=1)
