# SPDX-License-Identifier: BSD-3-Clause
"""Batch: many packets as columns, their bytes where they came in.

Who keeps what: a packet's memoryview holds its Memory, a Batch holds Memory and Store, a column's memoryview
holds the Store. So a ring's block goes back to the kernel with the last Batch and packet view that needs it.
"""

cimport cython
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy

from ._column cimport column
from ._decode cimport Flows, decode_rows, filter_rows
from ._hp cimport hp_columns_bytes, hp_columns_lay, hp_columns_wire_bytes, hp_ring_unpin
from ._hp cimport HP_LIVE_COLUMNS, HP_LIVE_MEMORIES, hp_live
from ._pcap cimport BPFProgram
from ._ring cimport Ring
from ._source cimport fork_generation

from .errors import PcapError

cdef enum:
    SPARES = 4


cdef class Memory:
    def __init__(self):
        raise TypeError("memory of packets comes with a Batch")

    def __getbuffer__(self, Py_buffer *view, int flags):
        if self.shown == NULL:
            raise BufferError("this memory has packets that nobody asked for: take batch[i]")
        PyBuffer_FillInfo(view, self, <void *>self.shown, self.shown_bytes, 1, flags)

    cdef object view(self, const uint8_t *at, Py_ssize_t nr):
        """A read-only memoryview of ``nr`` bytes that keeps all of this memory.

        The caller holds a reference: making a memoryview may run the collector, a finalizer of whose may release
        batches, or take a view of this memory in between.
        """
        cdef const uint8_t *shown = self.shown
        cdef Py_ssize_t shown_bytes = self.shown_bytes
        self.shown = at
        self.shown_bytes = nr
        try:
            return PyMemoryView_FromObject(self)
        finally:
            self.shown = shown
            self.shown_bytes = shown_bytes


# no_gc, here and for all that gives back memory or blocks when it goes: the collector would take what it needs for that
# away before. No cycle can go through it.
@cython.final
@cython.no_gc
cdef class Lease(Memory):
    def __dealloc__(self):
        cdef uint32_t i
        if self.ring is None:
            return
        hp_live(HP_LIVE_MEMORIES, -1)
        # In the child of a fork the ring is the parent's: so are its blocks.
        if self.generation == fork_generation():
            for i in range(self.pins.nr):
                hp_ring_unpin(&self.ring.ring, self.pins.blocks[i])
        free(self.pins.blocks)
        self.ring.lease_ends()


@cython.final
cdef class Arena(Memory):
    def __dealloc__(self):
        hp_live(HP_LIVE_MEMORIES, -1)
        free(self.base)

    cdef int reserve(self, size_t more) except -1:
        """Room for ``more`` bytes behind what is used; no view may be out yet."""
        cdef size_t room = max(self.used + more, 2 * self.room)
        cdef void *grown
        if self.used + more <= self.room:
            return 0
        grown = realloc(self.base, room)
        if grown == NULL:
            raise MemoryError(f"no memory for {room} bytes of packets")
        self.base = <uint8_t *>grown
        self.room = room
        return 0


@cython.final
cdef class Spares:
    def __dealloc__(self):
        cdef int i
        for i in range(self.nr):
            free(self.memory[i])


@cython.final
@cython.no_gc
cdef class Store:
    def __dealloc__(self):
        if self.spares is not None:
            hp_live(HP_LIVE_COLUMNS, -1)
        if self.spares is not None and self.spares.nr < SPARES:
            self.spares.memory[self.spares.nr] = self.memory
            self.spares.nr += 1
        else:
            free(self.memory)


cdef Lease new_lease(Ring ring, uint32_t blocks):
    """A lease of up to so many blocks, none yet."""
    cdef Lease lease = Lease.__new__(Lease)
    lease.pins.blocks = <uint32_t *>malloc(blocks * sizeof(uint32_t))
    if lease.pins.blocks == NULL:
        raise MemoryError(f"no memory for a list of {blocks} blocks")
    lease.pins.capacity = blocks
    lease.pins.nr = 0
    lease.base = ring.ring.map
    lease.generation = fork_generation()
    lease.ring = ring
    hp_live(HP_LIVE_MEMORIES, 1)
    ring.leases += 1
    return lease


cdef Arena new_arena(size_t room):
    cdef Arena arena = Arena.__new__(Arena)
    hp_live(HP_LIVE_MEMORIES, 1)
    arena.reserve(max(room, 1))
    return arena


cdef Spares new_spares(uint32_t capacity):
    cdef Spares spares = Spares.__new__(Spares)
    spares.capacity = capacity
    return spares


