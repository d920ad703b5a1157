# SPDX-License-Identifier: BSD-3-Clause
from libc.stdio cimport FILE


cdef struct pipe_state:
    int fd
    int wake_fd         # readable: breakloop() or close() was called; -1: nobody can
    char *buffer
    size_t capacity
    size_t mark         # the last packet that was read whole ends here
    size_t next         # what stdio has been given ends here
    size_t filled       # what has come ends here


cdef class Pipe:
    """A descriptor that blocks, as a FILE whose reads Ctrl-C and breakloop() can end without losing anything."""
    cdef pipe_state state
    cdef FILE *file(self) except NULL
    cdef bytes magic(self)
    cdef bint ready(self)
    cdef void rewind(self)
