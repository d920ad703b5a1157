# SPDX-License-Identifier: BSD-3-Clause
"""Files of every form that hp_file reads, written byte by byte."""

from __future__ import annotations

import struct

from helpers.savefile import MICRO, NANO, Record, pcap_bytes

MODIFIED = 0xA1B2CD34


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(order: str = "<", *, linktype: int = 1, snaplen: int = 65535, resolution: int | None = None,
              offset: int | None = None) -> bytes:
    body = struct.pack(order + "HHI", linktype, 0, snaplen)
    if resolution is not None:
        body += struct.pack(order + "HHB3x", 9, 1, resolution)
    if offset is not None:
        body += struct.pack(order + "HHq", 14, 8, offset)
    return block(1, body + struct.pack(order + "HH", 0, 0), order)


def enhanced(data: bytes, ticks: int, order: str = "<", number: int = 0, options: bytes = b"") -> bytes:
    return block(6, struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data) + 3)
                 + data + bytes(-len(data) % 4) + options, order)


def obsolete(data: bytes, ticks: int, order: str = "<") -> bytes:
    return block(2, struct.pack(order + "HHIIII", 0, 7, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
                 + data, order)


def simple(data: bytes, order: str = "<") -> bytes:
    return block(3, struct.pack(order + "I", len(data)) + data, order)


def old_pcap(records: list[Record], version: tuple[int, int], magic: int = MICRO, order: str = "<") -> bytes:
    """A file of another version or of the modified format, by changing one of today's."""
    raw = bytearray(pcap_bytes([], order=order))
    struct.pack_into(order + "IHH", raw, 0, magic, *version)
    swapped = version == (543, 0) or version[1] < 3
    for record in records:
        lengths = (record.length or len(record.data), len(record.data))
        raw += struct.pack(order + "IIII", record.sec, record.fraction, *lengths[::1 if swapped else -1])
        raw += (bytes(8) if magic == MODIFIED else b"") + record.data
    return bytes(raw)


def pcapng_of_everything(order: str = "<") -> bytes:
    """Two sections, resolutions of both bases, offsets, every kind of packet block, and what no one knows."""
    ticks = 1_700_000_000_123_456
    return b"".join([
        section(order), block(0xBAD, b"unknown", order), interface(order), interface(order, resolution=9),
        interface(order, resolution=0x8A, offset=-3600), enhanced(b"first", ticks, order),
        enhanced(b"second.", ticks * 1000 + 7, order, 1), enhanced(b"third", 1_700_000_000 << 10 | 513, order, 2),
        obsolete(b"fourth", ticks, order), simple(b"no time", order), block(5, bytes(12), order),
        section(order), interface(order, resolution=3), enhanced(b"", 1_700_000_000_005, order),
        enhanced(b"last", 1_700_000_000_006, order)])


def all_forms(records: list[Record]) -> dict[str, bytes]:
    found = {f"pcap {magic:x} {order}": pcap_bytes(records, magic=magic, order=order)
             for magic in (MICRO, NANO) for order in "<>"}
    found |= {f"pcap {version} {order}": old_pcap(records, version, order=order)
              for version in ((2, 2), (2, 3), (543, 0)) for order in "<>"}
    found |= {f"modified {order}": old_pcap(records, (2, 4), MODIFIED, order) for order in "<>"}
    found |= {"short snaplen": pcap_bytes(records, snaplen=40), "cooked": pcap_bytes(records, linktype=113)}
    found |= {f"pcapng {order}": pcapng_of_everything(order) for order in "<>"}
    return found
