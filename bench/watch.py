# SPDX-License-Identifier: BSD-3-Clause
"""A capture that runs beside something else: watch.py ENGINE WAY DEVICE RING_BYTES

Prints "ready", reads until its input has a line and no packet has come since, and then prints, as JSON, the packets
it read, what the engine counted, and the CPU seconds it took.
"""

import json
import select
import sys
import time

from consume import counted, descriptor, open_capture

QUIET_S = 0.5
LOOK_S = 0.1


def asked_to_stop():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def by_dispatch(reader):
    done = 0

    def each(header, data):
        nonlocal done
        done += 1

    reader.dispatch(4096, each)
    return done


def by_next_batch(reader):
    return len(reader.next_batch(4096)[1]) // 16


def by_batches(reader):
    with reader.next_block(timeout=0) as batch:
        return len(batch)


def by_recv_raw(reader):
    done = 0
    while reader.recv_raw() is not None:
        done += 1
    return done


WAYS = {"recv_raw": by_recv_raw, "dispatch": by_dispatch, "next_batch": by_next_batch, "next_block": by_batches}


def main(engine, way, device, ring_bytes):
    reader = open_capture(engine, device, int(ring_bytes))
    reader.setnonblock(True)    # stock libpcap would sleep until a packet comes
    print("ready", flush=True)
    packets, last = 0, time.monotonic()
    started = time.process_time()
    while not (asked_to_stop() and time.monotonic() - last > QUIET_S):
        got = WAYS[way](reader)
        if got:
            packets, last = packets + got, time.monotonic()
        else:
            select.select([descriptor(reader)], [], [], LOOK_S)
    received, dropped = counted(reader)
    print(json.dumps({"packets": packets, "received": received, "dropped": dropped,
                      "cpu": time.process_time() - started}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
