# SPDX-License-Identifier: BSD-3-Clause
"""TPACKET_V3 blocks as bytes, laid out as the kernel lays them out, and what a reader must make of them.

Layouts: linux/if_packet.h; offsets: tpacket_rcv() and prb_fill_curr_block() in net/packet/af_packet.c.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional, Sequence

ETHER, RAW, SLL, SLL2 = LINKS = range(4)    # enum hp_link
DLT = {ETHER: 1, RAW: 12, SLL: 113, SLL2: 276}
HOST, BROADCAST, MULTICAST, OTHERHOST, OUTGOING = range(5)
ARPHRD_ETHER, ARPHRD_LOOPBACK, ARPHRD_NONE = 1, 772, 0xFFFE
VLAN_8021Q, VLAN_8021AD = 0x8100, 0x88A8
STATUS_USER, STATUS_VLAN_VALID, STATUS_VLAN_TPID_VALID = 1, 1 << 4, 1 << 6

BLOCK_DESC = struct.Struct("=IIIIIIQIIII")
FRAME_HDR = struct.Struct("=IIIIIIHHIIHH8x")
SOCKADDR_LL = struct.Struct("=H2siHBB8s")
HDRLEN = FRAME_HDR.size + SOCKADDR_LL.size
assert (BLOCK_DESC.size, HDRLEN) == (48, 68)


class Vlan(NamedTuple):
    """A tag that the kernel took out of the packet."""

    tci: int
    tpid: Optional[int] = VLAN_8021Q    # None: an old kernel, that does not say


class Frame(NamedTuple):
    """One packet as the kernel sees it: without the tag it took out and, on cooked links, without link header."""

    data: bytes
    sec: int = 1_700_000_000
    nsec: int = 0
    wire_bytes: Optional[int] = None    # None: all of it was captured
    vlan: Optional[Vlan] = None
    protocol: int = 0x0800
    pkttype: int = HOST
    hatype: int = ARPHRD_ETHER
    ifindex: int = 3
    address: bytes = b"\x02\0\0\0\0\1"

    @property
    def length(self) -> int:
        return len(self.data) if self.wire_bytes is None else self.wire_bytes


class Seen(NamedTuple):
    """One packet as a reader delivers it."""

    sec: int
    nsec: int
    length: int
    data: bytes


def align(number: int, to: int) -> int:
    return -(-number // to) * to


def _status(frame: Frame) -> int:
    if frame.vlan is None:
        return STATUS_USER
    return STATUS_USER | STATUS_VLAN_VALID | (STATUS_VLAN_TPID_VALID if frame.vlan.tpid is not None else 0)


def frame_bytes(frame: Frame, link: int, last: bool) -> bytes:
    """Headers, gap and packet; padded to the next frame unless it is the last."""
    mac = 82 if link == ETHER else 96
    whole = mac + len(frame.data)
    tci, tpid = (frame.vlan.tci, frame.vlan.tpid or 0) if frame.vlan else (0, 0)
    header = FRAME_HDR.pack(0 if last else align(whole, 8), frame.sec, frame.nsec, len(frame.data), frame.length,
                            _status(frame), mac, 96, 0, tci, tpid, 0)
    address = SOCKADDR_LL.pack(17, frame.protocol.to_bytes(2, "big"), frame.ifindex, frame.hatype, frame.pkttype,
                               len(frame.address), frame.address)
    raw = (header + address).ljust(mac, b"\xa5") + frame.data
    return raw if last else raw.ljust(align(whole, 8), b"\xa5")


def block(frames: Sequence[Frame], link: int, block_bytes: Optional[int] = None) -> bytes:
    """One block handed over to the reader; just large enough for its frames unless its size is given."""
    body = b"".join(frame_bytes(frame, link, i == len(frames) - 1) for i, frame in enumerate(frames))
    used = BLOCK_DESC.size + len(body)
    desc = BLOCK_DESC.pack(1, 0, STATUS_USER, len(frames), BLOCK_DESC.size, used, 1, 0, 0, 0, 0)
    size = used if block_bytes is None else block_bytes
    if used > size:
        raise ValueError(f"{len(frames)} frames take {used} bytes, the block has {size}")
    return (desc + body).ljust(size, b"\xa5")


# ---- what libpcap's man pages say a reader gets ----

def _tag(frame: Frame) -> bytes:
    if frame.vlan is None:
        return b""
    return struct.pack("!HH", VLAN_8021Q if frame.vlan.tpid is None else frame.vlan.tpid, frame.vlan.tci)


def _ether(frame: Frame) -> bytes:
    if len(frame.data) < 12:
        return frame.data
    return frame.data[:12] + _tag(frame) + frame.data[12:]


def _sll(frame: Frame) -> bytes:
    return struct.pack("!HHH8s", frame.pkttype, frame.hatype, len(frame.address), frame.address) + _tag(frame) + \
        struct.pack("!H", frame.protocol) + frame.data


def _sll2(frame: Frame) -> bytes:
    stack = _tag(frame) + struct.pack("!H", frame.protocol)    # the first of them goes to the front
    return stack[:2] + struct.pack("!HIHBB8s", 0, frame.ifindex, frame.hatype, frame.pkttype, len(frame.address),
                                   frame.address) + stack[2:] + frame.data


def file_view(frame: Frame, link: int) -> bytes:
    """The packet as it stands in a savefile of the link type."""
    return {ETHER: _ether, RAW: lambda raw: raw.data, SLL: _sll, SLL2: _sll2}[link](frame)


def seen(frame: Frame, link: int) -> Seen:
    data = file_view(frame, link)
    return Seen(frame.sec, frame.nsec, frame.length + len(data) - len(frame.data), data)
