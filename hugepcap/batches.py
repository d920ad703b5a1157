# SPDX-License-Identifier: BSD-3-Clause
"""Batches: the iterator over a capture's batches, plain and async, and the Arrow stream of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from . import _arrow, aio

if TYPE_CHECKING:
    from ._batch import Batch
    from ._reader import Reader


class Batches(Iterator["Batch"], AsyncIterator["Batch"]):
    """``for batch in reader.batches()``, ``async for batch in reader.batches()``.

    Batches on the way out are the caller's; the iterator keeps none.
    """

    def __init__(self, reader: Reader, max_packets: int, timeout: float | None, limit: int | None) -> None:
        self._reader = reader
        self._max_packets = max_packets
        self._timeout = timeout
        self._left = limit

    def _ended(self) -> bool:
        return self._reader.closed or self._left == 0

    def _count(self, batch: Batch | None) -> Batch | None:
        """Counts a batch's packets."""
        if batch is not None and self._left is not None:
            self._left -= len(batch)
        return batch

    def _wanted(self) -> int:
        return self._max_packets if self._left is None else min(self._max_packets, self._left)

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Batch:
        batch = None if self._ended() else self._count(self._reader.take_batch(self._wanted(), self._timeout))
        if batch is None:
            raise StopIteration
        return batch

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule of an Arrow stream over the batches to come. Source: Arrow's PyCapsule interface."""
        return _arrow.stream_capsule(self, requested_schema)

    def __aiter__(self) -> Batches:
        return self

    async def __anext__(self) -> Batch:
        batch = None
        if not self._ended():
            batch = self._count(await aio.batch(self._reader, self._wanted(), self._timeout))
        if batch is None:
            raise StopAsyncIteration
        return batch
