# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint32_t, uint64_t

from ._hp cimport hp_counters, hp_device, hp_err, hp_ring, hp_source
from ._pcap cimport BPFProgram


cdef class Ring:
    """A packet socket with its ring: what the kernel's side of a live Reader is."""
    cdef hp_ring ring
    cdef hp_device dev
    cdef hp_counters counters
    cdef readonly int fd
    cdef readonly uint32_t snaplen
    cdef bint kernel_filters    # the kernel runs the whole of the last filter attached
    cdef bint doubles           # a loopback device whose outgoing copies the kernel does not leave out
    cdef uint64_t ifdrops_before
    cdef int pid                # of the process that opened it
    cdef int leases             # batches that need the ring's memory
    cdef uint64_t user_page     # bytes, as the next ones; kernel_page 0: not known
    cdef uint64_t kernel_page
    cdef uint64_t pinned
    cdef int node
    cdef void shut(self)
    cdef int hold(self) except -1
    cdef void lease_ends(self)
    cdef int attach(self, BPFProgram program) except -1
    cdef int link_state(self)


cdef int check(int rc, hp_err *err, str more=*) except -1
