# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for a Reader in asyncio: on the event loop's own reader callbacks, without threads.

Cancel-safe: a packet is taken only in the step that hands it out, never before an ``await``. Where packets are there
already, the loop has its turn every TURN_S: a task that never waits could neither be cancelled nor time out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._batch import Batch
    from ._packet import Pkthdr
    from ._reader import Reader


TURN_S = 0.002


def _finish(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def readable(reader: Reader, timeout: float | None = None) -> None:
    """Waits until there is something to read, to end or, within ``timeout`` seconds (None: for ever), nothing."""
    loop = asyncio.get_running_loop()
    fd = reader.watch()
    if fd < 0:
        return    # the loop's turn is all there is to wait for
    timeout = min((seconds for seconds in (timeout, reader.retry_s()) if seconds is not None), default=None)
    ready = loop.create_future()
    loop.add_reader(fd, _finish, ready)
    # no wait_for(): before Python 3.12 it swallows a cancel() that comes with what it waits for
    timer = None if timeout is None else loop.call_later(timeout, _finish, ready)
    try:
        await ready
    finally:
        if timer is not None:
            timer.cancel()
        loop.remove_reader(fd)
        reader.unwatch()


async def _turn(reader: Reader) -> bool:
    """Lets the loop go round; whether the reader is open still."""
    reader.turned_at = asyncio.get_running_loop().time()    # before: a step that is cancelled here counts
    await asyncio.sleep(0)
    return not reader.closed


async def batch(reader: Reader, max_packets: int, timeout: float | None) -> Batch | None:
    """The next Batch, empty when none came within ``timeout`` seconds (None: for ever); None at the end."""
    now = asyncio.get_running_loop().time
    deadline = None if timeout is None else now() + timeout
    while not reader.closed and (now() < reader.turned_at + TURN_S or await _turn(reader)):
        taken = reader.take_batch(max_packets, 0)
        left = None if deadline is None else deadline - now()
        if taken is None or len(taken) or (left is not None and left <= 0):
            return taken
        await readable(reader, left)
    return None


async def packet(reader: Reader) -> tuple[Pkthdr, bytes] | None:
    """The next packet; None at the end."""
    now = asyncio.get_running_loop().time
    while not reader.closed and (now() < reader.turned_at + TURN_S or await _turn(reader)):
        taken = reader.take_packet()
        if taken is None or taken[0] is not None:
            return taken
        await readable(reader)
    return None
