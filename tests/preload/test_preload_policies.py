# SPDX-License-Identifier: BSD-3-Clause
"""In a patched guest: unmodified programs on rings of every kind, what their address space then looks like, and
that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import shim
from helpers import send, wait_until
from programs import TOOLS
from shim import MIB, Program
from test_preload_awkward import SANITIZE, check, compile_program, compile_shim
from test_preload_programs import COUNT, captured, tool  # noqa: F401

pytestmark = pytest.mark.deadline(1200)    # a busy machine under TCG takes two minutes to import a module
HUGE = 2 * MIB
POOL_PAGES = 40
RING = {"ring": "16M", "verbose": 1}


def set_pool(pages):
    file = Path("/proc/sys/vm/nr_hugepages")
    file.write_text(str(pages))
    assert int(file.read_text()) == pages, "the guest has not enough memory for the pool"


def held():
    """Huge pages of the pool in use, huge pages pinned."""
    Path("/proc/sys/vm/stat_refresh").write_text("1")    # the pins are counted per CPU
    text = Path("/proc/meminfo").read_text() + Path("/proc/vmstat").read_text()
    counts = {key: int(value) for key, value in re.findall(r"^(\w+):?\s+(\d+)", text, flags=re.M)}
    pins = counts["nr_foll_pin_acquired"] - counts["nr_foll_pin_released"]
    return (counts["HugePages_Total"] - counts["HugePages_Free"] + counts["HugePages_Rsvd"],
            round(pins / 512))    # the guest's 9p has a page or two pinned at any moment


@pytest.fixture(autouse=True)
def pool(root):
    set_pool(POOL_PAGES)
    yield
    set_pool(0)


def tcpdump(link, count=1, file="/dev/null"):
    return TOOLS["tcpdump"].command(link.far, count, file)


def check_ring(program, policy):
    """One ring, 16 MiB, mapped as the policy has it; and so the line says."""
    ring, = program.rings()
    assert ring.bytes == 16 * MIB, program.said()
    assert ring.name.startswith("/memfd:hugepcap" if policy == "hugetlb" else "socket:")
    assert ring.page_bytes == (HUGE if policy == "hugetlb" else 4096)
    assert ring.huge == (ring.bytes if policy in ("hugetlb", "thp") else 0)
    user = "2 MiB" if ring.huge else "4 KiB"
    kernel = "4 KiB" if policy == "vzalloc" else "2 MiB"
    assert re.search(rf"got 16 MiB \(\d+ x \w+ KiB\) by {policy}, pages of {user} in the program, "
                     rf"{kernel} in the kernel$", program.said(), flags=re.M), program.said()


KINDS = [(name, policy) for policy in ("hugetlb", "thp", "gfpnoretry", "vzalloc", "gfpretry", "stock") for name in TOOLS]


@pytest.mark.parametrize("tool, policy", KINDS, indirect=["tool"])
def test_programs_on_every_kind_of_ring(link, tool, tmp_path, policy):  # noqa: F811
    file = tmp_path / "out.pcap"
    # dumpcap gives CAP_IPC_LOCK up before it captures
    command = ["prlimit", "--memlock=unlimited", *tool.command(link.far, COUNT, file)]
    with Program(command, tool.ready, policy=policy, **RING) as program:
        check_ring(program, policy)
        send(link.near, COUNT)
        assert captured(program, tool, file) == list(range(COUNT))


@pytest.mark.parametrize("policy", ["hugetlb", "thp"])
@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind(link, policy, end):
    before = held()
    with Program(tcpdump(link), "listening on", policy=policy, **RING) as program:
        pages = 8 if policy == "hugetlb" else 0
        assert held() == (before[0] + pages, before[1] + pages)
        if end is None:
            send(link.near, 1)
            assert program.finish() == 0
        else:
            program.end(end)
    wait_until(lambda: held() == before, f"{before} pages held, as before")


@pytest.mark.parametrize("policy", ["hugetlb", "thp"])
def test_awkward_cases(network, tmp_path, policy):
    before = held()
    check(shim.run([compile_program(tmp_path)], ring="8M", policy=policy, deadline_s=240))
    wait_until(lambda: held() == before, f"{before} pages held, as before")


def test_awkward_cases_under_the_sanitizers(network, tmp_path):
    """Memory of the pool has the most to go wrong with: the shim maps it, rounds what is unmapped, gives it back."""
    before = held()
    program, library = compile_program(tmp_path, *SANITIZE), compile_shim(tmp_path)
    check(shim.run([program], ring="8M", policy="hugetlb", library=library, deadline_s=600))
    wait_until(lambda: held() == before, f"{before} pages held, as before")


def test_auto_takes_the_best_there_is(link):
    with Program(tcpdump(link), "listening on", **RING) as program:
        check_ring(program, "hugetlb")
    set_pool(0)
    with Program(tcpdump(link), "listening on", **RING) as program:
        assert program.rings()[0].huge == 16 * MIB
        assert "by thp, pages of 2 MiB in the program, 2 MiB in the kernel; no hugetlb: mmap: ENOMEM, " \
            "8 pages of 2048 KiB needed, 0 free; sysctl vm.nr_hugepages enlarges the pool" in program.said()


def test_one_policy_falls_back_to_stock_or_fails(link):
    set_pool(0)
    with Program(tcpdump(link), "listening on", policy="hugetlb", **RING) as program:
        assert "got 16 MiB (64 x 256 KiB) by stock" in program.said() and "; no hugetlb:" in program.said()
    done = shim.run(tcpdump(link), policy="hugetlb", strict=1)
    assert done.returncode != 0 and "refused (HUGEPCAP_STRICT=1): mmap: ENOMEM" in done.stderr


def test_memory_that_may_not_be_locked(link):
    """Without CAP_IPC_LOCK the kernel counts pinned memory against RLIMIT_MEMLOCK; thp pins nothing."""
    before = held()
    command = ["setpriv", "--bounding-set=-ipc_lock", "prlimit", "--memlock=65536:65536", *tcpdump(link)]
    with Program(command, "listening on", **RING) as program:
        assert program.rings()[0].huge == 16 * MIB
        assert "by thp" in program.said() and "ENOBUFS, 16777216 bytes are over RLIMIT_MEMLOCK" in program.said()
    wait_until(lambda: held() == before, f"{before} pages held, as before")


def test_a_hugetlbfs_of_the_administrators(link, tmp_path):
    before = held()
    subprocess.run(["mount", "-t", "hugetlbfs", "none", tmp_path], check=True)
    try:
        with Program(tcpdump(link), "listening on", policy="hugetlb", hugetlbfs=tmp_path, **RING) as program:
            ring, = program.rings()
            assert ring.name.startswith(str(tmp_path)) and ring.page_bytes == HUGE and ring.bytes == 16 * MIB
            assert os.listdir(tmp_path) == []
            program.end(signal.SIGKILL)
        assert os.listdir(tmp_path) == []
        wait_until(lambda: held() == before, f"{before} pages held, as before")
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    done = shim.run(tcpdump(link), policy="hugetlb", hugetlbfs=tmp_path, strict=1)
    assert done.returncode != 0 and f"EINVAL, {tmp_path} is no hugetlbfs" in done.stderr


@pytest.mark.parametrize("policy", ["hugetlb", "thp", "stock"])
def test_sending_from_a_huge_tx_ring(link, tmp_path, policy):
    config = tmp_path / "packet.cfg"
    config.write_text("{ fill(0xff, 6), fill(0x02, 6), c16(0x88b5), fill(0x5a, 46) }")
    command = ["trafgen", "--dev", link.near, "--conf", config, "--num", 50, "--cpus", 1, "--ring-size", "2MiB"]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as receiver:
        receiver.bind((link.far, 0x88B5))
        receiver.settimeout(30)
        done = shim.run(command, folder=tmp_path, policy=policy, strict=1, verbose=1)    # it writes where it stands
        assert done.returncode == 0, done.stderr
        assert re.search(rf"TX ring: asked .*, got 1 MiB .* by {policy}, ", done.stderr), done.stderr
        assert [receiver.recv(2048)[14:] for _ in range(50)] == [b"\x5a" * 46] * 50
