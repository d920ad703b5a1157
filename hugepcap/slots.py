# SPDX-License-Identifier: BSD-3-Clause
"""Slots: batches from a worker process to its parent, through memory that both have had since before the fork.

The memory has no name: it is gone with the two processes, however they end. The worker fills slots and says which;
the parent makes Batches of them and says which are free again. With no slot free the worker waits, and its ring
takes what comes meanwhile.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import TYPE_CHECKING

from ._shared import pack, unpack

if TYPE_CHECKING:
    from ._batch import Batch
    from ._reader import Reader

SLOTS = 4
SLOT_BYTES = 8 << 20
END = b""    # in place of a slot's number


class _Keeper:
    """Goes with the last view of a slot's packets, and frees the slot.

    A forked child has a copy of it, whose end says nothing of the views here.
    """

    def __init__(self, free: Connection, slot: int) -> None:
        self._free, self._slot, self._owner = free, slot, os.getpid()

    def __del__(self) -> None:
        if os.getpid() != self._owner:
            return
        with contextlib.suppress(OSError):    # the worker, or the Fanout, has ended
            self._free.send_bytes(bytes([self._slot]))


class Slots:
    """Both sides of one worker's slots. Pages that are never filled take no memory."""

    def __init__(self, context: BaseContext) -> None:
        self.filled, self._filling = context.Pipe(duplex=False)
        self._freed, self._freeing = context.Pipe(duplex=False)
        memory = memoryview(mmap.mmap(-1, SLOTS * SLOT_BYTES))
        self._slots = [memory[at:at + SLOT_BYTES] for at in range(0, len(memory), SLOT_BYTES)]

    @property
    def parents_ends(self) -> list[Connection]:
        return [self.filled, self._freeing]

    # ---- in the worker ----

    def fill(self, reader: Reader) -> None:
        """Hands over all that the reader has, until it ends."""
        idle = list(range(SLOTS))
        try:
            for batch in reader.batches():
                with batch:
                    self._fill_with(batch, idle)
        finally:
            self._filling.send_bytes(END)

    def _fill_with(self, batch: Batch, idle: list[int]) -> None:
        start = 0
        while start < len(batch):
            while not idle or self._freed.poll():
                idle.append(self._freed.recv_bytes()[0])
            slot = idle.pop()
            start += pack(batch, start, self._slots[slot])
            self._filling.send_bytes(bytes([slot]))

    # ---- in the parent ----

    def leave_to_worker(self) -> None:
        """Closes the worker's ends here, so that its death closes the pipe."""
        self._filling.close()
        self._freed.close()

    def take(self) -> Batch | None:
        """The next Batch, None at the end; EOFError where the worker is gone without one."""
        message = self.filled.recv_bytes()
        if message == END:
            return None
        return unpack(self._slots[message[0]], _Keeper(self._freeing, message[0]))

    def close(self) -> None:
        """Batches that are still there stay good."""
        self.filled.close()
        self._freeing.close()
