# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport int64_t, uint32_t

cdef int64_t TS_SECONDS    # whose nanoseconds fit into 64 bits


cdef class Pkthdr:
    """A packet's header."""
    cdef int64_t sec
    cdef uint32_t nsec
    cdef uint32_t caplen
    cdef uint32_t length
