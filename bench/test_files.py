# SPDX-License-Identifier: BSD-3-Clause
"""Files: CPU time to read and to write a capture file that is in the page cache.

Engines take turns within a round, each in a fresh process on one CPU, opening and closing included. Each way of reading
is checked on a smaller file, every byte of it; what was written is read back and compared.
"""

import hashlib
import json
import random
import struct
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import childclock
import pytest
from pinned import child

HERE = Path(__file__).resolve().parent
ROUNDS, QUICK_DIVISOR, CHECKED = 3, 50, 5000
# bytes of a packet, least and most -> packets; the last is the thesis's mix
SIZES = {(60, 76): 1_000_000, (700, 1500): 200_000}
LIBPCAP_C, NO_LIBRARY = "libpcap (C)", "no library (C)"
READ = [("pcapy-ng", "next_batch"), ("hugepcap", "batches"), ("hugepcap", "next_batch"), ("pcapy-ng", "loop"),
        ("hugepcap", "loop"), ("pcapy-ng", "next"), ("hugepcap", "next"), (LIBPCAP_C, "pcap_dispatch"),
        (LIBPCAP_C, "pcap_next_ex"), (NO_LIBRARY, "read"), (NO_LIBRARY, "read+walk"),
        (NO_LIBRARY, "mmap+walk"), ("dpkt", "reader"), ("scapy", "RawPcapReader")]
WRITE = [("pcapy-ng", "dumper"), ("hugepcap", "Writer"), ("hugepcap", "dumper"), (LIBPCAP_C, "pcap_dump"), ("dpkt", "writer")]
# What takes microseconds a packet is given fewer.
SLOW = {"dpkt": 4, "scapy": 4}


def packets(count, sizes):
    """The same ones every time."""
    source = random.Random(1)
    payload = source.randbytes(sizes[1])
    return [struct.pack(">6s6sHI", b"\2" * 6, b"\4" * 6, 0x88B5, number) + payload[:source.randint(*sizes) - 18]
            for number in range(count)]


def write_file(path, some):
    with open(path, "wb") as file:
        file.write(struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, packet in enumerate(some):
            file.write(struct.pack("=IIII", 1_700_000_000 + number // 1000, number % 1000, len(packet), len(packet)) + packet)


@pytest.fixture(scope="session")
def sources(request, tmp_path_factory):
    """{(sizes, divisor): (path, packets)}, and under divisor None the file that is checked, with its digest."""
    folder, known = tmp_path_factory.mktemp("files"), {}
    share = QUICK_DIVISOR if request.config.getoption("--quick") else 1

    def of(sizes, divisor):
        if (sizes, divisor) not in known:
            count = SIZES[sizes] // divisor // share if divisor else CHECKED
            some = packets(count, sizes)
            path = folder / f"{sizes[1]}-{divisor}"
            write_file(path, some)
            known[sizes, divisor] = path, count if divisor else hashlib.blake2b(b"".join(some)).hexdigest()
        return known[sizes, divisor]

    return of


@pytest.fixture(scope="session")
def c_files(tmp_path_factory):
    program = tmp_path_factory.mktemp("files") / "files"
    subprocess.run(["gcc", "-O2", "-std=gnu11", HERE / "files.c", "-lpcap", "-o", program], check=True)
    return program


@pytest.fixture(scope="session")
def run(c_files):
    def answer(engine, way, *arguments):
        command = [c_files, way] if engine in (LIBPCAP_C, NO_LIBRARY) else [sys.executable, HERE / "files.py", engine, way]
        with child([*command, *arguments]) as process:
            line = process.stdout.readline()
        assert line, f"{engine} {way}: no answer"
        return json.loads(line)

    return answer


def version_of(engine):
    if engine == NO_LIBRARY:
        return ""
    if engine == LIBPCAP_C:
        return subprocess.run(["pcap-config", "--version"], capture_output=True, text=True).stdout.strip()
    return version(engine)


@pytest.fixture(scope="session")
def rounds(request, sources, run, tmp_path_factory):
    """Answers of every engine and way of one kind and size, measured together."""
    out, known = tmp_path_factory.mktemp("written"), {}

    def measure(kind, engine, way, sizes):
        path, count = sources(sizes, SLOW.get(engine, 1))
        written = [out / "file"] if kind == "write" else []
        answer = run(engine, way, path, *written)
        if way != "read":   # which does not look for packets
            assert answer["packets"] == count, f"{engine} {way}: {answer['packets']} packets of {count}"
        if written:
            assert written[0].read_bytes() == path.read_bytes(), f"{engine} {way}: wrote another file"
            written[0].unlink()
        return answer["seconds"] / count * 1e9

    def of(kind, sizes):
        if (kind, sizes) not in known:
            ways = READ if kind == "read" else WRITE
            known[kind, sizes] = {pair: [] for pair in ways}
            for _ in range(1 if request.config.getoption("--quick") else ROUNDS):
                for pair in ways:
                    known[kind, sizes][pair].append(measure(kind, *pair, sizes))
        return known[kind, sizes]

    return of


def note(benchmark, kind, engine, way, sizes, taken):
    seconds = iter([each / 1e9 for each in taken])
    benchmark.group = f"files {kind} {sizes[0]} to {sizes[1]} B"
    benchmark.extra_info.update(
        suite="files", kind=kind, engine=engine, version=version_of(engine), way=way, sizes=sizes, policy="none",
        packets=SIZES[sizes] // SLOW.get(engine, 1), drops=0, correct=True, ns_per_packet=taken)
    benchmark.pedantic(lambda: childclock.advance(next(seconds)), rounds=len(taken), iterations=1)


@pytest.mark.parametrize("engine, way", READ)
@pytest.mark.parametrize("sizes", SIZES)
def test_read(benchmark, rounds, sources, run, engine, way, sizes):
    if engine not in (LIBPCAP_C, NO_LIBRARY):    # those only count: their callback is empty
        path, digest = sources(sizes, None)
        assert run(engine, way, path, "CHECK")["digest"] == digest, f"{engine} {way}: not the file's packets"
    note(benchmark, "read", engine, way, sizes, rounds("read", sizes)[engine, way])


@pytest.mark.parametrize("engine, way", WRITE)
@pytest.mark.parametrize("sizes", SIZES)
def test_write(benchmark, rounds, engine, way, sizes):
    note(benchmark, "write", engine, way, sizes, rounds("write", sizes)[engine, way])
