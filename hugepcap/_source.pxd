# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport int64_t, uint64_t

from ._hp cimport hp_source
from ._pcap cimport BPFProgram, PcapHandle, hp_filter, hp_frame
from ._ring cimport Ring

cdef enum:
    BROKEN = 4      # beside HP_NONE, HP_FRAME, HP_EOF, HP_AGAIN: breakloop() or close() was called
    WAIT_FOREVER = -1
    # The kernel's timer hands a block over up to two ticks late, at 100 Hz 20 ms: a read waits as much longer, so that
    # what had come when it began is what it returns.
    RETIRE_LATE_MS = 20


cdef class Source:
    """What a Reader reads from, and who may read now."""
    cdef hp_source src
    cdef Ring ring_engine
    cdef PcapHandle pcap_engine
    cdef BPFProgram program         # what the socket or src.filter runs; kept for admit()
    cdef list retired               # programs that a reading thread may still be running
    cdef int wake_fd
    cdef int edge_fd                # epoll over what is captured from, and wake_fd; -1: nothing to poll
    cdef bint watched               # an event loop waits for edge_fd
    cdef public double turned_at    # when an event loop last had its turn between packets
    cdef unsigned long owner        # the thread that reads now, 0: none
    cdef int users                  # calls beside it that need the engine: the last to end finishes a close()
    cdef unsigned long generation   # of forks, when this was made
    cdef bint closing
    cdef bint ended
    cdef bint nonblocking
    cdef int64_t lost_at_ms         # when the device's loss was seen, 0: it is there
    cdef int64_t stopped_at_ms      # when stop() was called, 0: it was not
    cdef int deferred               # an error that the next read is to raise
    cdef int timeout_ms             # the read timeout, 0 or less: none

    cdef int int_arg(self, object value, str name) except? -1
    cdef int check_open(self) except -1
    cdef int check_active(self) except -1
    cdef int check_mine(self) except -1
    cdef int use(self) except -1
    cdef int unuse(self) except -1
    cdef int enter(self) except -1
    cdef int refuse(self) except -1
    cdef bint read_elsewhere(self)
    cdef int leave(self) except -1
    cdef int64_t read_timeout(self)
    cdef int fetch(self, hp_frame *frame, int64_t timeout_ms) except -100
    cdef int fetch_slow(self, int rc, hp_frame *frame, int64_t timeout_ms) except -100
    cdef int scan_on(self, hp_frame *frame) except -100
    cdef int pause(self, int64_t timeout_ms) except -100
    cdef int boundary(self) except -1
    cdef int defer(self, int rc) except -1
    cdef int take_break(self) except -1
    cdef int fail(self, int rc) except -1
    cdef int note_loss(self) except -1
    cdef int check_end(self) except -100
    cdef int64_t end_ms(self)
    cdef int open_waits(self, int fd, bint edge) except -1
    cdef int adopt_ring(self, Ring ring, BPFProgram program) except -1
    cdef int adopt_pcap(self, PcapHandle handle) except -1
    cdef int apply_filter(self, BPFProgram program) except -1
    cdef int keep_filter(self, BPFProgram program, const hp_filter *here) except -1
    cdef int apply_pcap_filter(self, BPFProgram program) except -1
    cdef int settle_filter(self) except -1
    cdef int finish_unused(self) except -1
    cdef int finish(self) except -1
    cdef bint live(self)
    cdef bint inherited(self)
    cdef void close_fds(self)


cdef object as_index(object value, str name)
cdef int as_int(object value, str name) except? -1
cdef object out_of_range(object index, str name, object least, object most)
cdef int check_callback(object callback, str name) except -1
cdef unsigned long fork_generation()