cdef Store new_store(Spares spares):
    """Columns' memory: a spare one, whose pages are there already, or a new one."""
    cdef Store store = Store.__new__(Store)
    cdef size_t size = hp_columns_bytes(spares.capacity)
    if spares.nr:
        spares.nr -= 1
        store.memory = spares.memory[spares.nr]
    else:
        store.memory = calloc(1, size)
    if store.memory == NULL:
        raise MemoryError(f"no memory for the columns of {spares.capacity} packets ({size} bytes)")
    store.spares = spares
    hp_live(HP_LIVE_COLUMNS, 1)
    return store


cdef Batch new_batch(Memory memory, Spares spares, int datalink):
    """An empty batch over a memory, to be filled; None: the memory is known only then."""
    cdef Batch batch = Batch.__new__(Batch)
    batch.store = new_store(spares)
    batch.memory = memory
    batch.datalink = datalink
    hp_columns_lay(&batch.columns, batch.store.memory, spares.capacity)
    if memory is not None:
        batch.columns.base = memory.base
    return batch


@cython.final
@cython.freelist(8)
cdef class Batch:
    """Packets as columns; made by Reader.batches() and Reader.next_block().

    The columns are read-only memoryviews of ``len(batch)`` items (NumPy takes them without a copy) and stay
    valid whatever becomes of the batch. ``batch[i]`` is packet i's bytes where they came in: a read-only
    memoryview into the ring, good for as long as it lives. ``batch[i:j]`` is a Batch of those packets.
    The ring's blocks go back to the kernel when the batch and all views of its packets are gone, or released:
    ``with batch:`` and release() end the batch's own share. ``copy()`` is what to keep for long.
    """

    def __init__(self):
        raise TypeError("a Batch comes from Reader.batches() or Reader.next_block()")

    cdef int check(self) except -1:
        if self.memory is None:
            raise ValueError("this batch was released: its packets are gone; copy() keeps them")
        return 0

    def __len__(self):
        return self.columns.nr

    def __enter__(self):
        self.check()
        return self

    def __exit__(self, *exc_info):
        self.release()

    def __repr__(self):
        state = ", released" if self.memory is None else ""
        return f"<hugepcap.Batch of {self.columns.nr} packets{state}>"

    # ---- columns ----

    @property
    def ts_ns(self):
        """When each packet came: int64 ("q"), nanoseconds since the Epoch."""
        self.check()
        return column(self.columns.ts_ns, self.columns.nr, 8, b"q", self.store)

    @property
    def caplen(self):
        """Bytes captured of each: uint32 ("I")."""
        self.check()
        return column(self.columns.caplen, self.columns.nr, 4, b"I", self.store)

    @property
    def len(self):
        """Bytes each had on the wire: uint32 ("I")."""
        self.check()
        return column(self.columns.len, self.columns.nr, 4, b"I", self.store)

    @property
    def offset(self):
        """Where each begins: uint64 ("Q"), bytes from where the memory of the ring, file or copy begins."""
        self.check()
        return column(self.columns.offset, self.columns.nr, 8, b"Q", self.store)

    @property
    def vlan_tci(self):
        """Tag control information of the VLAN tag that was put back into the packet: uint16 ("H"); 0: none was."""
        self.check()
        return column(self.columns.vlan_tci, self.columns.nr, 2, b"H", self.store)

    @property
    def vlan_tpid(self):
        """Its protocol identifier, such as 0x8100: uint16 ("H"); 0: none was put back."""
        self.check()
        return column(self.columns.vlan_tpid, self.columns.nr, 2, b"H", self.store)

    @property
    def rxhash(self):
        """The hash of each packet's flow by NIC or kernel: uint32 ("I"); 0: none, as in files."""
        self.check()
        return column(self.columns.rxhash, self.columns.nr, 4, b"I", self.store)

    @property
    def status(self):
        """TP_STATUS_* of <linux/if_packet.h>: uint32 ("I"); 0 in files."""
        self.check()
        return column(self.columns.status, self.columns.nr, 4, b"I", self.store)

    @property
    def direction(self):
        """PCAP_D_IN or PCAP_D_OUT: uint8 ("B"); 0 where it is not known."""
        self.check()
        return column(self.columns.direction, self.columns.nr, 1, b"B", self.store)

    @property
    def wire_bytes(self) -> int:
        """The sum of ``len``."""
        self.check()
        return hp_columns_wire_bytes(&self.columns)

    # ---- packets ----

    cdef uint32_t row(self, Py_ssize_t index) except? 0xffffffff:
        self.check()
        if index < 0:
            index += self.columns.nr
        if not 0 <= index < self.columns.nr:
            raise IndexError(f"packet {index} of a batch of {self.columns.nr}")
        return <uint32_t>index

    cdef object packet(self, uint32_t i):
        cdef Memory memory = self.memory    # a reference of its own: see view()
        return memory.view(self.columns.base + self.columns.offset[i], self.columns.caplen[i])

    def __getitem__(self, index):
        if isinstance(index, slice):
            start, stop, step = index.indices(self.columns.nr)
            if step != 1:
                raise ValueError(f"a batch's slices are of step 1, not {step}")
            return self.part(start, stop)
        return self.packet(self.row(index))

    def __iter__(self):
        cdef uint32_t i
        for i in range(self.columns.nr):
            self.check()
            yield self.packet(i)

    def bytes(self, index, /):
        """A copy of packet ``index``'s bytes."""
        cdef uint32_t i = self.row(index)
        return PyBytes_FromStringAndSize(<const char *>self.columns.base + self.columns.offset[i],
                                         self.columns.caplen[i])

    cdef Batch part(self, Py_ssize_t start, Py_ssize_t stop):
        cdef Batch made = Batch.__new__(Batch)
        self.check()
        made.columns = self.columns
        made.columns.nr = made.columns.capacity = max(stop - start, 0)
        made.columns.ts_ns += start
        made.columns.offset += start
        made.columns.caplen += start
        made.columns.len += start
        made.columns.rxhash += start
        made.columns.status += start
        made.columns.vlan_tci += start
        made.columns.vlan_tpid += start
        made.columns.direction += start
        made.memory = self.memory
        made.store = self.store
        made.datalink = self.datalink
        return made

    cdef Batch whole(self):
        """This batch once more, for work without the GIL: another thread may release() this one meanwhile."""
        return self.part(0, self.columns.nr)

    def flows(self) -> Flows:
        """The packets' addresses, ports, flags and payloads as columns, decoded in C. See Flows."""
        cdef Batch kept = self.whole()
        return decode_rows(kept.columns.base, kept.columns.offset, kept.columns.caplen, kept.columns.nr,
                           kept.datalink)

    def mask(self, BPFProgram program not None, /):
        """1 for each packet that a filter accepts, else 0: a memoryview of uint8 ("B").

        Raises PcapError when the program was compiled for another link type.
        """
        cdef Batch kept = self.whole()
        if program.linktype != self.datalink:
            raise PcapError(f"mask: the program was compiled for link type {program.linktype}, "
                            f"packets here are of type {self.datalink}")
        return filter_rows(program, kept.columns.base, kept.columns.offset, kept.columns.caplen, kept.columns.len,
                           kept.columns.direction, kept.columns.nr)

    def __arrow_c_array__(self, requested_schema=None):
        """Capsules of schema and array, for pyarrow, Polars and DuckDB; ``data`` points into the ring.

        Binary or large_binary, if ``requested_schema`` has it, are copies. Source: Arrow's PyCapsule interface.
        """
        from ._arrow import array_capsules    # it needs Batch, and so comes after it
        return array_capsules(self, requested_schema)

    # ---- ending ----

    def copy(self):
        """A Batch with memory of its own: to be kept, while the ring goes on."""
        cdef Batch kept = self.whole()
        cdef Batch made
        cdef Arena arena
        cdef uint64_t total = 0
        cdef uint32_t nr = kept.columns.nr
        cdef uint32_t i
        for i in range(nr):
            total += kept.columns.caplen[i]
        arena = new_arena(total)
        made = new_batch(arena, new_spares(max(nr, 1)), self.datalink)
        with nogil:
            copy_rows(made, kept, arena)
        return made

    def release(self) -> None:
        """Ends this batch; a second call does nothing. Its packets' views that are still there stay good.

        Whatever is asked of its packets afterwards raises ValueError; their number is known still.
        """
        self.memory = None
        self.store = None

    @property
    def released(self) -> bool:
        """Whether release() was called."""
        return self.memory is None


