# SPDX-License-Identifier: BSD-3-Clause
"""Memory under a ring: whatever the process does with its mapping, nothing is freed early and nothing stays."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import signal
import time
import traceback
from pathlib import Path
from typing import Iterator

import pytest

import rings
from rings import (ETHERTYPE, HUGE, HUGE_POLICIES, KIB, MIB, POLICIES, Mapping, Ring, check, comes_to, enable, figures,
                   frame_of, info, libc, make_ring, packet_socket, pinned_pages, request, smaps, thp)

PAGE = 4 * KIB
MADV_DONTFORK = 10
SLAB_KIB = 256


def send_all(sender, first: int, count: int) -> None:
    for number in range(first, first + count):
        sender.send(frame_of(number))


def expect(ring: Ring, first: int, count: int) -> None:
    for number, got in enumerate(ring.packets(count), first):
        assert got == frame_of(number)


def in_a_child(work) -> None:
    """Runs it in a process of its own, whose exit status is the verdict."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def used_kib() -> dict[str, int]:
    """Slab caches grow by a leak of 256 bytes a round. Under KASAN freed objects stay in them: there, the leak detector
    is what finds such a leak."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    values = figures()
    return {"memory": -values["MemFree"], "slab": 0 if rings.DEBUG else values["SUnreclaim"]}


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_a_thousand_rounds_leave_memory_flat(policy, pair, sender):
    """A leak of a page a round takes 4 MiB every time; on the debug kernel, where a round takes so long that it has two
    hundred, one of a few pages is seen, and the detector sees what is not pages. What the kernel frees late (vmalloc
    areas, and under KASAN their shadow and the quarantine) does so only until it has grown to its limit."""
    limit = {"memory": 2 * KIB, "slab": SLAB_KIB}
    rounds = 200 if rings.DEBUG else 1000

    def taken_kib(count: int) -> dict[str, int]:
        before = used_kib()
        for _ in range(count):
            with Ring(policy, total=2 * MIB):
                pass
        return {name: value - before[name] for name, value in used_kib().items()}

    def flat(taken: dict[str, int]) -> bool:
        return all(taken[name] < limit[name] for name in limit)

    taken_kib(50)
    taken: list[dict[str, int]] = []
    while len(taken) < 5 and not (taken and flat(taken[-1])):
        taken.append(taken_kib(rounds))
    assert flat(taken[-1]), f"{taken} KiB gone, {rounds} rounds each: a leak"


def test_user_memory_unmapped_while_packets_come(pair, sender):
    """The kernel goes on writing into pages that nobody else has."""
    with Ring("HUGETLB").bind(pair[1]) as ring:
        pinned = pinned_pages()
        ring.view.release()
        ring.memory.close()
        send_all(sender, 0, 500)
        assert comes_to(pinned, pinned_pages)
        assert ring.statistics()[0] == 500
        ring.view = memoryview(b"")


@pytest.mark.parametrize("how", ["punch", "truncate"])
def test_file_emptied_under_the_ring(how, pair, sender):
    """Pages that fault in afterwards are others; the kernel's are still its own."""
    fd = os.memfd_create("ring", 4)
    os.ftruncate(fd, 2 * MIB)
    memory = Mapping(2 * MIB, mmap.MAP_SHARED, fd)
    with packet_socket() as sock:
        enable(sock, memory.address, memory.length)
        make_ring(sock, "HUGETLB", request(256 * KIB, 2 * MIB, 2048, retire_ms=10))
        sock.bind((pair[1], rings.ETHERTYPE))
        if how == "punch":
            check(libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(2 * MIB)))
        else:
            os.ftruncate(fd, 0)
            os.ftruncate(fd, 2 * MIB)
        ctypes.memset(memory.address, 0x5A, memory.length)
        send_all(sender, 0, 200)
        assert bytes(memory.view()) == b"\x5a" * memory.length
        assert info(sock).pinned_bytes == 2 * MIB
    memory.close()
    os.close(fd)


@pytest.mark.parametrize("kept", [False, True], ids=["fork", "MADV_DONTFORK"])
def test_anonymous_huge_pages_stay_the_parents_over_a_fork(kept, pair, sender):
    """The child gets a copy, for which the kernel splits the mapping of the parent, but not the memory."""
    memory = thp(2 * MIB)
    with Ring("HUGETLB", version=2, memory=memory).bind(pair[1]) as ring:
        if kept:
            check(libc.madvise(memory.address, memory.length, MADV_DONTFORK))
        in_a_child(lambda: kept or ctypes.memset(memory.address, 0xEE, memory.length))
        assert smaps(memory.address)["AnonHugePages"] * KIB == (memory.length if kept else 0)
        assert info(ring.sock).kernel_huge_bytes == ring.total
        send_all(sender, 0, 100)
        expect(ring, 0, 100)


