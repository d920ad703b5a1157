# SPDX-License-Identifier: BSD-3-Clause
"""No way of reading allocates more for a packet than what it hands out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from helpers import run_child

COUNTER_C = Path(__file__).parent / "csrc/allocations.c"
FEWER, MORE = 2000, 6000

# Prints how many allocations are made while FEWER packets are read, and while MORE are.
CHILD = """
import ctypes, sys
import hugepcap
from helpers import send

near, far, way, *counts = sys.argv[1:]
allocations = ctypes.c_ulong.in_dll(ctypes.CDLL(None), "hp_allocations")
buffer = bytearray(16 << 20)

def nothing(*_):
    pass

def by_next(reader, count):
    for _ in range(count):
        reader.next()

def by_iteration(reader, count):
    for _, _ in zip(range(count - 1), reader):
        pass
    reader.next()

def by_batches(reader, count):
    for batch in reader.batches(max_packets=1000, limit=count):
        batch.release()

def by_next_batch(reader, count):
    read = 0
    while read < count:
        read += len(reader.next_batch(1000)[0]) // 16

WAYS = {
    "loop": lambda reader, count: reader.loop(count, nothing),
    "dispatch": lambda reader, count: reader.dispatch(count, nothing),
    "next": by_next,
    "iteration": by_iteration,
    "next_batch": by_next_batch,
    "loop_to_buffer": lambda reader, count: reader.loop_to_buffer(count, buffer),
    "loop_filtered": lambda reader, count: reader.loop_filtered(count, nothing, admit_mask=0),
    "batches": by_batches,
}

def measured(count):
    with hugepcap.open_live(far, 65535, 1, 1000) as reader:
        send(near, 2 * count)
        for _ in range(2):      # what is made once is made in the first
            before = allocations.value
            WAYS[way](reader, count)
            made = allocations.value - before
        return made

print(*(measured(int(count)) for count in counts))
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    library = tmp_path_factory.mktemp("allocations") / "allocations.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, COUNTER_C], check=True)
    return {"LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc"}


# The header, the bytes; a batch has a few of its own.
@pytest.mark.parametrize("way, most", [
    ("loop", 2), ("dispatch", 2), ("next", 2), ("iteration", 2),
    ("next_batch", 0), ("loop_to_buffer", 0), ("loop_filtered", 0), ("batches", 0),
])
def test_allocations_of_a_packet(link, counted, way, most):
    done = run_child(CHILD, link.near, link.far, way, FEWER, MORE, **counted)
    assert (done.returncode, done.stderr) == (0, "")
    fewer, more = map(int, done.stdout.split())
    assert more - fewer <= (most + 0.05) * (MORE - FEWER)
