# SPDX-License-Identifier: BSD-3-Clause
"""Bad requests: each has its errno, and nothing stays allocated."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import traceback

import pytest

import rings
from rings import (HUGE, KIB, MIB, Mapping, Ring, base_pages, comes_to, enable, hugetlb, info, make_ring, packet_socket,
                   pinned_pages, request, thp)

GOOD = request(256 * KIB, 2 * MIB, 2048)


def give(sock, memory, offset=0, length=None, tx=False):
    enable(sock, memory.address + offset, memory.length if length is None else length, tx)


def raw_enable(sock, fields, length=24):
    packed = struct.pack("QQII", *fields).ljust(length, b"\0")[:length]
    sock.setsockopt(rings.SOL_PACKET, rings.PACKET_HUGETLB_ENABLE, packed)


def read_only(sock, memory):
    rings.check(rings.libc.mprotect(memory.address, memory.length, 1))
    give(sock, memory)


def base(sock, memory):
    small = base_pages(2 * MIB)
    try:
        give(sock, small)
    finally:
        small.close()


def page_cache(sock, memory):
    with open("/dev/ram0", "r+b") as disk:
        cache = Mapping(2 * MIB, 1, disk.fileno(), align=True)
        try:
            give(sock, cache)
        finally:
            cache.close()


def half_base(sock, memory):
    """The first huge page is one, the second has been split."""
    big = thp(4 * MIB)
    rings.check(rings.libc.munmap(big.address + 2 * MIB, 4 * KIB))
    rings.check(rings.libc.mmap(big.address + 2 * MIB, 4 * KIB, 3, 0x32, -1, 0))
    try:
        give(sock, big)
    finally:
        big.close()


def hole(sock, memory):
    """Within the second 2 MiB: what comes before it is pinned first."""
    big = thp(4 * MIB)
    rings.check(rings.libc.munmap(big.address + 2 * MIB + 300 * 4 * KIB, 100 * 4 * KIB))
    try:
        give(sock, big)
    finally:
        big.close()


def ring_of_another(sock, memory):
    with Ring("TRANSHUGE", total=4 * MIB) as other:
        give(sock, other.memory)


def memory_of_another(sock, memory):
    with packet_socket() as other:
        give(other, memory)
        make_ring(other, "HUGETLB", GOOD)
        give(sock, memory)


def own_rx_as_tx(sock, memory):
    give(sock, memory)
    make_ring(sock, "HUGETLB", GOOD)
    give(sock, memory, tx=True)


def overlap(sock, memory):
    give(sock, memory, length=2 * MIB)
    give(sock, memory, tx=True)


def twice(sock, memory):
    give(sock, memory, length=2 * MIB)
    give(sock, memory, offset=2 * MIB, length=2 * MIB)


def ring_twice(sock, memory):
    give(sock, memory)
    make_ring(sock, "HUGETLB", GOOD)
    make_ring(sock, "TRANSHUGE", GOOD)


def while_mapped(sock, memory):
    make_ring(sock, "TRANSHUGE", GOOD)
    mapping = Mapping(2 * MIB, 1, sock.fileno())
    try:
        make_ring(sock, "TRANSHUGE", bytes(28))
    finally:
        mapping.close()


def too_short(sock, memory):
    give(sock, memory, length=2 * MIB)
    make_ring(sock, "HUGETLB", request(256 * KIB, 4 * MIB, 2048))


def enormous(policy, blocks):
    """The table of its huge pages alone would take gigabytes. Over 524,288 blocks, so is a stock ring's."""
    def attempt(sock, memory):
        sock.setsockopt(rings.SOL_PACKET, rings.PACKET_VERSION, 1)
        make_ring(sock, policy, struct.pack("4I", 0x7FFFF000, blocks, 0x7FFFF000, blocks))
    return attempt


def ring_option_length(sock, memory, policy):
    sock.setsockopt(rings.SOL_PACKET, rings.option(policy), GOOD[:16])


def mmap_of_user_ring(sock, memory):
    give(sock, memory)
    make_ring(sock, "HUGETLB", GOOD)
    Mapping(2 * MIB, 1, sock.fileno())


