# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint32_t

from ._pcap cimport BPFProgram
from ._source cimport Source


cdef class Capture(Source):
    cdef str device                 # None: a file
    cdef object path
    cdef int snaplen
    cdef bint promisc
    cdef object settings            # RingSettings
    cdef bint rfmon
    cdef bint held                  # nothing is let in before admit()
    cdef bint immediate
    cdef int tstamp_type
    cdef int tstamp_precision
    cdef readonly object activate_error
    cdef uint32_t net
    cdef uint32_t mask
    cdef int aim(self, str device) except -1
    cdef int set_before_activation(self) except -1
    cdef int start(self, filter) except? -1000
    cdef int start_libpcap(self, filter) except? -1000
    cdef object libpcap_error(self, int status, str reason)


cdef int check_filter(filter) except -1
cdef BPFProgram as_program(filter, int linktype, int snaplen, uint32_t netmask)
