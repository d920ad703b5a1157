# SPDX-License-Identifier: BSD-3-Clause
"""The debug variant: what it is there for is on. An option that the kernel was built with may still sleep."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

FRAGMENT = Path(__file__).parents[2] / "kernel/debug.config"
WANTED = re.findall(r"^CONFIG_\w+=.*", FRAGMENT.read_text(), re.M)


@pytest.mark.parametrize("line", WANTED)
def test_option_was_built_in(line):
    assert line in gzip.decompress(Path("/proc/config.gz").read_bytes()).decode().splitlines()


def test_lockdep_has_not_switched_itself_off():
    assert re.search(r"debug_locks:\s+1$", Path("/proc/lockdep_stats").read_text(), re.M)


def test_leak_detector_has_not_switched_itself_off():
    """Then it takes no order but to forget; kernel/boot has it look once, after all tests: that takes minutes."""
    Path("/sys/kernel/debug/kmemleak").write_text("stack=on")


def test_free_pages_are_poisoned():
    """The kernel says so nowhere else."""
    assert "page_poison=1" in Path("/proc/cmdline").read_text().split()