@pytest.mark.parametrize("thp_mode", ["always", "madvise", "never"], indirect=True)
def test_child_reads_the_huge_mapping(thp_mode, pair, sender):
    """The parent's mapping is made by mmap() and huge in each mode; the child's by faults, which obey never on 6.12."""
    huge = thp_mode != "never" or os.uname().release.startswith("6.1.")
    with Ring("TRANSHUGE").bind(pair[1]) as ring:
        send_all(sender, 0, 50)

        def read() -> None:
            expect(ring, 0, 50)
            ctypes.memset(ring.memory.address, 0, ring.total)
            assert smaps(ring.memory.address)["FilePmdMapped"] * KIB == (ring.total if huge else 0)

        in_a_child(read)
        assert smaps(ring.memory.address)["FilePmdMapped"] * KIB == ring.total


@pytest.mark.parametrize("policy", ["STOCK", *HUGE_POLICIES])
def test_killed_while_packets_come(policy, pair, sender):
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        os.sched_setaffinity(0, range(os.cpu_count()))    # dies on one CPU while the other sends
        ring = Ring(policy).bind(pair[1])
        os.write(told, b"1")
        ring._wait(1 << 20, "I", time.monotonic() + 600)
        os._exit(1)
    assert os.read(ready, 1) == b"1"
    send_all(sender, 0, 300)
    os.kill(child, signal.SIGKILL)
    send_all(sender, 300, 300)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    os.close(ready), os.close(told)


def test_socket_closed_before_its_mapping(pair, sender):
    """The mapping holds the socket: the ring lives on, and packets come."""
    with Ring("TRANSHUGE").bind(pair[1]) as ring:
        ring.sock.close()
        send_all(sender, 0, 10)
        ends = time.monotonic() + 20
        while not ring.view[8] & 1:
            assert time.monotonic() < ends
        assert frame_of(0) in bytes(ring.view[:4096])


@pytest.mark.parametrize("cut", ["munmap", "mprotect", "dontneed", "mremap"])
@pytest.mark.parametrize("policy", ["TRANSHUGE"])
def test_mapping_cut_and_patched(policy, cut, pair, sender):
    """A split huge entry comes back page by page, with the packets in it."""
    with Ring(policy, total=4 * MIB, version=2).bind(pair[1]) as ring:
        send_all(sender, 0, 300)
        middle = ring.memory.address + 2 * MIB + 64 * PAGE
        if cut == "munmap":
            check(libc.munmap(middle, PAGE))
        elif cut == "mprotect":
            check(libc.mprotect(middle, PAGE, 1))
            check(libc.mprotect(middle, PAGE, 3))
        elif cut == "dontneed":
            check(libc.madvise(ring.memory.address, ring.total, 4))
        else:
            libc.mremap.restype = ctypes.c_void_p
            libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
            ring.view.release()
            ring.memory.address = check(libc.mremap(ring.memory.address, ring.total, 2 * MIB, 1))
            ring.memory.length = 2 * MIB
            ring.view = ring.memory.view()
        expect(ring, 0, 300)


def test_mapping_may_not_grow():
    with Ring("TRANSHUGE") as ring:
        libc.mremap.restype = ctypes.c_void_p
        libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
        with pytest.raises(OSError, match="Bad address"):
            check(libc.mremap(ring.memory.address, ring.total, 2 * ring.total, 1))


def test_private_mapping_is_copied_on_write(pair, sender):
    with Ring("TRANSHUGE", version=2, flags=mmap.MAP_PRIVATE).bind(pair[1]) as ring:
        other = Mapping(ring.total, mmap.MAP_SHARED, ring.sock.fileno())
        before = bytes(ring.view[:64])
        ring.view[40 * 2048:40 * 2048 + 4] = b"mine"
        assert bytes(other.view()[40 * 2048:40 * 2048 + 4]) == bytes(4)
        assert bytes(ring.view[:64]) == before
        other.close()


@pytest.mark.parametrize("flags", [0x2000, 0x8000, 0xA000], ids=["LOCKED", "POPULATE", "LOCKED|POPULATE"])
@pytest.mark.parametrize("policy", ["STOCK", "TRANSHUGE"])
def test_locked_mappings_of_other_readers(policy, flags, pair, sender):
    """netsniff-ng, stenographer, Arkime and Suricata lock their rings."""
    with Ring(policy, flags=mmap.MAP_SHARED | flags).bind(pair[1]) as ring:
        send_all(sender, 0, 50)
        expect(ring, 0, 50)
        assert smaps(ring.memory.address)["Locked"] == 0


@pytest.mark.parametrize("policy", ["STOCK", *HUGE_POLICIES])
def test_ring_written_to_disk_directly(policy, pair, sender):
    """O_DIRECT pins pages of the ring by get_user_pages()."""
    with Ring(policy, version=2).bind(pair[1]) as ring:
        send_all(sender, 0, 100)
        next(iter(ring.packets(1)))
        disk = os.open("/dev/ram0", os.O_RDWR | os.O_DIRECT)
        assert os.pwrite(disk, ring.view, 0) == ring.total
        os.close(disk)
        with open("/dev/ram0", "rb") as back:
            assert back.read(ring.total) == bytes(ring.view)


