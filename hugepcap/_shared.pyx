# SPDX-License-Identifier: BSD-3-Clause
"""Batches on their way from one process to another, through memory that both have.

A slot holds its head, then the columns as hp_columns_lay() lays them out, then the packets one behind the other.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from ._batch cimport Batch, Memory, new_batch, new_spares
from ._hp cimport hp_columns, hp_columns_bytes, hp_columns_lay

cdef enum:
    HEAD_BYTES = 64

cdef struct head:
    uint32_t rows
    int datalink


@cython.final
@cython.no_gc
cdef class Slot(Memory):
    """The packets of a slot. The keeper goes with the last view of them, and may then let the slot be filled anew.

    no_gc: so that the collector neither forgets the buffer held, nor ends the keeper before others' finalizers.
    """
    cdef Py_buffer held
    cdef object keeper

    def __dealloc__(self):
        if self.base != NULL:
            PyBuffer_Release(&self.held)


cdef uint32_t rows_that_fit(Batch batch, uint32_t start, uint64_t room) noexcept nogil:
    cdef uint64_t payload = 0
    cdef uint32_t rows
    for rows in range(batch.columns.nr - start):
        payload += batch.columns.caplen[start + rows]
        if HEAD_BYTES + hp_columns_bytes(rows + 1) + payload > room:
            return rows
    return batch.columns.nr - start


cdef void copy_columns(hp_columns *to, const hp_columns *source, uint32_t start, uint32_t rows) noexcept nogil:
    memcpy(to.ts_ns, source.ts_ns + start, rows * sizeof(to.ts_ns[0]))
    memcpy(to.offset, source.offset + start, rows * sizeof(to.offset[0]))
    memcpy(to.caplen, source.caplen + start, rows * sizeof(to.caplen[0]))
    memcpy(to.len, source.len + start, rows * sizeof(to.len[0]))
    memcpy(to.rxhash, source.rxhash + start, rows * sizeof(to.rxhash[0]))
    memcpy(to.status, source.status + start, rows * sizeof(to.status[0]))
    memcpy(to.vlan_tci, source.vlan_tci + start, rows * sizeof(to.vlan_tci[0]))
    memcpy(to.vlan_tpid, source.vlan_tpid + start, rows * sizeof(to.vlan_tpid[0]))
    memcpy(to.direction, source.direction + start, rows)


cdef void copy_packets(hp_columns *to, uint8_t *payload, const hp_columns *source, uint32_t start, uint32_t rows) noexcept nogil:
    cdef uint64_t used = 0
    cdef uint32_t i
    for i in range(rows):
        memcpy(payload + used, source.base + source.offset[start + i], source.caplen[start + i])
        to.offset[i] = used
        used += source.caplen[start + i]


def pack(Batch batch not None, uint32_t start, slot) -> int:
    """Copies a batch's packets from ``start`` on into a slot (a writable buffer); how many it had room for."""
    cdef Py_buffer view
    cdef hp_columns columns
    cdef uint8_t *at
    cdef uint32_t rows
    batch = batch.whole()
    if start > batch.columns.nr:
        raise IndexError(f"packet {start} of a batch of {batch.columns.nr}")
    PyObject_GetBuffer(slot, &view, PyBUF_WRITABLE)
    at = <uint8_t *>view.buf
    try:
        if view.len < HEAD_BYTES:
            raise ValueError(f"a slot of {view.len} bytes has no room for its head of {HEAD_BYTES}")
        with nogil:
            rows = rows_that_fit(batch, start, view.len)
            (<head *>at).rows = rows
            (<head *>at).datalink = batch.datalink
            hp_columns_lay(&columns, at + HEAD_BYTES, rows)
            copy_columns(&columns, &batch.columns, start, rows)
            copy_packets(&columns, at + HEAD_BYTES + hp_columns_bytes(rows), &batch.columns, start, rows)
        return rows
    finally:
        PyBuffer_Release(&view)


def unpack(slot, keeper) -> Batch:
    """The Batch of a slot that was packed: columns of its own, packets where they are, held with ``keeper``."""
    cdef Slot memory = Slot.__new__(Slot)
    cdef hp_columns columns
    cdef Batch batch
    cdef uint32_t rows
    cdef uint8_t *at
    PyObject_GetBuffer(slot, &memory.held, PyBUF_SIMPLE)
    at = <uint8_t *>memory.held.buf
    rows = (<head *>at).rows
    memory.base = at + HEAD_BYTES + hp_columns_bytes(rows)
    memory.keeper = keeper
    hp_columns_lay(&columns, at + HEAD_BYTES, rows)
    batch = new_batch(memory, new_spares(max(rows, 1)), (<head *>at).datalink)
    copy_columns(&batch.columns, &columns, 0, rows)
    batch.columns.nr = rows
    return batch
