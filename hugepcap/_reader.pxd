# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport int64_t, uint32_t, uint64_t

from ._classify cimport Classifier
from ._hp cimport hp_batch
from ._pcap cimport BPFProgram, hp_frame
from ._source cimport Source


cdef class Reader(Source):
    """A capture or a file."""
    cdef str device
    cdef object path
    cdef int snaplen
    cdef bint promisc
    cdef uint64_t ring_bytes
    cdef bint rfmon
    cdef bint immediate
    cdef int tstamp_type
    cdef int tstamp_precision
    cdef readonly object activate_error
    cdef uint32_t net
    cdef uint32_t mask
    cdef Classifier last_classifier
    cdef int set_before_activation(self) except -1
    cdef int start(self, filter) except? -1000
    cdef int start_libpcap(self, filter) except? -1000
    cdef tuple batch_of_block(self, hp_frame *first, uint32_t max_n)
    cdef tuple batch_of_pulls(self, hp_frame *first, uint32_t max_n)
    cdef int run_filtered(self, Classifier c, int cnt, object callback) except -1
    cdef bint go_on(self, int rc) except -1
    cdef int run_to_buffer(self, Classifier c, int cnt, Py_buffer *view, uint64_t *used) except -1
