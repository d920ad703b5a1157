# SPDX-License-Identifier: BSD-3-Clause
"""Tests of preload.so with programs as they are. In a patched guest they run for every policy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import shim  # noqa: E402

# For the patched kernels: kernel/boot IMAGE -- .venv/bin/python -m pytest -p no:cacheprovider tests/preload
collect_ignore = [] if shim.kernel_has_policies() else ["test_preload_policies.py"]


@pytest.fixture(scope="session", autouse=True)
def library():
    """preload.so as it is in the sources now."""
    subprocess.run(["make", "-s", "-C", str(shim.LIBRARY.parent)], check=True, timeout=120)
