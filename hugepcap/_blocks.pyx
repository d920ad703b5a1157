# SPDX-License-Identifier: BSD-3-Clause
"""Blocks: reading many packets at a time, as Batches."""

import math
import numbers
import warnings

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from ._batch cimport Arena, Batch, Lease, new_arena, new_batch, new_lease, new_spares
from ._filtered cimport Filtered
from ._hp cimport (
    HP_AGAIN, HP_FRAME, HP_NONE, HP_TOUCH_ALL, hp_broken, hp_collect, hp_columns_add,
    hp_now_ms, hp_source_next,
)
from ._regular cimport RegularFile, fill_columns, new_chunk
from ._pcap cimport hp_frame
from ._source cimport BROKEN, WAIT_FOREVER

from .batches import Batches

# Enough that what a batch costs in Python is little beside its packets; the columns still fit into a CPU's cache.
DEFAULT_MAX_PACKETS = 16384
MAX_PACKETS_LIMIT = 1 << 24
# Seconds beyond which a timeout is none: thirty years.
TIMEOUT_S_MAX = 1e9
# What one batch may keep from the kernel at most.
BATCH_SHARE = 4

cdef enum:
    ARENA_BYTES = 1 << 20


cdef class Blocks(Filtered):
    """Reading by the block."""

    def next_block(self, *, timeout=None) -> Batch:
        """The packets of the next ring block, or what is left of this one, as a Batch without a copy.

        ``timeout`` in seconds; None: as the Reader was opened (its to_ms, non-blocking mode). Returns an empty
        Batch when none came in time, and None at a file's end, after breakloop() and close().
        Raises PcapError as next() does.
        """
        return self.take(DEFAULT_MAX_PACKETS, 1, milliseconds(timeout, self.read_timeout()))

    def batches(self, *, max_packets=DEFAULT_MAX_PACKETS, timeout=None, limit=None) -> Batches:
        """Iterates over Batches of up to ``max_packets``, from as many ring blocks as are there.

        ``timeout`` in seconds: when no packet came within it, an empty Batch; None: waits for ever. Ends at a
        file's end, after breakloop() and close(), and after ``limit`` packets. Also ``async for``, and as an
        Arrow stream for pyarrow, Polars and DuckDB. One Batch takes at most a quarter of the
        ring. Hold few of them: what they hold, the kernel cannot fill (``reader.ring.held_blocks``).
        """
        if not 0 < max_packets <= MAX_PACKETS_LIMIT:
            raise ValueError(f"max_packets {max_packets}: a batch has 1 to {MAX_PACKETS_LIMIT} packets")
        self.check_active()
        if limit is not None and limit < 0:
            raise ValueError(f"limit {limit}: packets, 0 or more; None: no limit")
        if milliseconds(timeout, WAIT_FOREVER) == WAIT_FOREVER:
            timeout = None
        return Batches(self, max_packets, timeout, limit)

    def __arrow_c_stream__(self, requested_schema=None):
        """All packets to come as an Arrow stream; of a live capture, until breakloop() or close()."""
        return self.batches().__arrow_c_stream__(requested_schema)

    def take_batch(self, max_packets, timeout):
        """One step of batches(): a Batch, empty when none came in time; None at the end."""
        cdef uint32_t share = 1
        if self.ring_engine is not None:
            share = max(self.ring_engine.ring.geo.block_nr // BATCH_SHARE, 1)
        return self.take(max_packets, share, milliseconds(timeout, WAIT_FOREVER))

    cdef Batch take(self, uint32_t max_packets, uint32_t max_blocks, int64_t timeout_ms):
        if self.spares is None or self.spares.capacity != max_packets:
            self.spares = new_spares(max_packets)
        self.enter()
        try:
            if self.src.cur.left == 0:
                self.boundary()
            if self.ring_engine is not None:
                return self.take_leased(max_blocks, timeout_ms)
            if isinstance(self.pcap_engine, RegularFile):
                return self.take_chunk(self.pcap_engine, timeout_ms)
            return self.take_copied(timeout_ms)
        finally:
            self.leave()

    cdef Batch take_leased(self, uint32_t max_blocks, int64_t timeout_ms):
        """A batch of the ring's own memory."""
        cdef Lease lease
        cdef Batch batch
        cdef int64_t deadline = hp_now_ms() + timeout_ms
        cdef int64_t left = timeout_ms
        cdef bint last = False
        cdef int rc
        self.warn_of_holding()
        lease = new_lease(self.ring_engine, max_blocks)
        batch = new_batch(lease, self.spares, self.ring_engine.datalink)
        while not hp_broken(&self.src):
            with nogil:
                rc = hp_collect(&batch.columns, &self.src, &lease.pins)
            if batch.columns.nr:
                if rc < 0:
                    self.defer(rc)
                return batch
            if rc < 0:
                self.fail(rc)
            if last:
                return batch
            if timeout_ms > 0:
                left = max(deadline - hp_now_ms(), 0)
            last = left == 0    # pause() takes what was signalled: what that was for is looked for once more
            if self.pause(left) == BROKEN:
                break
        self.take_break()
        return None

    cdef int warn_of_holding(self) except -1:
        """Says it once, before the batch that may take what is left of the ring is made: an error then loses none.

        One block is held, too, by who lets each batch go when he has the next.
        """
        cdef int nr = self.ring_engine.ring.geo.block_nr
        cdef int held = self.ring_engine.held_blocks
        if self.warned_of_holding or held < max(nr - max(nr // BATCH_SHARE, 1), 2):
            return 0
        self.warned_of_holding = True
        warnings.warn(f"hugepcap: batches hold {held} of the {nr} blocks of the ring on "
                      f"{self.device}, and the kernel drops packets when it has none: release() them earlier, or keep "
                      "copy()s", RuntimeWarning)
        return 0

    cdef Batch take_chunk(self, RegularFile file, int64_t timeout_ms):
        """A batch of what was read of a file, and stays while any view of it is there."""
        cdef Batch batch = new_batch(None, self.spares, file.datalink())
        cdef int rc = self.fill_chunk(file, batch, timeout_ms)
        if rc == BROKEN:
            self.take_break()
            return None
        if rc < 0:
            if batch.columns.nr == 0:
                self.fail(rc)
            self.defer(rc)
        if batch.columns.nr == 0 and rc != HP_AGAIN:
            return None
        batch.memory = new_chunk(file.file.chunk)
        return batch

    cdef int fill_chunk(self, RegularFile file, Batch batch, int64_t timeout_ms) except -100:
        """HP_AGAIN: the filter accepted nothing in all the time there was."""
        cdef int64_t deadline = hp_now_ms() + timeout_ms
        cdef int rc
        while True:
            if hp_broken(&self.src):
                return BROKEN
            with nogil:
                rc = fill_columns(&file.file, &batch.columns)
            if rc != HP_AGAIN or (timeout_ms >= 0 and hp_now_ms() >= deadline):
                return rc
            PyErr_CheckSignals()    # here, where there are no rows to lose

    cdef Batch take_copied(self, int64_t timeout_ms):
        """A batch of what libpcap gives, whose packet is good only until the next."""
        cdef Arena arena = new_arena(ARENA_BYTES)
        cdef Batch batch = new_batch(arena, self.spares, self.pcap_engine.datalink())
        cdef hp_frame frame
        cdef int rc = self.fetch(&frame, timeout_ms)
        if rc == HP_NONE:
            return batch
        if rc != HP_FRAME:
            return None
        add_copy(batch, arena, &frame)
        rc = self.fill_arena(batch, arena)
        if rc < 0:
            self.defer(rc)
        batch.columns.base = arena.base
        return batch

    cdef int fill_arena(self, Batch batch, Arena arena) except -100:
        """Adds what is there now until the columns, or the arena's bytes, are used up."""
        cdef hp_frame frame
        cdef int rc = HP_FRAME
        while batch.columns.nr < batch.columns.capacity and arena.used < ARENA_BYTES:
            rc = hp_source_next(&self.src, &self.src.cur, &frame, HP_TOUCH_ALL)
            if rc != HP_FRAME:
                return rc
            add_copy(batch, arena, &frame)
        return rc


cdef int add_copy(Batch batch, Arena arena, hp_frame *frame) except -1:
    arena.reserve(frame.caplen)
    memcpy(arena.base + arena.used, frame.data, frame.caplen)
    frame.data = arena.base + arena.used
    frame.hdr = NULL
    batch.columns.base = arena.base
    hp_columns_add(&batch.columns, frame)
    arena.used += frame.caplen
    return 0


cdef int64_t milliseconds(timeout, int64_t otherwise) except? -2:
    """Seconds as the C core takes them; never less than asked for."""
    if timeout is None:
        return otherwise
    if not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout: seconds are a number, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout {timeout}: seconds, 0 or more; None waits for ever")
    return WAIT_FOREVER if timeout > TIMEOUT_S_MAX else math.ceil(timeout * 1000)
