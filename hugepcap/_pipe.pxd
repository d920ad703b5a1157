# SPDX-License-Identifier: BSD-3-Clause
from libc.stdio cimport FILE


cdef struct pipe_state:
    int fd
    char *buffer
    size_t capacity
    size_t mark         # the last packet or pcapng block that was taken whole ends here
    size_t next         # what stdio has been given ends here
    size_t filled       # what has come ends here
    bint opening        # reads wait; later they do not
    bint dry            # a read failed, and may be repeated
    bint blocks         # it is pcapng
    bint swapped        # in the other byte order


cdef void rewind(pipe_state *state) noexcept nogil


cdef class Pipe:
    """A descriptor as a FILE whose reads fail where they would wait, and rewind(): then nothing is lost."""
    cdef pipe_state state
    cdef FILE *file(self) except NULL
    cdef bytes magic(self)
    cdef void opened(self, bint blocks)
