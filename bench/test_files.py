# SPDX-License-Identifier: BSD-3-Clause
"""Files: CPU time to read and to write a capture file that is in the page cache.

Cells take turns within a round, each in a fresh process on one CPU, opening and closing included. What is timed reads
as many packets as the file has and must then be at its end; the same process reads a smaller file by the same way and
hashes every byte of it. What was written is compared with what it must be.
"""

import os
import struct
import sys
from functools import cache

import pytest
from engines import COUNTED, FIXTURES, HERE, LIBPCAP_C, NO_LIBRARY, Cell, cells, named
from manifest import Wrong, manifest
from pinned import child
from record import in_turns, record

from hugepcap._generate import build_packet

ROUNDS, QUICK_DIVISOR, CHECKED = 3, 50, 5000
COUNTS = dict(zip(FIXTURES, (500_000, 400_000, 200_000, 100_000, 100_000)))
READ = [cell._replace(policy="none") for cell in
        [*cells(COUNTED), Cell("hugepcap", "mapped batches"),
         *(Cell(NO_LIBRARY, way) for way in ("read", "read+walk", "mmap+walk")), Cell("dpkt", "reader"),
         Cell("scapy", "RawPcapReader")]]
WRITE = [Cell(*pair, "none") for pair in (("pcapy-ng", "dumper"), ("hugepcap", "Writer"), ("hugepcap", "dumper"),
                                          ("cypcap", "dumper"), (LIBPCAP_C, "pcap_dump"), ("dpkt", "writer"))]
KINDS = {"read": READ, "write": WRITE}
FEWER = {"dpkt": 4, "scapy": 4}    # for what takes microseconds a packet


def write_file(path, count, sizes):
    """A pcap file of the generator's packets."""
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(count):
            packet = build_packet(number, sizes=sizes, seed=1)
            file.write(struct.pack("=IIII", 1_700_000_000 + number // 1000, number % 1000, len(packet), len(packet)) + packet)
    read_ahead(path)


def read_ahead(path):
    """Has the page cache take the file from the disk, as one that was captured some time ago: what wrote it decides on
    the size of the cache's pieces otherwise, and so on what a mapping costs."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(1 << 20):
            pass


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """The path of a file of so many packets, written once."""
    folder = tmp_path_factory.mktemp("files")

    @cache
    def of(sizes, count):
        path = folder / f"{named(sizes)}x{count}"
        write_file(path, count, sizes)
        return path

    return of


def run(c_programs, kind, cell, *arguments):
    command = [c_programs["files"], kind] if cell.engine in (LIBPCAP_C, NO_LIBRARY) else \
        [sys.executable, HERE / "files.py", kind, cell.engine]
    with child([*command, cell.way, *arguments], f"files, {kind}, {cell}") as process:
        return process.answer()


def read(cell, c_programs, source, sizes, count):
    answer = run(c_programs, "read", cell, source(sizes, count), count, source(sizes, CHECKED), CHECKED)
    if cell.way != "read":   # which does not look for packets
        manifest(0, sizes, seed=1).check(f"files, {cell}", answer, CHECKED)
        if answer.get("read", count) != count:
            raise Wrong(f"files, {cell}: {answer['read']} packets of {count}")
    return answer["seconds"]


def write(cell, c_programs, source, sizes, count, out):
    path = source(sizes, count)
    seconds = run(c_programs, "write", cell, path, count, out)["seconds"]
    written = out.read_bytes()
    out.unlink()
    if written != path.read_bytes():
        raise Wrong(f"files, {cell}: wrote {len(written)} bytes, which are not the {path.stat().st_size} they must be")
    return seconds


@pytest.fixture(scope="session")
def rounds(quick, chosen, c_programs, source, tmp_path_factory):
    """{cell: Taken} of one kind and size."""
    out = tmp_path_factory.mktemp("written") / "file"

    @cache
    def of(kind, sizes):
        def measure(cell):
            count = COUNTS[sizes] // FEWER.get(cell.engine, 1) // (QUICK_DIVISOR if quick else 1)
            seconds = read(cell, c_programs, source, sizes, count) if kind == "read" else \
                write(cell, c_programs, source, sizes, count, out)
            return {"seconds": seconds, "ns_per_packet": seconds / count * 1e9, "packets": count, "drops": 0, "page_bytes": None}

        return in_turns(chosen("files", KINDS[kind]), 1 if quick else ROUNDS, measure)

    return of


def pytest_generate_tests(metafunc):
    some = FIXTURES[:1] if metafunc.config.getoption("--quick") else FIXTURES
    cases = [(kind, sizes, cell) for sizes in some for kind, all_of in KINDS.items() for cell in all_of]
    metafunc.parametrize("kind, sizes, cell", cases, ids=[f"{kind}-{named(sizes)}-{cell}" for kind, sizes, cell in cases])


def test_files(benchmark, rounds, kind, sizes, cell):
    record(benchmark, "files", cell, rounds(kind, sizes)[cell], group=f"files {kind} {named(sizes)} B", sizes=sizes, kind=kind,
           each=["ns_per_packet"])
