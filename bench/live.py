# SPDX-License-Identifier: BSD-3-Clause
"""The measured process of test_live and test_corunner: live.py ENGINE WAY DEVICE RING_BYTES hash|read

Reads until a line on its input says how many packets were sent and all of them have been read or dropped; then says,
as JSON, the packets, what the engine counted and its CPU seconds. "hash": every packet is hashed, at the highest
priority, and it says what it saw. "read": they are only read; after a second line it hashes as many as that says.
"""

import os
import select
import sys
import threading
import time

from capture import counted, descriptor, open_capture, ready, say, wait_for_line
from manifest import Seen
from ways import POLLED, TO_END

LOOK_S = 0.1
PATIENCE_S = 10    # for what was sent and does not come


def asked_to_stop():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def poll(reader, read, see):
    """Reads until all that was sent has been read or dropped: the packets, and how many were sent."""
    sent, packets, last, before = None, 0, time.monotonic(), counted(reader)["dropped"]
    while time.monotonic() - last < PATIENCE_S:
        got = read(reader, see)
        packets += got
        if got or sent is None:
            last = time.monotonic()
        if got:
            continue
        if sent is None and asked_to_stop():
            sent = int(wait_for_line())
        if sent is not None and packets + counted(reader)["dropped"] - before >= sent:
            break
        select.select([descriptor(reader)], [], [], LOOK_S)
    return packets, sent


def to_end(reader, read, see):
    """Reads until the capture is stopped, once all was sent."""
    def stop():
        wait_for_line()
        reader.stop()

    threading.Thread(target=stop, daemon=True).start()
    read(reader, see)


def hash_all(reader, way):
    seen, started = Seen(), time.process_time()
    if way in TO_END:
        to_end(reader, TO_END[way], seen.see)
    else:
        poll(reader, POLLED[way], seen.see)
    say({"cpu": time.process_time() - started, **seen.told(), **counted(reader)})


def read_then_hash(reader, way):
    started = time.process_time()
    packets, sent = poll(reader, POLLED[way], None)
    say({"cpu": time.process_time() - started, "packets": packets, **counted(reader)})
    seen = Seen(sent)
    poll(reader, POLLED[way], seen.see)
    say(seen.told())


def main(engine, way, device, ring_bytes, work):
    if work == "hash":
        os.setpriority(os.PRIO_PROCESS, 0, -20)    # what else the machine does is not the engine's loss
    reader = open_capture(engine, device, int(ring_bytes))
    if way in POLLED:
        reader.setnonblock(True)    # stock libpcap would sleep until a packet comes
    ready(reader)
    (hash_all if work == "hash" else read_then_hash)(reader, way)


if __name__ == "__main__":
    main(*sys.argv[1:])
