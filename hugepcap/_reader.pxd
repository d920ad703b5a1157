# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint32_t

from ._blocks cimport Blocks
from ._pcap cimport hp_frame


cdef class Reader(Blocks):
    """A capture or a file."""
    cdef uint32_t pulled_room    # bytes that the next batch_of_pulls() is likely to need
    cdef tuple batch_of_block(self, hp_frame *first, uint32_t max_n)
    cdef tuple batch_of_pulls(self, hp_frame *first, uint32_t max_n)
