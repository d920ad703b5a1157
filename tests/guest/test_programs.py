# SPDX-License-Identifier: BSD-3-Clause
"""Programs that nobody changed: tcpdump, the kernel's own selftest; and the fuzzer."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from rings import KIB, Ring, frame_of, info, packet_socket, request, smaps

SEQUENCES = int(os.environ.get("HUGEPCAP_FUZZ", "2000"))


def ring_of(pid: int) -> dict[str, int]:
    """The socket mapping of another process, once it has one."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if "socket:" in line:
                return smaps(int(line.split("-")[0], 16), pid)
    raise TimeoutError(f"process {pid} has mapped no ring within 60 s")


def tcpdump(pair, sender, tmp_path) -> dict[str, int]:
    """Captures 300 packets with unmodified tcpdump, and tells how its ring is mapped."""
    file = tmp_path / "out.pcap"
    with subprocess.Popen(["tcpdump", "-i", pair[1], "-c", "300", "-Z", "root", "-w", str(file), "ether proto 0x88b5"],
                          stderr=subprocess.PIPE, text=True) as process:
        while "listening" not in process.stderr.readline():
            assert process.poll() is None
        mapped = ring_of(process.pid)
        for number in range(300):
            sender.send(frame_of(number))
        assert process.wait(60) == 0
    captured, at = file.read_bytes(), 24
    for number in range(300):
        length = int.from_bytes(captured[at + 8:at + 12], "little")
        assert captured[at + 16:at + 16 + length] == frame_of(number)
        at += 16 + length
    assert at == len(captured)
    return mapped


def test_tcpdump_on_a_stock_ring(pair, sender, tmp_path):
    assert tcpdump(pair, sender, tmp_path)["FilePmdMapped"] == 0


def test_unmodified_tcpdump_on_a_huge_ring(pair, sender, tmp_path, switched_on, table):
    mapped = tcpdump(pair, sender, tmp_path)
    assert mapped["FilePmdMapped"] == mapped["Size"] == 2048
    table.append(f"unmodified tcpdump, net.packet.huge_rings=1: {mapped['FilePmdMapped']} of {mapped['Size']} KiB of its "
                 "ring in huge pages")


def test_sysctl_leaves_small_rings_and_tx_rings_alone(switched_on):
    with Ring("STOCK", 64 * KIB, 1024 * KIB) as ring:
        assert info(ring.sock).policy == 1
    with packet_socket(2) as sock:
        sock.setsockopt(263, 13, request(256 * KIB, 2048 * KIB, 2048, 2))
        assert info(sock, tx=True).policy == 1
    with Ring("STOCK", 256 * KIB, 2048 * KIB) as ring:
        assert info(ring.sock).policy == 3


def test_kernel_selftest_psock_tpacket():
    """Every kind of ring in every version, RX and TX, by the kernel's own program."""
    done = subprocess.run([os.environ["HUGEPCAP_KERNEL"] + "/psock_tpacket"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("100 pkts") == 36


@pytest.fixture
def swap():
    """Somewhere for MADV_PAGEOUT to write to."""
    subprocess.run(["mkswap", "/dev/ram0"], check=True, capture_output=True)
    subprocess.run(["swapon", "/dev/ram0"], check=True)
    yield
    subprocess.run(["swapoff", "/dev/ram0"], check=True)


def build_fuzzer(program: Path) -> None:
    parts = Path(__file__).parent.glob("fuzz*.c")
    subprocess.run(["gcc", "-O1", "-pthread", "-o", str(program), *map(str, parts)], check=True)


@pytest.mark.deadline(60 + SEQUENCES / 2)   # KASAN and lockdep in an emulated machine are slow
def test_random_sequences(pair, tmp_path, table, swap, huge_shmem, switched_on):
    """See fuzz.c; HUGEPCAP_FUZZ says how many. The fixture looks at the counters and at the kernel's log."""
    Path("/proc/sys/debug/exception-trace").write_text("0")
    build_fuzzer(tmp_path / "fuzz")
    seed = int.from_bytes(os.urandom(6), "little")
    done = subprocess.run([str(tmp_path / "fuzz"), "6", str(SEQUENCES), str(seed), pair[0]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    table.append(f"fuzzer, seed {seed}: {done.stdout.strip()}")
    count = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", done.stdout)}
    assert count["sequences"] >= SEQUENCES and count["rings"] > SEQUENCES // 2
    assert min(count[word] for word in ("mapped", "memories", "sends", "threads", "children", "kills")) > 0
    assert count["workers"] == 0, f"the kernel broke their memory, or the fuzzer is at fault: {done.stderr}"
