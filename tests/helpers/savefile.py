# SPDX-License-Identifier: BSD-3-Clause
"""Savefiles written byte by byte, so that what a reader says can be compared with what is in the file."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Iterable, NamedTuple, Optional

MICRO, NANO = 0xA1B2C3D4, 0xA1B23C4D
START_S = 1_700_000_000


class Record(NamedTuple):
    """One packet of a file; `length` None: all of it was captured."""

    data: bytes
    sec: int
    fraction: int    # micro- or nanoseconds, as the file counts
    length: Optional[int] = None


def numbered(packets: Iterable[bytes], step: int = 1001) -> list[Record]:
    """Records one second and some apart, each with a time of its own."""
    return [Record(packet, START_S + i, 500_000 + i * step % 400_000) for i, packet in enumerate(packets)]


def pcap_bytes(records: Iterable[Record], *, linktype: int = 1, snaplen: int = 65535, magic: int = MICRO,
               order: str = "<") -> bytes:
    parts = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, linktype)]
    for record in records:
        length = len(record.data) if record.length is None else record.length
        parts.append(struct.pack(order + "IIII", record.sec, record.fraction, len(record.data), length) + record.data)
    return b"".join(parts)


def write_pcap(path: Path, records: Iterable[Record], **kind: object) -> str:
    path.write_bytes(pcap_bytes(records, **kind))  # type: ignore[arg-type]
    return str(path)


def read_pcap(path: Path) -> tuple[dict[str, int], list[Record]]:
    """The header's fields and the records of a little-endian pcap file."""
    raw = path.read_bytes()
    magic, major, minor, _, _, snaplen, linktype = struct.unpack_from("<IHHiIII", raw)
    records, at = [], 24
    while at < len(raw):
        sec, fraction, caplen, length = struct.unpack_from("<IIII", raw, at)
        records.append(Record(raw[at + 16:at + 16 + caplen], sec, fraction, length))
        at += 16 + caplen
    return {"magic": magic, "version": major * 100 + minor, "snaplen": snaplen, "linktype": linktype}, records


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    total = len(body) + 12
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def pcapng_bytes(records: Iterable[Record], *, linktype: int = 1, snaplen: int = 65535, digits: int = 6) -> bytes:
    """One section, one interface whose times count in units of 10^-digits seconds."""
    option = struct.pack("<HHB3xHH", 9, 1, digits, 0, 0)
    parts = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)),
             _block(1, struct.pack("<HHI", linktype, 0, snaplen) + option)]
    for record in records:
        ticks = record.sec * 10 ** digits + record.fraction
        length = len(record.data) if record.length is None else record.length
        parts.append(_block(6, struct.pack("<IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(record.data), length)
                            + record.data))
    return b"".join(parts)
