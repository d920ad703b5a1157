# SPDX-License-Identifier: BSD-3-Clause
"""The programs under measurement, built with the C compiler into a folder of their own."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORE = ROOT / "hugepcap" / "_csrc"
SHIM = ROOT / "preload" / "preload.so"
COMMON = ["work.c", "counters.c"]
SOURCES = {
    "lowlevel": ["lowlevel.c", *COMMON], "libpcap": ["libpcap.c", *COMMON, "-lpcap"],
    "expect": ["expect.c", *COMMON, CORE / "hp_gen.c"], "work.so": [*COMMON, "-shared", "-fPIC"],
}


@cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="thesis-")


@cache
def program(name: str) -> Path:
    """The path of a program; it is built at the first call and goes away with this process."""
    target = Path(_folder().name, name)
    subprocess.run(["gcc", "-O2", "-std=gnu11", f"-I{CORE}", "-D_DEFAULT_SOURCE", *SOURCES[name], "-o", target],
                   cwd=HERE, check=True)
    return target
