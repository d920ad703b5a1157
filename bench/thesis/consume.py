# SPDX-License-Identifier: BSD-3-Clause
"""The same work by the module's batches: consume.py WORK_SO DEVICE RING_BYTES FACTOR WORKERS

Each worker is a process of a fanout group, with a ring of its own. Prints a line when the capture is open, captures
until SIGINT and prints what the C programs print.
"""

import ctypes
import json
import signal
import sys
from functools import partial

import numpy

import hugepcap

TO_MS = 10


class Work(ctypes.Structure):
    """struct work"""

    _fields_ = [("packets", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("hash", ctypes.c_uint64),
                ("factor", ctypes.c_uint)]


def consume(reader, library, factor):
    """Hashes every byte of what a reader gives until its capture is stopped."""
    work_on_many = ctypes.CDLL(library).work_on_many
    work_on_many.argtypes = [ctypes.c_void_p] * 4 + [ctypes.c_uint64]
    work = Work(factor=factor)
    for batch in reader.batches():
        with batch:
            if len(batch):
                offsets, lengths = numpy.asarray(batch.offset), numpy.asarray(batch.caplen)
                base = numpy.asarray(batch[0]).ctypes.data - int(offsets[0])
                work_on_many(ctypes.addressof(work), base, offsets.ctypes.data, lengths.ctypes.data, len(batch))
                del offsets, lengths
    return work.packets, work.bytes, work.hash


def main(library, device, ring_bytes, factor, workers):
    # Blocked before the workers are forked: SIGINT is for this process alone, and only sigwait takes it.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    with hugepcap.open_fanout(device, int(workers), "lb", processes=True, snaplen=65535, to_ms=TO_MS,
                              ring_bytes=int(ring_bytes)) as group:
        group.start(partial(consume, library=library, factor=int(factor)))
        print("{}", flush=True)
        signal.sigwait([signal.SIGINT])
        results = group.stop()
        (received, dropped, _), each = group.stats()
    packets, size, hashes = map(sum, zip(*results))
    print(json.dumps({"packets": packets, "bytes": size, "hash": hashes & (1 << 64) - 1, "received": received,
                      "dropped": dropped, "workers": [list(counts) for counts in each]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
