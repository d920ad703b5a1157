# SPDX-License-Identifier: BSD-3-Clause
"""The type stubs beside the modules that were built, as mypy's stubtest compares them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ALLOWED = Path(__file__).with_name("stubtest-allowlist.txt")


@pytest.mark.skipif(sys.version_info < (3, 10), reason="the last stubtest for Python 3.9 wants at run time what is "
                    "imported for annotations alone")
def test_stubs():
    ended = subprocess.run([sys.executable, "-m", "mypy.stubtest", "hugepcap", "--mypy-config-file",
                            "pyproject.toml", "--allowlist", str(ALLOWED)], cwd=ROOT,
                           text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "no issues found" in ended.stdout
