# SPDX-License-Identifier: BSD-3-Clause
"""The ways of reading as steps: (reader, at most so many packets) -> rows, each (ts_ns, length on the wire, bytes)."""

from __future__ import annotations

import struct
import time
from itertools import cycle
from typing import Any, Callable, Iterable

from helpers import DEADLINE_S

Row = tuple[int, int, bytes]


def _row(hdr: Any, data: bytes) -> Row:
    assert hdr.getcaplen() == len(data)
    return hdr.ts_ns, hdr.getlen(), data


def _rows(batch: Any) -> list[Row]:
    """None is the end."""
    if batch is None:
        return []
    with batch:
        assert list(batch.caplen) == [len(packet) for packet in batch]
        return list(zip(batch.ts_ns, batch.len, map(bytes, batch)))


def _next(reader: Any, _: int) -> list[Row]:
    hdr, data = reader.next()
    return [] if hdr is None else [_row(hdr, data)]


def _iteration(reader: Any, most: int) -> list[Row]:
    return [_row(*packet) for _, packet in zip(range(most), reader)]


def _loop(reader: Any, most: int) -> list[Row]:
    seen: list[Row] = []
    reader.loop(most, lambda hdr, data: seen.append(_row(hdr, data)))
    return seen


def _dispatch(reader: Any, most: int) -> list[Row]:
    seen: list[Row] = []
    assert reader.dispatch(most, lambda hdr, data: seen.append(_row(hdr, data))) == len(seen)
    return seen


def _next_batch(reader: Any, most: int) -> list[Row]:
    """Its records have microseconds, and no length on the wire: 0."""
    packets, records = reader.next_batch(most)
    return [(sec * 10**9 + usec * 1000, 0, packets[offset:offset + caplen])
            for sec, usec, offset, caplen in struct.iter_unpack("=IIII", records)]


def _batches(reader: Any, most: int) -> list[Row]:
    return _rows(next(reader.batches(max_packets=most, timeout=1), None))


def _next_block(reader: Any, _: int) -> list[Row]:
    return _rows(reader.next_block())


Step = Callable[[Any, int], "list[Row]"]
WAYS: dict[str, Step] = {"next": _next, "iteration": _iteration, "loop": _loop, "dispatch": _dispatch,
                         "next_batch": _next_batch, "batches": _batches, "next_block": _next_block}


def shown_by(way: str, rows: Iterable[Row]) -> list[Row]:
    """What of these rows a way of reading can tell."""
    return [(ts - ts % 1000, 0, data) for ts, _, data in rows] if way == "next_batch" else list(rows)


def read(reader: Any, step: Step, count: int, mosts: Iterable[int]) -> list[Row]:
    """The next `count` packets, at each step at most as many as `mosts` says in turn."""
    rows: list[Row] = []
    end = time.monotonic() + DEADLINE_S
    for most in cycle(mosts):
        if len(rows) >= count:
            return rows
        assert time.monotonic() < end, f"{len(rows)} of {count} packets in {DEADLINE_S} s"
        most = min(most, count - len(rows))
        got = step(reader, most)
        assert len(got) <= most or step is _next_block, f"{len(got)} packets, {most} were asked for"
        rows += got
    return rows
