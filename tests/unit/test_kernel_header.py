# SPDX-License-Identifier: BSD-3-Clause
"""The header of the kernel's interface exists once: the module's copy is the one that the patch series adds."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADER = "include/uapi/linux/if_packet_huge.h"


def added(version: str) -> str:
    """The file as the series leaves it; it comes whole, in one patch, and no later one touches it."""
    patches = [patch.read_text() for patch in sorted((ROOT / "kernel/series" / version).glob("*.patch"))]
    (part,) = [patch.split(f"+++ b/{HEADER}\n")[1] for patch in patches if f"+++ b/{HEADER}\n" in patch]
    head, *lines = part.splitlines()
    assert head.startswith("@@ -0,0 +1,")
    count = int(head.split(",")[2].split(" ")[0])
    assert all(line.startswith("+") for line in lines[:count])
    return "".join(line[1:] + "\n" for line in lines[:count])


@pytest.mark.parametrize("version", sorted(folder.name for folder in (ROOT / "kernel/series").iterdir()))
def test_header_is_the_kernels(version):
    assert (ROOT / "hugepcap/_csrc/hp_uapi.h").read_text() == added(version)
