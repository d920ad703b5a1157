# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for a Reader in asyncio: on the event loop's own reader callbacks, without threads.

Cancel-safe: a packet is taken only in the step that hands it out, never before an ``await``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._batch import Batch
    from ._packet import Pkthdr
    from ._reader import Reader


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def readable(reader: Reader, timeout: float | None = None) -> None:
    """Waits until there is something to read, to end or, within ``timeout`` seconds (None: for ever), nothing."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    fd = reader.watch()
    loop.add_reader(fd, _finish, ready)
    try:
        await asyncio.wait_for(ready, timeout)
    except asyncio.TimeoutError:
        pass
    finally:
        loop.remove_reader(fd)
        reader.unwatch()


async def batch(reader: Reader, max_packets: int, timeout: float | None) -> Batch | None:
    """The next Batch, empty when none came within ``timeout`` seconds (None: for ever); None at the end."""
    now = asyncio.get_running_loop().time
    deadline = None if timeout is None else now() + timeout
    while not reader.closed:
        taken = reader.take_batch(max_packets, 0)
        left = None if deadline is None else deadline - now()
        if taken is None or len(taken) or (left is not None and left <= 0):
            return taken
        await readable(reader, left)
    return None


async def packet(reader: Reader) -> tuple[Pkthdr, bytes] | None:
    """The next packet; None at the end."""
    while not reader.closed:
        taken = reader.take_packet()
        if taken is None or taken[0] is not None:
            return taken
        await readable(reader)
    return None
