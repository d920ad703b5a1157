# SPDX-License-Identifier: BSD-3-Clause
from libc.stdio cimport FILE


cdef struct pipe_state:
    int fd
    int wake_fd         # readable: breakloop() or close() may have been called; -1: nobody can
    const int *broken   # whether it was; atomic
    int interrupted     # what ended a wait: ECANCELED for those, EINTR for a signal's handler that raised; else 0
    bint blocks         # of pcapng
    bint swapped        # their numbers are of the other byte order
    char *buffer
    size_t capacity
    size_t mark         # the last packet, or block of pcapng, that was read whole ends here
    size_t next         # what stdio has been given ends here
    size_t filled       # what has come ends here


cdef class Pipe:
    """A descriptor that blocks, as a FILE whose reads Ctrl-C and breakloop() can end without losing anything."""
    cdef pipe_state state
    cdef FILE *file(self) except NULL
    cdef bytes magic(self)
    cdef void begin(self)
    cdef bint ready(self)


cdef void rewind(pipe_state *state) noexcept nogil
