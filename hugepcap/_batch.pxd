# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint8_t, uint32_t

from ._hp cimport hp_columns, hp_pins
from ._ring cimport Ring


cdef class Memory:
    """Memory that packets lie in; it lives as long as a view of any of them."""
    cdef uint8_t *base
    cdef const uint8_t *shown       # what the next __getbuffer__ is of; NULL: nothing
    cdef Py_ssize_t shown_bytes
    cdef object view(self, const uint8_t *at, Py_ssize_t nr)


cdef class Lease(Memory):
    """Blocks of a ring; they go back to the kernel with it."""
    cdef Ring ring
    cdef hp_pins pins
    cdef unsigned long generation


cdef class Arena(Memory):
    """Memory of our own."""
    cdef size_t room
    cdef size_t used
    cdef int reserve(self, size_t more) except -1


cdef class Spares:
    """Memory of columns whose batches are gone, for the next ones."""
    cdef void *memory[4]
    cdef int nr
    cdef readonly uint32_t capacity


cdef class Store:
    """The memory of one batch's columns."""
    cdef void *memory
    cdef Spares spares


cdef class Batch:
    cdef hp_columns columns
    cdef Memory memory              # None: released
    cdef Store store
    cdef readonly int datalink
    cdef int check(self) except -1
    cdef uint32_t row(self, Py_ssize_t index) except? 0xffffffff
    cdef object packet(self, uint32_t i)
    cdef Batch part(self, Py_ssize_t start, Py_ssize_t stop)
    cdef Batch whole(self)


cdef Lease new_lease(Ring ring, uint32_t blocks)
cdef Arena new_arena(size_t room)
cdef Spares new_spares(uint32_t capacity)
cdef Batch new_batch(Memory memory, Spares spares, int datalink)
