# SPDX-License-Identifier: BSD-3-Clause
"""The measured process of test_live: live.py ENGINE WAY DEVICE RING_BYTES

Takes the SHA3-256 of every packet, in Python, until a line on its input says how many were sent and all of them have
been read or dropped; then prints, as JSON, its packets, what the engine counted, its CPU seconds and whether the
packets' numbers only ever rose.
"""

import hashlib
import json
import os
import select
import struct
import sys
import time

from consume import counted, descriptor, open_capture
from watch import LOOK_S, asked_to_stop

from hugepcap._generate import sequence_of

AT_ONCE = 1024
PATIENCE_S = 10    # for what was sent and does not come


class Work:
    """What is done with every packet, the same for every engine."""

    def __init__(self):
        self.packets, self.last, self.rising = 0, -1, True

    def see(self, data):
        hashlib.sha3_256(data).digest()
        number = sequence_of(data)
        self.rising &= number > self.last
        self.packets, self.last = self.packets + 1, number


def dispatch(reader, see):
    reader.dispatch(AT_ONCE, lambda header, data: see(data))


def next_batch(reader, see):
    data, records = reader.next_batch(AT_ONCE)
    view = memoryview(data)
    for _, _, at, size in struct.iter_unpack("=IIII", records):
        see(view[at:at + size])


def next_block(reader, see):
    with reader.next_block(timeout=0) as batch:
        for packet in batch:
            see(packet)


def recv_raw(reader, see):
    while (data := reader.recv_raw()) is not None:
        see(data)


WAYS = {"recv_raw": recv_raw, "dispatch": dispatch, "next_batch": next_batch, "next_block": next_block}


def run(reader, read, work):
    """CPU seconds until all that was sent has been read or dropped."""
    sent, last, started = None, time.monotonic(), time.process_time()
    while time.monotonic() - last < PATIENCE_S:
        before = work.packets
        read(reader, work.see)
        if work.packets > before or sent is None:
            last = time.monotonic()
        if work.packets > before:
            continue
        if sent is None and asked_to_stop():
            sent = int(sys.stdin.readline())
        if sent is not None and work.packets + counted(reader)[1] >= sent:
            break
        select.select([descriptor(reader)], [], [], LOOK_S)
    return time.process_time() - started


def main(engine, way, device, ring_bytes):
    os.setpriority(os.PRIO_PROCESS, 0, -20)    # what else the machine does is not the engine's loss
    reader, work = open_capture(engine, device, int(ring_bytes)), Work()
    reader.setnonblock(True)    # stock libpcap would sleep until a packet comes
    print("ready", flush=True)
    cpu = run(reader, WAYS[way], work)
    received, dropped = counted(reader)
    print(json.dumps({"packets": work.packets, "received": received, "dropped": dropped, "cpu": cpu,
                      "rising": work.rising}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
