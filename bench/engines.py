# SPDX-License-Identifier: BSD-3-Clause
"""The engines, which ways of reading each has, and the processes that read with them.

A cell is what is measured: an engine, a way, a policy of the ring's memory. Suites pick from these tables.
"""

import functools
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from helpers.smaps import ring_pages
from manifest import Wrong
from pinned import child
from policies import kernel_has_policies

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "hugepcap" / "_csrc"
LIBPCAP_C, WALK_C, NO_LIBRARY = "libpcap (C)", "walk (C)", "no library (C)"
POLICIES = ("stock", "gfpnoretry", "vzalloc", "gfpretry", "thp", "hugetlb") if kernel_has_policies() else ("stock",)
FIXTURES = ((64, 64), (200, 200), (594, 594), (1400, 1400), (700, 1500))    # bytes; the last is the thesis's mix

# Ways that read a given number of packets; those of one way stand together, so that they are measured in turns.
COUNTED = {
    "loop": ("pcapy-ng", "hugepcap", "cypcap"), "dispatch": ("pcapy-ng", "hugepcap"), "next": ("pcapy-ng", "hugepcap"),
    "iteration": ("cypcap", "hugepcap"), "loop_to_buffer": ("pcapy-ng", "hugepcap"), "loop_filtered": ("pcapy-ng", "hugepcap"),
    "loop_filtered_set": ("pcapy-ng", "hugepcap"), "next_batch": ("pcapy-ng", "hugepcap"), "batches": ("hugepcap",),
    "pcap_dispatch": (LIBPCAP_C,), "pcap_next_ex": (LIBPCAP_C,),
}
# Ways that read what comes.
ENDLESS = {
    "pcap_dispatch": (LIBPCAP_C,), "dispatch": ("pcapy-ng", "hugepcap", "cypcap"), "next": ("pcapy-ng", "hugepcap"),
    "next_batch": ("pcapy-ng", "hugepcap"), "next_block": ("hugepcap",), "batches": ("hugepcap",), "loop": ("hugepcap",),
    "iteration": ("hugepcap",), "recv_raw": ("scapy",),
}


class Cell(NamedTuple):
    engine: str
    way: str
    policy: str = "stock"

    def __str__(self):
        return " ".join(part for part in self if part not in ("stock", "none"))


def cells(ways):
    return [Cell(engine, way) for way, engines in ways.items() for engine in engines]


def by_policy(way):
    """hugepcap's ring on whatever else than the stock policy this kernel has."""
    return [Cell("hugepcap", way, policy) for policy in POLICIES[1:]]


def named(sizes):
    """64, or 700-1500."""
    return "-".join(map(str, dict.fromkeys(sizes)))


@functools.cache
def version_of(engine):
    if engine == LIBPCAP_C:
        return subprocess.run(["pcap-config", "--version"], capture_output=True, text=True).stdout.strip()
    if engine in ("nobody", NO_LIBRARY):
        return "none"
    return version("hugepcap" if engine == WALK_C else engine)


def build(folder, name, *libraries):
    """A C program of this folder."""
    program = folder / name
    subprocess.run(["gcc", "-O2", "-std=gnu11", "-D_DEFAULT_SOURCE", f"-I{CORE}", HERE / f"{name}.c", CORE / "hp_gen.c",
                    *libraries, "-o", program], check=True)
    return program


@functools.cache
def programs(folder):
    """{name: path} of all C programs, built once."""
    capture = ("-lpcap", "-l:libcrypto.so.3")
    return {"consume": build(folder, "consume", *capture), "files": build(folder, "files", *capture),
            "walk": build(folder, "walk"), "chase": build(folder, "chase")}


@contextmanager
def capturing(cell, c_programs, mode, link, ring_bytes, *more):
    """A process that captures, as a Child with what it said of its ring: `told`. Raises Wrong where that is not asked for."""
    arguments = [link.far, ring_bytes, *more]
    if cell.engine == LIBPCAP_C:
        command = [c_programs["consume"], mode, cell.way, *arguments]
    else:
        command = [sys.executable, HERE / {"drain": "consume.py", "open": "openring.py"}.get(mode, "live.py"), cell.engine,
                   cell.way, *arguments, *[mode] * (mode in ("hash", "read"))]
    with child(command, f"{mode}, {cell}", {"HUGEPCAP_POLICY": cell.policy, "HUGEPCAP_STRICT": "1"}) as process:
        process.told = {"page_bytes": None, **process.answer()}
        check_ring(cell, process, ring_bytes)
        yield process


def check_ring(cell, process, ring_bytes):
    """smaps tells the ring's size, and the pages of those that cannot tell themselves. Scapy has no ring."""
    found = ring_pages(process.pid)
    if process.told["policy"] != cell.policy or [size for size, _ in found] != [ring_bytes] * (cell.engine != "scapy"):
        raise Wrong(f"{process.who}: rings of {found}, policy {process.told['policy']}; asked for {ring_bytes} bytes of "
                    f"{cell.policy}")
    if found and process.told["page_bytes"] is None:
        process.told["page_bytes"] = found[0][1]
