# SPDX-License-Identifier: BSD-3-Clause
"""Sizes as a user writes them: a number, then nothing or K, M, G or T."""

from __future__ import annotations

import pytest

from hugepcap import _ring


@pytest.mark.parametrize("text, size", [
    ("1", 1), ("4096", 4096), ("8k", 8 << 10), ("256M", 256 << 20), ("2GB", 2 << 30), ("1TiB", 1 << 40),
    ("16777215T", 16777215 << 40),
])
def test_sizes(text, size):
    assert _ring.parse_size(text) == size


@pytest.mark.parametrize("text", [
    "", "0", "M", "-1", "+1", " 8", "1.5G", "1Mx", "1MBB", "1B", "16777216T",
    "8 ", "8 B", "8 iB", "256 iB", "8 M", "8 MiB", "8@", "8`",
])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is no size"):
        _ring.parse_size(text)
