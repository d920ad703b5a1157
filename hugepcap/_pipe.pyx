# SPDX-License-Identifier: BSD-3-Clause
"""Pipe: what libpcap reads standard input and FIFOs through, so that it never waits for data within a packet."""

from libc.stdint cimport uint32_t
from libc.stdio cimport FILE, _IONBF, setvbuf
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove, memset
from posix.unistd cimport close, read

from ._hp cimport HP_WAIT_ERROR, HP_WAIT_READY, hp_wait

cdef extern from "errno.h" nogil:
    int errno
    int EAGAIN
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
    /* Runs the handlers of signals that came; -1: one raised. For callers without the GIL. */
    static int hp_check_signals(void)
    {
        PyGILState_STATE state = PyGILState_Ensure();
        int rc = PyErr_CheckSignals();
        PyGILState_Release(state);
        return rc;
    }
    """
    FILE *hp_cookie_open(void *, ssize_t (*)(void *, char *, size_t) noexcept nogil, int (*)(void *) noexcept nogil)
    int hp_check_signals()
    uint32_t __builtin_bswap32(uint32_t)

cdef enum:
    SLICE_MS = 100
    CHUNK_BYTES = 65536
    # pcapng: a block begins with its type and its length; a section's goes on with a word that tells the byte order.
    BLOCK_HEAD_BYTES = 8
    BYTE_ORDER_MAGIC = 0x1a2b3c4d


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


cdef int look(pipe_state *state) noexcept nogil:
    """0 when there is something to read, else an errno: EAGAIN; while the file is opened, EINTR: a handler raised."""
    cdef int bits = 0
    while not bits & (HP_WAIT_READY | HP_WAIT_ERROR):
        bits = hp_wait(state.fd, -1, SLICE_MS if state.opening else 0)
        if state.opening and hp_check_signals() != 0:
            return EINTR
        if not state.opening and not bits & (HP_WAIT_READY | HP_WAIT_ERROR):
            return EAGAIN
    return 0


cdef ssize_t fill(pipe_state *state) noexcept nogil:
    """read(2)'s result; state.dry, too, when nothing is there or a signal came."""
    global errno
    cdef int code = look(state)
    cdef ssize_t got = -1
    if code == 0 and make_room(state) < 0:
        code = ENOMEM
    if code == 0:
        got = read(state.fd, state.buffer + state.filled, state.capacity - state.filled)
        code = errno if got < 0 else 0
    if got > 0:
        state.filled += got
    if code:
        state.dry = code == EAGAIN or code == EINTR
        errno = code
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


cdef uint32_t block_bytes(const pipe_state *state, size_t at) noexcept nogil:
    """The length of a pcapng block that begins there."""
    cdef uint32_t length
    memcpy(&length, state.buffer + at + 4, sizeof(length))
    return __builtin_bswap32(length) if state.swapped else length


cdef void pass_blocks(pipe_state *state) noexcept nogil:
    """Moves the mark over pcapng blocks that libpcap has taken whole, as interfaces: given again, they count again."""
    cdef uint32_t length
    while state.next - state.mark >= BLOCK_HEAD_BYTES:
        length = block_bytes(state, state.mark)
        if length < BLOCK_HEAD_BYTES or length > state.next - state.mark:
            break
        state.mark += length


cdef void rewind(pipe_state *state) noexcept nogil:
    """Back to the end of what was taken whole: what came of the next packet or block is given again."""
    if state.blocks:
        pass_blocks(state)
    state.next = state.mark
    state.dry = False


cdef class Pipe:
    def __cinit__(self, int fd):
        memset(&self.state, 0, sizeof(self.state))
        self.state.fd = fd
        self.state.opening = True

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

    cdef void opened(self, bint blocks):
        """libpcap has the file's header, of pcapng (`blocks`) or pcap: from now on no read waits."""
        cdef uint32_t order
        self.state.opening = False
        self.state.mark = self.state.next
        self.state.blocks = blocks
        if blocks:
            memcpy(&order, self.state.buffer + BLOCK_HEAD_BYTES, sizeof(order))
            self.state.swapped = order != BYTE_ORDER_MAGIC
