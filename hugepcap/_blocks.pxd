# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport int64_t, uint32_t

from ._batch cimport Arena, Batch, Lease, Spares
from ._filtered cimport Filtered
from ._regular cimport RegularFile


cdef class Blocks(Filtered):
    cdef Spares spares
    cdef bint warned_of_holding
    cdef Batch take(self, uint32_t max_packets, uint32_t max_blocks, int64_t timeout_ms)
    cdef Batch take_leased(self, uint32_t max_blocks, int64_t timeout_ms)
    cdef Batch take_chunk(self, RegularFile file, int64_t timeout_ms)
    cdef int fill_chunk(self, RegularFile file, Batch batch, int64_t timeout_ms) except -100
    cdef Batch take_copied(self, int64_t timeout_ms)
    cdef int fill_arena(self, Batch batch, Arena arena) except -100
    cdef int warn_of_holding(self) except -1
