# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's pools of huge pages, larger for a while."""

import os
from contextlib import contextmanager
from pathlib import Path

HUGE, GIANT = 2 << 20, 1 << 30


@contextmanager
def pool(pages, page_bytes=HUGE):
    """At least so many free pages for the while, or as many as there are to be had; yields how many are free."""
    count = Path(f"/sys/kernel/mm/hugepages/hugepages-{page_bytes >> 10}kB/nr_hugepages")
    if not os.access(count, os.W_OK):
        yield 0
        return
    before, free = int(count.read_text()), int(count.with_name("free_hugepages").read_text())
    count.write_text(str(before + max(pages - free, 0)))
    try:
        yield int(count.with_name("free_hugepages").read_text())
    finally:
        count.write_text(str(before))
