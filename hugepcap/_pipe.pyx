# SPDX-License-Identifier: BSD-3-Clause
"""Pipe: what libpcap reads standard input and FIFOs through, so that a wait for data can be interrupted."""

from libc.stdio cimport FILE
from posix.unistd cimport close, read

from ._hp cimport HP_WAIT_ERROR, HP_WAIT_READY, HP_WAIT_WOKEN, hp_wait

cdef extern from "errno.h" nogil:
    int errno
    int ECANCELED
    int EINTR


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


cdef ssize_t get(void *cookie, char *out, size_t size) noexcept nogil:
    """stdio's read: waits in slices; ECANCELED after a wake-up, EINTR after a signal whose handler raised."""
    cdef pipe_state *state = <pipe_state *>cookie
    cdef int bits
    while True:
        bits = hp_wait_released(state.fd, state.wake_fd, SLICE_MS)
        if hp_check_signals() != 0:
            errno = EINTR
            return -1
        if bits & HP_WAIT_WOKEN:
            errno = ECANCELED
            return -1
        if bits & (HP_WAIT_READY | HP_WAIT_ERROR):
            return read(state.fd, out, size)


cdef int end(void *cookie) noexcept nogil:
    cdef pipe_state *state = <pipe_state *>cookie
    return close(state.fd) if state.owned else 0


cdef class Pipe:
    def __cinit__(self, int fd, bint owned):
        self.state.fd = fd
        self.state.wake_fd = -1
        self.state.owned = owned

    cdef FILE *file(self) except NULL:
        """The FILE; it must be closed before the Pipe goes."""
        cdef FILE *opened = hp_cookie_open(&self.state, get, end)
        if opened == NULL:
            raise MemoryError("no memory to read from a pipe")
        return opened
