# SPDX-License-Identifier: BSD-3-Clause
from ._capture cimport Capture
from ._pcap cimport BPFProgram


cdef class Control(Capture):
    cdef int change_filter(self, BPFProgram program) except -1