def test_page_of_1_gib(table):
    """Reserved at boot, by kernel/boot."""
    memory = Mapping(1 << 30, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | rings.MAP_HUGETLB | 30 << 26)
    with packet_socket() as sock:
        enable(sock, memory.address, 64 * MIB)
        make_ring(sock, "HUGETLB", request(4 * MIB, 64 * MIB, 2048, retire_ms=100))
        got = info(sock)
        assert (got.user_page_bytes, got.kernel_page_bytes) == (1 << 30, HUGE)
        assert got.kernel_huge_bytes == 64 * MIB and got.reason == 0
        with packet_socket() as second:
            enable(second, memory.address + 64 * MIB, 64 * MIB)
    memory.close()


@pytest.mark.parametrize("node", [0, 1])
@pytest.mark.parametrize("policy", HUGE_POLICIES)
def test_ring_on_the_node_that_the_task_asks_for(policy, node):
    """The guest has two nodes (numa=fake=2)."""
    set_mempolicy, bind = 238, 2
    check(libc.syscall(set_mempolicy, bind, ctypes.byref(ctypes.c_ulong(1 << node)), 8))
    try:
        with Ring(policy, total=4 * MIB) as ring:
            assert info(ring.sock).node == node
    finally:
        check(libc.syscall(set_mempolicy, 0, None, 0))


@pytest.fixture
def nic() -> Iterator[Path]:
    """The guest's NIC (kernel/boot), whose node may be written down; it knows none of its own."""
    device, = Path("/sys/bus/pci/drivers/e1000").glob("0000:*")
    before = (device / "numa_node").read_text()
    yield device
    (device / "numa_node").write_text(before)


@pytest.mark.parametrize("node", [0, 1])
def test_ring_on_the_node_of_its_device(nic, node):
    (nic / "numa_node").write_text(str(node))
    with packet_socket() as sock:
        sock.bind((os.listdir(nic / "net")[0], ETHERTYPE))
        make_ring(sock, "TRANSHUGE", request(256 * KIB, 4 * MIB, 2048, retire_ms=100))
        assert info(sock).node == node


def scans() -> int:
    """How often all memory of this process was looked at."""
    return int(re.search(r"numa_scan_seq\s*:\s*(\d+)", Path("/proc/self/sched").read_text())[1])


def mapped(ring: Ring) -> list[int]:
    fields = smaps(ring.memory.address)
    return [fields[name] for name in ("Size", "KernelPageSize", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb")]


@pytest.fixture
def balancing() -> Iterator[None]:
    """NUMA balancing, looking at all memory ten times a second of CPU time."""
    switch = Path("/proc/sys/kernel/numa_balancing")
    wanted = {"scan_size_mb": "4096", "scan_delay_ms": "100", "scan_period_min_ms": "100", "scan_period_max_ms": "100"}
    knobs = {Path("/sys/kernel/debug/sched/numa_balancing") / name: value for name, value in wanted.items()}
    before = {path: path.read_text() for path in (switch, *knobs)}
    for path, value in knobs.items():
        path.write_text(value)
    switch.write_text("1")
    yield
    for path, value in before.items():
        path.write_text(value)


@pytest.mark.deadline(360)
@pytest.mark.parametrize("policy", ["STOCK", *HUGE_POLICIES])
def test_numa_balancing_leaves_the_ring_alone(policy, pair, sender, balancing):
    """A task moves between CPUs while its memory is looked at; the ring neither moves nor is split. A new task, for how
    often an old one's is looked at depends on what was found before."""
    def move_and_read() -> None:
        with Ring(policy).bind(pair[1]) as ring:
            cpus, sent = os.cpu_count(), 0
            before = info(ring.sock), mapped(ring)
            looked, ends = scans(), time.monotonic() + 300
            while scans() == looked:
                assert time.monotonic() < ends, "its memory was not looked at"
                os.sched_setaffinity(0, {sent // 50 % cpus})
                send_all(sender, sent, 50)
                expect(ring, sent, 50)
                sent += 50
            assert before == (info(ring.sock), mapped(ring))

    in_a_child(move_and_read)


def time_of_1_gib(policy: str) -> float:
    start = time.monotonic()
    with Ring(policy, block=4 * MIB, total=1 << 30):
        pass
    return time.monotonic() - start


def test_time_to_open_map_and_close_1_gib(table):
    """A ratio, no more: the guest is emulated. Stock clears and inserts 262,144 pages one by one."""
    pool = Path("/proc/sys/vm/nr_hugepages")
    before = pool.read_text()
    stock = time_of_1_gib("STOCK")
    transhuge = time_of_1_gib("TRANSHUGE")
    pool.write_text("512")
    assert int(pool.read_text()) == 512
    hugetlb = time_of_1_gib("HUGETLB")
    pool.write_text(before)
    table.append(f"open, map and close 1 GiB: stock {stock:.2f} s = 1, TRANSHUGE {transhuge / stock:.2f}, "
                 f"HUGETLB {hugetlb / stock:.2f}")
    assert min(stock, transhuge, hugetlb) > 0
