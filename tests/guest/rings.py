# SPDX-License-Identifier: BSD-3-Clause
"""Packet rings of every kind by plain system calls, and what the kernel says of them."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import select
import socket
import struct
import time
from pathlib import Path
from typing import Callable, Iterator, NamedTuple

from helpers.smaps import mapping_at

HEADER = Path(__file__).parents[2] / "hugepcap/_csrc/hp_uapi.h"
globals().update({name: int(value, 16) for name, value in
                  re.findall(r"#define\s+(PACKET_\w+)\s+(0x\w+)", HEADER.read_text())})

SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_TX_RING = 5, 6, 10, 13
KIB, MIB = 1 << 10, 1 << 20
HUGE = 2 * MIB
# The debug kernel, emulated, is so slow that a few tests do less.
DEBUG = "-debug-" in os.environ.get("HUGEPCAP_KERNEL", "")
MAP_HUGETLB = 0x40000
POLICIES = ["NONE", "STOCK", "HUGETLB", "TRANSHUGE", "GFPNORETRY", "VZALLOC", "GFPRETRY"]
HUGE_POLICIES = ["HUGETLB", "TRANSHUGE"]
ETHERTYPE = 0x88B5
DEADLINE_S = 60

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
for name in ("munmap", "madvise", "mprotect"):
    getattr(libc, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int][:2 if name == "munmap" else 3]


def check(rc: int | None) -> int:
    if rc is None or rc == -1 or rc == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return rc


def option(policy: str, tx: bool = False) -> int:
    if policy == "STOCK":
        return PACKET_TX_RING if tx else PACKET_RX_RING
    return globals()[f"PACKET_{policy}_RING"] | (globals()["PACKET_HUGE_TX"] if tx else 0)


class Info(NamedTuple):
    """struct packet_huge_info"""

    flags: int
    policy: int
    block_bytes: int
    block_nr: int
    user_page_bytes: int
    kernel_page_bytes: int
    user_huge_bytes: int
    kernel_huge_bytes: int
    pinned_bytes: int
    node: int
    reason: int


INFO = struct.Struct("IIQQQQQQQii")


def info(sock: socket.socket, tx: bool = False) -> Info:
    buffer = ctypes.create_string_buffer(INFO.size)
    struct.pack_into("I", buffer, 0, globals()["PACKET_HUGE_TX"] if tx else 0)
    length = ctypes.c_uint(INFO.size)
    check(libc.getsockopt(sock.fileno(), SOL_PACKET, globals()["PACKET_HUGE_INFO"], buffer, ctypes.byref(length)))
    return Info(*INFO.unpack(buffer.raw))


class Mapping:
    """Memory of this process, at a multiple of 2 MiB where it is long enough."""

    def __init__(self, length: int, flags: int, fd: int = -1, prot: int = 3, align: bool = False) -> None:
        self.length = length
        if align:
            space = check(libc.mmap(None, length + HUGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0))
            at = (space + HUGE - 1) & -HUGE
            self.address = check(libc.mmap(at, length, prot, flags | 0x10, fd, 0))
        else:
            self.address = check(libc.mmap(None, length, prot, flags, fd, 0))

    def view(self) -> memoryview:
        return memoryview((ctypes.c_char * self.length).from_address(self.address)).cast("B")

    def close(self) -> None:
        if self.address:
            check(libc.munmap(self.address, self.length))
        self.address = 0


def hugetlb(length: int, shared: bool = True) -> Mapping:
    flags = mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE
    return Mapping(-(-length // HUGE) * HUGE, flags | mmap.MAP_ANONYMOUS | MAP_HUGETLB)


def thp(length: int) -> Mapping:
    memory = Mapping(-(-length // HUGE) * HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, align=True)
    check(libc.madvise(memory.address, memory.length, 14))
    ctypes.memset(memory.address, 0xFF, memory.length)
    return memory


def base_pages(length: int) -> Mapping:
    memory = Mapping(length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, align=True)
    check(libc.madvise(memory.address, memory.length, 15))
    ctypes.memset(memory.address, 0, memory.length)
    return memory


def packet_socket(version: int = 3) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_VERSION, version - 1)
    return sock


def request(block: int, total: int, frame: int, version: int = 3, retire_ms: int = 0) -> bytes:
    count = total // block
    fields = (block, count, frame, block // frame * count)
    return struct.pack("4I", *fields) + (struct.pack("3I", retire_ms, 0, 0) if version == 3 else b"")


def enable(sock: socket.socket, address: int, length: int, tx: bool = False) -> None:
    flags = globals()["PACKET_HUGE_TX"] if tx else 0
    sock.setsockopt(SOL_PACKET, globals()["PACKET_HUGETLB_ENABLE"], struct.pack("QQII", address, length, flags, 0))


def make_ring(sock: socket.socket, policy: str, wanted: bytes, tx: bool = False) -> None:
    sock.setsockopt(SOL_PACKET, option(policy, tx), wanted)


class Ring:
    """An RX ring of one policy, mapped; HUGETLB on `memory`, if it is given."""

    def __init__(self, policy: str = "STOCK", block: int = 256 * KIB, total: int = 2 * MIB, version: int = 3,
                 frame: int = 2048, retire_ms: int = 200, flags: int = mmap.MAP_SHARED,
                 memory: Mapping | None = None) -> None:
        self.block, self.total, self.version, self.frame = block, total // block * block, version, frame
        self.sock = packet_socket(version)
        wanted = request(block, total, frame, version, retire_ms)
        if policy == "HUGETLB":
            self.memory = memory or hugetlb(self.total)
            enable(self.sock, self.memory.address, self.memory.length)
            make_ring(self.sock, policy, wanted)
        else:
            make_ring(self.sock, policy, wanted)
            self.memory = Mapping(self.total, flags, self.sock.fileno())
        self.view = self.memory.view()
        self.at = 0

    def bind(self, interface: str) -> "Ring":
        self.sock.bind((interface, ETHERTYPE))
        return self

    def close(self) -> None:
        self.view.release()
        self.memory.close()
        self.sock.close()

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def statistics(self) -> tuple[int, int]:
        return struct.unpack("II", self.sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)[:8])

    def _wait(self, status: int, width: str, ends: float) -> None:
        while not struct.unpack_from(width, self.view, status)[0] & 1:
            if time.monotonic() > ends:
                raise TimeoutError(f"no packet at ring offset {status} within {DEADLINE_S} s")
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            poll.poll(50)

    def packets(self, count: int) -> Iterator[bytes]:
        """The next `count` packets, given back to the kernel as they are taken."""
        ends = time.monotonic() + DEADLINE_S
        while count:
            taken = self._block(count, ends) if self.version == 3 else self._frame(ends)
            yield from taken
            count -= len(taken)

    def _frame(self, ends: float) -> list[bytes]:
        width, lengths = ("Q", 12) if self.version == 1 else ("I", 8)
        self._wait(self.at, width, ends)
        snaplen, mac = struct.unpack_from("IH", self.view, self.at + lengths)
        data = bytes(self.view[self.at + mac:self.at + mac + snaplen])
        struct.pack_into(width, self.view, self.at, 0)
        self.at = (self.at + self.frame) % self.total
        return [data]

    def _block(self, count: int, ends: float) -> list[bytes]:
        self._wait(self.at + 8, "I", ends)
        number, first = struct.unpack_from("II", self.view, self.at + 12)
        taken, at = [], self.at + first
        for _ in range(number):
            following, _, _, snaplen, _, _, mac = struct.unpack_from("6IH", self.view, at)
            taken.append(bytes(self.view[at + mac:at + mac + snaplen]))
            at += following
        assert len(taken) <= count, f"{len(taken) - count} packets more than were sent"
        struct.pack_into("I", self.view, self.at + 8, 0)
        self.at = (self.at + self.block) % self.total
        return taken


def frame_of(number: int, size: int | None = None) -> bytes:
    size = size or 60 + number * 37 % 1400
    head = b"\xff" * 6 + b"\x02" * 6 + struct.pack(">HI", ETHERTYPE, number)
    return head + bytes([number & 255]) * (size - len(head))


def smaps(address: int, pid: int | str = "self") -> dict[str, int]:
    """Kilobytes of the mapping at an address; of each field that has them."""
    return {name: size >> 10 for name, size in mapping_at(address, pid).sizes.items()}


def figures() -> dict[str, int]:
    """Of /proc/meminfo, in KiB where they have a unit, and of /proc/vmstat, in pages."""
    Path("/proc/sys/vm/stat_refresh").write_text("1")
    text = Path("/proc/meminfo").read_text() + Path("/proc/vmstat").read_text()
    return {key: int(value) for key, value in re.findall(r"(\w+):?\s+(\d+)", text)}


def pinned_pages() -> int:
    """Of 4 KiB, in the whole guest; 9p pins a page or two for a moment."""
    values = figures()
    return values["nr_foll_pin_acquired"] - values["nr_foll_pin_released"]


def comes_to(wanted: object, read: Callable[[], object], seconds: float = 20) -> bool:
    """Whether it reads so, now or soon: what is freed late, and what 9p pins, is waited for."""
    ends = time.monotonic() + seconds
    while read() != wanted:
        if time.monotonic() > ends:
            return False
    return True


def counters() -> dict[str, int]:
    """What must be where it was once all sockets are closed."""
    values = figures()
    return {
        "huge pages in use": values["HugePages_Total"] - values["HugePages_Free"],
        "pinned pages": values["nr_foll_pin_acquired"] - values["nr_foll_pin_released"],
        "PMD-mapped": values["FilePmdMapped"],
        "packet sockets": len(Path("/proc/net/packet").read_text().splitlines()) - 1,
    }
