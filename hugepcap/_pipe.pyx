# SPDX-License-Identifier: BSD-3-Clause
"""Pipe: what libpcap reads standard input and FIFOs through, so that a wait for data can be interrupted."""

from libc.stdio cimport FILE, _IONBF, setvbuf
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset
from posix.unistd cimport close, read

from ._hp cimport HP_WAIT_ERROR, HP_WAIT_READY, HP_WAIT_WOKEN, hp_wait

cdef extern from "errno.h" nogil:
    int errno
    int ECANCELED
    int EINTR
    int ENOMEM


cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <stdio.h>
    static FILE *hp_cookie_open(void *cookie, ssize_t (*get)(void *, char *, size_t), int (*end)(void *))
    {
        cookie_io_functions_t calls = { .read = get, .close = end };
        return fopencookie(cookie, "rb", calls);
    }
    /* Runs the handlers of signals that came; -1: one raised. Whether the GIL is held or not. */
    static int hp_check_signals(void)
    {
        PyGILState_STATE state = PyGILState_Ensure();
        int rc = PyErr_CheckSignals();
        PyGILState_Release(state);
        return rc;
    }
    /* hp_wait() without the GIL, whether the caller holds it or not. */
    static int hp_wait_released(int fd, int wake_fd, int timeout_ms)
    {
        PyThreadState *held = PyGILState_Check() ? PyEval_SaveThread() : NULL;
        int bits = hp_wait(fd, wake_fd, timeout_ms);
        if (held)
            PyEval_RestoreThread(held);
        return bits;
    }
    """
    FILE *hp_cookie_open(void *, ssize_t (*)(void *, char *, size_t) noexcept nogil, int (*)(void *) noexcept nogil)
    int hp_check_signals()
    int hp_wait_released(int, int, int)

cdef enum:
    SLICE_MS = 100
    CHUNK_BYTES = 65536


cdef int make_room(pipe_state *state) noexcept nogil:
    """Room for a chunk behind what has come; what was read as whole packets goes. -1: no memory."""
    cdef size_t kept = state.filled - state.mark
    cdef char *grown
    memmove(state.buffer, state.buffer + state.mark, kept)
    state.next -= state.mark
    state.filled = kept
    state.mark = 0
    if state.capacity - state.filled >= CHUNK_BYTES:
        return 0
    grown = <char *>realloc(state.buffer, state.filled + CHUNK_BYTES)
    if grown == NULL:
        return -1
    state.buffer = grown
    state.capacity = state.filled + CHUNK_BYTES
    return 0


cdef ssize_t fill(pipe_state *state) noexcept nogil:
    """Waits for data, in slices: read(2)'s result; ECANCELED after a wake-up, EINTR after a handler that raised."""
    cdef int bits
    cdef ssize_t got
    while True:
        bits = hp_wait_released(state.fd, state.wake_fd, SLICE_MS)
        if hp_check_signals() != 0:
            errno = EINTR
            return -1
        if bits & HP_WAIT_WOKEN:
            errno = ECANCELED
            return -1
        if bits & (HP_WAIT_READY | HP_WAIT_ERROR):
            break
    if make_room(state) < 0:
        errno = ENOMEM
        return -1
    got = read(state.fd, state.buffer + state.filled, state.capacity - state.filled)
    if got > 0:
        state.filled += got
    return got


cdef ssize_t get(void *cookie, char *out, size_t size) noexcept nogil:
    """stdio's read. The FILE has no buffer of its own, so that what libpcap has taken is known to the byte."""
    cdef pipe_state *state = <pipe_state *>cookie
    cdef ssize_t got
    if state.next == state.filled:
        got = fill(state)
        if got <= 0:
            return got
    size = min(size, state.filled - state.next)
    memcpy(out, state.buffer + state.next, size)
    state.next += size
    return size


cdef int end(void *cookie) noexcept nogil:
    return close((<pipe_state *>cookie).fd)


cdef class Pipe:
    def __cinit__(self, int fd):
        memset(&self.state, 0, sizeof(self.state))
        self.state.fd = fd
        self.state.wake_fd = -1

    def __dealloc__(self):
        free(self.state.buffer)

    cdef FILE *file(self) except NULL:
        """The FILE, which owns the descriptor; it must be closed before the Pipe goes."""
        cdef FILE *opened = hp_cookie_open(&self.state, get, end)
        if opened == NULL:
            raise MemoryError("no memory to read from a pipe")
        setvbuf(opened, NULL, _IONBF, 0)
        return opened

    cdef bytes magic(self):
        """The first four bytes, fewer where no more came; as long as no packet has been read."""
        return self.state.buffer[:min(4, self.state.filled)] if self.state.buffer != NULL else b""

    cdef bint ready(self):
        """Whether a read would not wait."""
        return self.state.next < self.state.filled or hp_wait(self.state.fd, -1, 0) != 0

    cdef void rewind(self):
        """Back to the end of the last whole packet: what came of the next is given again."""
        self.state.next = self.state.mark
