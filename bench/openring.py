# SPDX-License-Identifier: BSD-3-Clause
"""The measured process of test_open: opens and closes a ring. openring.py ENGINE DEVICE RING_BYTES TIMES"""

import json
import re
import sys
import time
from pathlib import Path

from consume import open_capture
from helpers.smaps import ring_pages


def page_table_bytes():
    return int(re.search(r"^VmPTE:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)[1]) << 10


def once(engine, device, ring_bytes):
    before, started = page_table_bytes(), time.perf_counter()
    reader = open_capture(engine, device, ring_bytes)
    opened = time.perf_counter()
    tables, pages = page_table_bytes() - before, ring_pages()
    closing = time.perf_counter()
    reader.close()
    return {"seconds": opened - started + time.perf_counter() - closing, "tables": tables, "pages": pages}


if __name__ == "__main__":
    engine, device, ring_bytes, times = sys.argv[1:]
    once(engine, device, 2 << 20)    # imports and the first call's own work are not the ring's
    print(json.dumps([once(engine, device, int(ring_bytes)) for _ in range(int(times))]))
