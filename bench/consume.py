# SPDX-License-Identifier: BSD-3-Clause
"""The measured process of test_drain: consume.py ENGINE WAY DEVICE RING_BYTES COUNT CHECKED

Says, as JSON, what its ring is; after a line it reads COUNT packets that are in the ring and says the CPU seconds
that took; after another one it reads CHECKED more by the same way, from number COUNT on, and says what it saw.
"""

import sys
import time

from capture import counted, open_capture, ready, say, wait_for_line
from manifest import Seen
from ways import WAYS, warm_numpy


def main(engine, way, device, ring_bytes, count, checked):
    ring_bytes, count, checked = int(ring_bytes), int(count), int(checked)
    read, seen = WAYS[way], Seen(count)
    buffer = bytearray(b"x") * ring_bytes if way == "loop_to_buffer" else None
    warm_numpy()
    reader = open_capture(engine, device, ring_bytes)
    ready(reader)
    wait_for_line()
    started = time.process_time()
    read(reader, count, None, buffer)
    seconds = time.process_time() - started
    say({"seconds": seconds, **counted(reader)})
    wait_for_line()
    read(reader, checked, seen.see, buffer)
    say(seen.told())


if __name__ == "__main__":
    main(*sys.argv[1:])
