# SPDX-License-Identifier: BSD-3-Clause
"""The C harnesses from Python: how they are built, and the form of what they read."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import Sequence

from fakering import SLL, SLL2

HERE = Path(__file__).parent
# Another core may be named, to see the tests fail over it.
CSRC = Path(os.environ.get("HUGEPCAP_CSRC", HERE.parent.parent / "hugepcap" / "_csrc"))
FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter",
         "-Wno-sign-compare", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
CORE = {
    "walk": ["hp_source", "hp_batch", "hp_class"],
    "mutate": ["hp_source", "hp_batch", "hp_class"],
    "classify": ["hp_source", "hp_class"],
    "collect": ["hp_columns", "hp_collect", "hp_lanes", "hp_source", "hp_ring", "hp_mem", "hp_err"],
    "decode": ["hp_decode"],
    "rewrite": ["hp_bpf"],
    "fit": ["hp_ring", "hp_mem", "hp_err"],
}
ALL = 0x7FFFFFFF


class Harness:
    """A harness's program; calling it gives its output's lines. A sanitizer's report fails the test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, given: bytes, *args: object, deadline_s: float = 170) -> list[list[str]]:
        ended = subprocess.run([self.path, *map(str, args)], input=given, capture_output=True, timeout=deadline_s)
        assert ended.returncode == 0, ended.stderr.decode("utf-8", "replace")[:4000]
        return [line.split(" ") for line in ended.stdout.decode().splitlines()]


def build(name: str, where: Path) -> Harness:
    sources = [HERE / "csrc" / f"{name}.c"] + [CSRC / f"{source}.c" for source in CORE[name]]
    subprocess.run(["gcc", *FLAGS, f"-I{CSRC}", "-o", where / name, *sources], check=True)
    return Harness(where / name)


def words(*numbers: int) -> bytes:
    """Native 32-bit words, as csrc/input.h reads them."""
    return struct.pack(f"={len(numbers)}I", *(number & 0xFFFFFFFF for number in numbers))


def blob(data: bytes) -> bytes:
    return words(len(data)) + data


def insns(program: Sequence[tuple[int, int, int, int]]) -> bytes:
    """A BPF program, its length first; the instructions as BPFProgram.get_bpf() lists them."""
    return words(len(program)) + b"".join(struct.pack("=HBBI", *insn) for insn in program)


def source(link: int, *, snaplen: int = ALL, direction: int = 0, loopback: int = 0, program=(), tests_vlan: int = 0,
           filter_until: int = ALL) -> bytes:
    """The settings of a source, as csrc/reading.h reads them."""
    return words(link, snaplen, direction, loopback) + insns(program) + words(tests_vlan, filter_until)


def cooked(link: int) -> bool:
    return link in (SLL, SLL2)
