# SPDX-License-Identifier: BSD-3-Clause
"""A capture that runs beside something else: watch.py ENGINE WAY DEVICE RING_BYTES

Prints "ready", reads until its input has a line and no packet has come since, and then prints, as JSON, the packets
it read, what the engine counted, and the CPU seconds it took.
"""

import json
import select
import sys
import time

from consume import open_capture

QUIET_S = 0.5
LOOK_S = 0.1


def asked_to_stop():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def by_loop(reader):
    return max(reader.dispatch(4096, lambda header, data: None), 0)


def by_next_batch(reader):
    return len(reader.next_batch(4096)[1]) // 16


def by_batches(reader):
    with reader.next_block(timeout=0) as batch:
        return len(batch)


WAYS = {"dispatch": by_loop, "next_batch": by_next_batch, "next_block": by_batches}


def main(engine, way, device, ring_bytes):
    reader = open_capture(engine, device, int(ring_bytes))
    reader.setnonblock(1)    # stock libpcap would sleep until a packet comes
    print("ready", flush=True)
    packets, last = 0, time.monotonic()
    started = time.process_time()
    while not (asked_to_stop() and time.monotonic() - last > QUIET_S):
        got = WAYS[way](reader)
        if got:
            packets, last = packets + got, time.monotonic()
        else:
            select.select([reader.getfd()], [], [], LOOK_S)
    received, dropped, _ = reader.stats()
    print(json.dumps({"packets": packets, "received": received, "dropped": dropped,
                      "cpu": time.process_time() - started}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
