# SPDX-License-Identifier: BSD-3-Clause
"""The measured process of test_open: openring.py ENGINE open DEVICE RING_BYTES TIMES CHECKED

Opens and closes a ring TIMES times; then it opens one more, says what that is and what each time took, and after a
line what it saw of CHECKED packets.
"""

import re
import sys
import time
from pathlib import Path

from capture import open_capture, ready, say, wait_for_line
from manifest import Seen
from ways import WAYS


def page_table_bytes():
    return int(re.search(r"^VmPTE:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)[1]) << 10


def once(engine, device, ring_bytes):
    before, started = page_table_bytes(), time.perf_counter()
    reader = open_capture(engine, device, ring_bytes)
    opened = time.perf_counter()
    tables = page_table_bytes() - before
    closing = time.perf_counter()
    reader.close()
    return {"seconds": opened - started + time.perf_counter() - closing, "tables": tables}


def main(engine, way, device, ring_bytes, times, checked):
    ring_bytes, seen = int(ring_bytes), Seen()
    once(engine, device, 2 << 20)    # imports and the first call's own work are not the ring's
    taken = [once(engine, device, ring_bytes) for _ in range(int(times))]
    reader = open_capture(engine, device, ring_bytes)
    ready(reader, taken=taken)
    wait_for_line()
    WAYS["loop"](reader, int(checked), seen.see, None)
    say(seen.told())


if __name__ == "__main__":
    main(*sys.argv[1:])