def info_with(sock, flags, length):
    buffer = ctypes.create_string_buffer(struct.pack("I", flags), 128)
    rings.check(rings.libc.getsockopt(sock.fileno(), rings.SOL_PACKET, rings.PACKET_HUGE_INFO, buffer,
                                      ctypes.byref(ctypes.c_uint(length))))


# What is asked for, the errno, and the MiB that stay pinned of what was given before.
REFUSALS = {
    "address not a multiple of 2 MiB": (lambda s, m: give(s, m, 4 * KIB, 2 * MIB), "EINVAL"),
    "length not a multiple of 2 MiB": (lambda s, m: give(s, m, 0, 2 * MIB + 4 * KIB), "EINVAL"),
    "address without length": (lambda s, m: give(s, m, 0, 0), "EINVAL"),
    "unknown flag": (lambda s, m: raw_enable(s, (m.address, m.length, 1, 0)), "EINVAL"),
    "reserved field": (lambda s, m: raw_enable(s, (m.address, m.length, 0, 1)), "EINVAL"),
    "enable: optlen short": (lambda s, m: raw_enable(s, (m.address, m.length, 0, 0), 16), "EINVAL"),
    "enable: optlen long": (lambda s, m: raw_enable(s, (m.address, m.length, 0, 0), 32), "EINVAL"),
    "end of the address space": (lambda s, m: raw_enable(s, (2**64 - HUGE, 2 * HUGE, 0, 0)), "EOVERFLOW"),
    "kernel address": (lambda s, m: raw_enable(s, (0xFFFF888000000000, HUGE, 0, 0)), "EFAULT"),
    "more than the memory there is": (lambda s, m: give(s, m, 0, 1 << 46), "ENOMEM"),
    "not mapped": (lambda s, m: give(s, m, -(1 << 30), HUGE), "EFAULT"),
    "mapped in part": (lambda s, m: give(s, m, 0, m.length + HUGE), "EFAULT"),
    "read-only": (read_only, "EFAULT"),
    "base pages": (base, "EMEDIUMTYPE"),
    "page cache": (page_cache, "EMEDIUMTYPE" if os.uname().release.startswith("6.1.") else "EFAULT"),
    "one huge page split": (half_base, "EMEDIUMTYPE"),
    "hole in a huge page": (hole, "EFAULT"),
    "ring of another socket": (ring_of_another, "EMEDIUMTYPE"),
    "memory of another socket's ring": (memory_of_another, "EADDRINUSE"),
    "memory of the RX ring for TX": (own_rx_as_tx, "EADDRINUSE", 4),
    "memory waiting for RX for TX": (overlap, "EADDRINUSE", 2),
    "memory twice": (twice, "EBUSY", 2),
    "ring twice": (ring_twice, "EBUSY", 4),
    "ring gone while mapped": (while_mapped, "EBUSY"),
    "ring without memory": (lambda s, m: make_ring(s, "HUGETLB", GOOD), "ENXIO"),
    "TX ring on memory for RX": (lambda s, m: (give(s, m), make_ring(s, "HUGETLB", GOOD, tx=True)), "ENXIO", 4),
    "memory too short": (too_short, "ENOSPC", 2),
    "request of V2 on V3": (lambda s, m: ring_option_length(s, m, "TRANSHUGE"), "EINVAL"),
    "request of V2 on V3, single attempt": (lambda s, m: ring_option_length(s, m, "VZALLOC"), "EINVAL"),
    "block not of whole pages": (lambda s, m: make_ring(s, "TRANSHUGE", request(6000, 2 * MIB, 2000)), "EINVAL"),
    "frame_nr wrong": (lambda s, m: make_ring(s, "TRANSHUGE", struct.pack("7I", 4096, 8, 2048, 15, 0, 0, 0)),
                       "EINVAL"),
    "mmap of a ring in user memory": (mmap_of_user_ring, "EINVAL", 4),
    "unknown option": (lambda s, m: s.setsockopt(rings.SOL_PACKET, 0x4807, GOOD), "ENOPROTOOPT"),
    "info: optlen short": (lambda s, m: info_with(s, 0, 16), "EINVAL"),
    "info: unknown flag": (lambda s, m: info_with(s, 1, 128), "EINVAL"),
    "single attempt that must fail": (
        lambda s, m: make_ring(s, "GFPNORETRY", request(8 * MIB, 16 * MIB, 2048)), "ENOMEM"),
    "more huge pages than can be counted": (enormous("TRANSHUGE", 400_000), "ENOMEM"),
    "more blocks than can be counted": (enormous("TRANSHUGE", 600_000), "ENOMEM"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusal(case):
    """Looked at before the socket is closed, which would hide what was left."""
    attempt, expected, *stays = REFUSALS[case]
    pinned = stays[0] * MIB if stays else 0
    memory = hugetlb(4 * MIB)
    with packet_socket() as sock:
        before = pinned_pages()
        with pytest.raises(OSError) as refused:
            attempt(sock, memory)
        assert errno.errorcode[refused.value.errno] == expected
        assert info(sock).pinned_bytes + info(sock, tx=True).pinned_bytes == pinned
        assert comes_to(before + pinned // (4 * KIB), pinned_pages, 5), f"{pinned_pages() - before} pages are pinned"
        if not pinned and expected != "EBUSY":
            assert info(sock).block_nr == info(sock, tx=True).block_nr == 0
    memory.close()


def test_enormous_stock_ring_with_the_sysctl_on(switched_on):
    """Tried in huge pages first; refused as without them, and the kernel's log stays empty."""
    with packet_socket() as sock, pytest.raises(OSError, match="Cannot allocate memory"):
        enormous("STOCK", 600_000)(sock, None)


@pytest.mark.parametrize("policy", ["STOCK", "TRANSHUGE", "GFPNORETRY", "VZALLOC", "GFPRETRY"])
def test_memory_that_waits_behind_another_ring_is_told(policy):
    memory = hugetlb(4 * MIB)
    with packet_socket() as sock:
        give(sock, memory)
        make_ring(sock, policy, GOOD)
        got = info(sock)
        assert (rings.POLICIES[got.policy], got.pinned_bytes) == (policy, 4 * MIB)
        enable(sock, 0, 0)
        assert info(sock).pinned_bytes == 0
    memory.close()


def test_refused_ring_leaves_the_memory_for_another_request():
    memory = hugetlb(2 * MIB)
    with packet_socket() as sock:
        give(sock, memory)
        with pytest.raises(OSError, match="No space left"):
            make_ring(sock, "HUGETLB", request(256 * KIB, 4 * MIB, 2048))
        assert info(sock).pinned_bytes == 2 * MIB
        make_ring(sock, "HUGETLB", GOOD)
        assert info(sock).block_nr == 8
    memory.close()


def test_memory_can_be_taken_back():
    memory = hugetlb(2 * MIB)
    with packet_socket() as sock:
        give(sock, memory)
        enable(sock, 0, 0)
        assert info(sock).pinned_bytes == 0
        give(sock, memory)
    memory.close()


def test_rlimit_memlock_without_capability():
    """In a child that keeps its socket but no capability."""
    memory = hugetlb(8 * MIB)
    with packet_socket() as sock, packet_socket() as second:
        child = os.fork()
        if not child:
            os._exit(without_capability(sock, second, memory))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    memory.close()


def without_capability(sock, second, memory) -> int:
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (4 * MIB, 4 * MIB))
        os.setresuid(1234, 1234, 1234)
        with pytest.raises(OSError) as refused:
            give(sock, memory)
        assert refused.value.errno == errno.ENOBUFS
        give(sock, memory, 0, 4 * MIB)
        with pytest.raises(OSError) as refused:
            give(second, memory, 4 * MIB, 2 * MIB)
        assert refused.value.errno == errno.ENOBUFS
        enable(sock, 0, 0)
        give(second, memory, 4 * MIB, 4 * MIB)
        return 0
    except BaseException:
        traceback.print_exc()
        return 1