cdef void copy_rows(Batch to, Batch source, Arena arena) noexcept nogil:
    cdef uint32_t nr = source.columns.nr
    cdef uint32_t i
    memcpy(to.columns.ts_ns, source.columns.ts_ns, nr * sizeof(to.columns.ts_ns[0]))
    memcpy(to.columns.caplen, source.columns.caplen, nr * sizeof(to.columns.caplen[0]))
    memcpy(to.columns.len, source.columns.len, nr * sizeof(to.columns.len[0]))
    memcpy(to.columns.rxhash, source.columns.rxhash, nr * sizeof(to.columns.rxhash[0]))
    memcpy(to.columns.status, source.columns.status, nr * sizeof(to.columns.status[0]))
    memcpy(to.columns.vlan_tci, source.columns.vlan_tci, nr * sizeof(to.columns.vlan_tci[0]))
    memcpy(to.columns.vlan_tpid, source.columns.vlan_tpid, nr * sizeof(to.columns.vlan_tpid[0]))
    memcpy(to.columns.direction, source.columns.direction, nr)
    for i in range(nr):
        to.columns.offset[i] = arena.used
        memcpy(arena.base + arena.used, source.columns.base + source.columns.offset[i], source.columns.caplen[i])
        arena.used += source.columns.caplen[i]
    to.columns.nr = nr
