# SPDX-License-Identifier: BSD-3-Clause
"""The HUGEPCAP_ variables: what is said of them, what strict does, and a program that never sees a ring."""

from __future__ import annotations

import re
import subprocess

import pytest

import shim
from beside import SHORT_OF_MEMORY, beside
from helpers import send
from shim import MIB, Program, run

POLICIES = "auto hugetlb thp gfpnoretry vzalloc gfpretry stock"


def exported(kind):
    lines = subprocess.run(["nm", "-D", kind, shim.LIBRARY], text=True, check=True, capture_output=True).stdout
    return {line.split()[-1] for line in lines.splitlines()}


def test_exports_the_interposed_names_only():
    map_file = (shim.LIBRARY.parent / "preload.map").read_text()
    names = set(re.findall(r"^\t(\w+);", map_file, flags=re.M))
    assert exported("--defined-only") == names
    assert "getpagesize" not in names


def test_core_asks_the_next_library():
    """The shared core must not come back through the interposed functions."""
    assert not {"setsockopt", "mmap", "munmap", "close"} & exported("--undefined-only")


@pytest.mark.parametrize("settings, complaint", [
    ({"policy": "hugepages"}, f"HUGEPCAP_POLICY=hugepages is ignored: give one of: {POLICIES}"),
    ({"policy": ""}, "HUGEPCAP_POLICY= is ignored"),
    ({"ring": "lots"}, "HUGEPCAP_RING=lots is ignored: give a size such as 256M"),
    ({"ring": "-1M"}, "HUGEPCAP_RING=-1M is ignored"),
    ({"ring": "99999999T"}, "HUGEPCAP_RING=99999999T is ignored"),
    ({"ring": "1Mx"}, "HUGEPCAP_RING=1Mx is ignored"),
    ({"ring": "8 "}, "HUGEPCAP_RING=8  is ignored"),
    ({"ring": "8 B"}, "HUGEPCAP_RING=8 B is ignored"),
    ({"ring": "256 iB"}, "HUGEPCAP_RING=256 iB is ignored"),
    ({"verbose": "4"}, "HUGEPCAP_VERBOSE=4 is ignored: give 0, 1, 2 or 3"),
    ({"hugetlbfs": "mnt"}, "HUGEPCAP_HUGETLBFS=mnt is ignored: give the absolute path"),
    ({"rign": "1M"}, "HUGEPCAP_RIGN is no name of ours and ignored: there are HUGEPCAP_POLICY, HUGEPCAP_RING"),
])
def test_unknown_names_and_values(settings, complaint):
    lenient = run(["true"], **settings)
    assert complaint in lenient.stderr and lenient.returncode == 0
    strict = run(["true"], strict=1, **settings)
    assert complaint in strict.stderr and "not started" in strict.stderr and strict.returncode == 2


def test_right_values_say_nothing():
    done = run(["true"], policy="thp", ring="256MiB", strict=1, verbose=3, hugetlbfs="/mnt", ci=1)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_variable_is_said_once_for_a_program_and_those_it_starts():
    done = run(["sh", "-c", "/bin/true; HUGEPCAP_RING=x /bin/true; HUGEPCAP_RIGN=2 /bin/true; exit 0"], rign=1)
    assert [line.split("[")[0] + line.split("]:")[1].split(" is ")[0] for line in done.stderr.splitlines()] == [
        "hugepcap: sh HUGEPCAP_RIGN", "hugepcap: true HUGEPCAP_RING=x", "hugepcap: true HUGEPCAP_RIGN"]


def test_a_name_longer_than_a_line():
    done = subprocess.run(["n" * 5000], executable="/bin/true", env=shim.environment(ring="lots"), text=True,
                          stderr=subprocess.PIPE, timeout=shim.DEADLINE_S)
    assert done.returncode == 0
    assert re.fullmatch(r"hugepcap: n{200,}\[\d+\]: HUGEPCAP_RING=lots is ignored: .*\n", done.stderr)


def tcpdump(link):
    return ["tcpdump", "-n", "-i", link.far, "-c", "1"]


def test_silent_unless_asked(link):
    with Program(tcpdump(link), "listening on", ring="4M") as program:
        assert "hugepcap" not in program.said()


def test_line_of_a_ring(link):
    with Program(tcpdump(link), "listening on", ring="4M", policy="stock", verbose=1) as program:
        lines = [line for line in program.said().splitlines() if line.startswith("hugepcap")]
        assert len(lines) == 1
        assert re.search(r"tcpdump\[\d+\]: fd \d+ RX ring: asked 2 MiB \(8 x 256 KiB\) by stock, "
                         r"got 4 MiB \(16 x 256 KiB\) by stock, pages of 4 KiB in the program", lines[0])


def test_more_lines_at_higher_levels(link):
    with Program(tcpdump(link), "listening on", ring="4M", policy="stock", verbose=3) as program:
        assert "RX ring of 4 MiB (16 x 256 KiB): made by stock" in program.said()
        program.end()
        assert re.search(r"fd \d+ is no packet ring's any more", program.said())


def test_ring_is_never_made_smaller(link):
    with Program(tcpdump(link) + ["-B", "16384"], "listening on", ring="4M") as program:
        assert [ring.bytes for ring in program.rings()] == [16 * MIB]


def test_more_than_the_programs_geometry_allows(link):
    """netsniff-ng's blocks are of 64 KiB, and a ring has at most 65,535; no line, and no ring, is lost on the way."""
    command = ["netsniff-ng", "--in", link.far, "--out", "/dev/null", "--silent", "--ring-size", "2MiB"]
    done = run(command, ring="8G", strict=1)
    assert done.returncode != 0
    assert "HUGEPCAP_RING not in full: 65535 blocks of 65536 bytes stay of 32" in done.stderr
    assert "a ring has at most 65535 blocks" in done.stderr


@pytest.mark.parametrize("blocks, least", [(100, 50), (8, 8), (5, 5)])
def test_as_deep_as_memory_allows(link, tmp_path, monkeypatch, blocks, least):
    """The shim gives up depth; below the program's 8 blocks libpcap does, one by one. A real shortage would take
    the machine's memory, so the next library in the row plays the kernel: ours must call it."""
    monkeypatch.setenv("BLOCKS", str(blocks))
    with Program(tcpdump(link), "listening on", library=beside(tmp_path, SHORT_OF_MEMORY), policy="stock",
                 ring="64M") as program:
        ring, = program.rings()
        assert least * MIB // 4 <= ring.bytes <= blocks * MIB // 4
        send(link.near, 1)
        assert program.finish() == 0 and "1 packet captured" in program.said()


def test_strict_fails_where_only_the_stock_ring_is_left(link):
    if shim.kernel_has_policies():
        pytest.skip("this kernel has CONFIG_PACKET_HUGE: nothing is refused")
    done = run(tcpdump(link), strict=1)
    assert done.returncode != 0 and "listening" not in done.stderr
    assert re.search(r"refused \(HUGEPCAP_STRICT=1\): PACKET_HUGE_INFO: ENOPROTOOPT, "
                     r"this kernel has no CONFIG_PACKET_HUGE", done.stderr)
    with Program(tcpdump(link), "listening on", strict=1, policy="stock", ring="4M") as program:
        assert [ring.bytes for ring in program.rings()] == [4 * MIB]
