# SPDX-License-Identifier: BSD-3-Clause
from libc.stdio cimport FILE


cdef struct pipe_state:
    int fd
    int wake_fd     # readable: breakloop() or close() was called; -1: nobody can
    int owned       # whether closing the FILE closes fd


cdef class Pipe:
    """A descriptor that blocks, as a FILE whose reads Ctrl-C and breakloop() can end."""
    cdef pipe_state state
    cdef FILE *file(self) except NULL
