# SPDX-License-Identifier: BSD-3-Clause
"""Source: one stream of packets, the rule that one thread reads it at a time, and how it waits."""

import os

from cpython.exc cimport PyErr_CheckSignals
from cpython.long cimport PyLong_AsLongAndOverflow
from cpython.number cimport PyIndex_Check, PyNumber_Index
from cpython.pythread cimport PyThread_get_thread_ident
from libc.limits cimport INT_MAX, INT_MIN
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from posix.unistd cimport close

from ._hp cimport (
    HP_AGAIN, HP_FRAME, HP_NONE, HP_TOUCH_ALL, HP_WAIT_ERROR, HP_WAIT_WOKEN, hp_break, hp_broken, hp_edge_open,
    hp_edge_wait, hp_filter_publish, hp_now_ms, hp_ring_handed_over, hp_ring_pending, hp_source_next, hp_source_release,
    hp_source_settle, hp_source_settle_block, hp_wait, hp_wake, hp_wake_drain, hp_wake_open,
)
from ._hp cimport HP_LIVE_READERS, hp_live
from ._regular cimport RegularFile, pull_regular
from ._pcap cimport BPFProgram, PcapHandle, hp_filter, hp_frame, pull

from .errors import PcapCorruptError, PcapError, from_errno

# A wait is cut into slices of this length, so that Ctrl-C ends it even where the signal went to another thread.
cdef int64_t SLICE_MS = 100
# libpcap devices without a descriptor to poll are asked this often.
cdef int64_t BLIND_SLICE_MS = 10
# Beyond two block timeouts the kernel has handed over all it had when its device went.
cdef int64_t LOSS_GRACE_MS = 100

cdef unsigned long _generation = 1


def _forked():
    """After a fork, in the child: what was opened before is the parent's."""
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_forked)


cdef unsigned long fork_generation():
    """Tells a process from its parent: what was made under another number is the parent's."""
    return _generation


# ---- arguments; `name` is method(argument) ----

cdef object as_index(object value, str name):
    """The int that a value is; TypeError for what is none (a float, too)."""
    if not PyIndex_Check(value):
        raise TypeError(f"{name}: an integer is wanted, not {type(value).__name__}")
    return PyNumber_Index(value)


cdef int as_int(object value, str name) except? -1:
    """A C int as pcapy takes it: OverflowError beyond 32 bits."""
    cdef int overflow = 0
    cdef object index = as_index(value, name)
    cdef long number = PyLong_AsLongAndOverflow(index, &overflow)
    if overflow or not INT_MIN <= number <= INT_MAX:
        raise out_of_range(index, name, INT_MIN, INT_MAX)
    return <int>number


cdef object out_of_range(object index, str name, object least, object most):
    """The exception; Python does not print integers of thousands of digits."""
    shown = index if index.bit_length() <= 64 else f"an integer of {index.bit_length()} bits"
    return OverflowError(f"{name}: {shown} is not within {least}..{most}")


cdef int check_callback(object callback, str name) except -1:
    if not callable(callback):
        raise TypeError(f"{name}: the callback must be callable, not {type(callback).__name__}")
    return 0


cdef class Source:
    def __cinit__(self):
        memset(&self.src, 0, sizeof(self.src))
        self.wake_fd = -1
        self.edge_fd = -1
        self.generation = _generation
        self.retired = []
        hp_live(HP_LIVE_READERS, 1)

    def __dealloc__(self):
        self.close_fds()
        hp_live(HP_LIVE_READERS, -1)

    cdef void close_fds(self):
        if self.wake_fd >= 0:
            close(self.wake_fd)
        if self.edge_fd >= 0:
            close(self.edge_fd)
        self.wake_fd = self.edge_fd = -1

    # ---- who may do what ----

    cdef bint inherited(self):
        """Whether this came from the parent by a fork."""
        return self.generation != _generation

    cdef bint live(self):
        return self.ring_engine is not None or (self.pcap_engine is not None and not self.pcap_engine.offline)

    cdef int check_open(self) except -1:
        if self.ended or self.closing:
            raise ValueError("pcap is closed")
        return 0

    cdef int int_arg(self, object value, str name) except? -1:
        """An argument of a method: that the Reader is closed comes before what is wrong with it."""
        self.check_open()
        return as_int(value, name)

    cdef int check_active(self) except -1:
        self.check_open()
        if self.ring_engine is None and self.pcap_engine is None:
            raise PcapError("the capture handle is not activated: call activate() first")
        return 0

    cdef int check_mine(self) except -1:
        """Before what changes the capture: a child shares its socket, and a file's position, with the parent."""
        self.check_active()
        if self.inherited():
            raise PcapError("this Reader was opened before a fork and belongs to the parent: open one of its own in "
                            "the child")
        return 0

    cdef int use(self) except -1:
        """The start of a call that lets other threads run, but no read: their close() must leave it the engine."""
        self.check_mine()
        self.users += 1
        return 0

    cdef int unuse(self) except -1:
        """The end of it, in `finally`."""
        self.users -= 1
        return self.finish_unused() if self.closing else 0

    cdef int enter(self) except -1:
        """The start of every read. Only one thread reads, and not from within its own callback."""
        if self.owner != 0 or self.ended or self.closing or self.generation != _generation or \
                (self.ring_engine is None and self.pcap_engine is None):
            self.refuse()
        self.owner = PyThread_get_thread_ident()
        return 0

    cdef int refuse(self) except -1:
        """Says why there is nothing to read now."""
        self.check_mine()
        if self.owner == PyThread_get_thread_ident():
            raise PcapError("this Reader is reading already: its callback cannot read from it again")
        raise PcapError("another thread is reading from this Reader: give each thread its own, "
                        "and join them with set_fanout() to share the traffic")

    cdef bint read_elsewhere(self):
        """Whether another thread is within a read."""
        return self.owner not in (0, PyThread_get_thread_ident())

    cdef int leave(self) except -1:
        """The end of every read, in `finally`."""
        self.owner = 0
        if self.closing:
            return self.finish_unused()
        if self.src.ring != NULL:
            hp_source_settle_block(&self.src)
        if self.retired:
            self.retired.clear()
        return 0

    # ---- fetching and waiting ----

    cdef int64_t read_timeout(self):
        """How long next() and dispatch() wait for a packet, in ms."""
        return 0 if self.nonblocking else self.timeout_ms + RETIRE_LATE_MS if self.timeout_ms > 0 else WAIT_FOREVER

    cdef int fetch(self, hp_frame *frame, int64_t timeout_ms) except -100:
        """The next packet: HP_FRAME; HP_NONE when none came within timeout_ms; HP_EOF; BROKEN."""
        cdef int rc
        if hp_broken(&self.src):
            return self.take_break()
        rc = hp_source_next(&self.src, &self.src.cur, frame, HP_TOUCH_ALL)
        if rc == HP_FRAME:
            return rc
        return self.fetch_slow(rc, frame, timeout_ms)

    cdef int fetch_slow(self, int rc, hp_frame *frame, int64_t timeout_ms) except -100:
        cdef int64_t deadline = hp_now_ms() + timeout_ms
        cdef int64_t left = timeout_ms
        if rc == HP_AGAIN:
            if timeout_ms == 0:
                return HP_NONE
            rc = self.scan_on(frame)
            if rc == BROKEN:
                return self.take_break()
        while rc == HP_NONE:
            if timeout_ms > 0:
                left = max(deadline - hp_now_ms(), 0)
            if self.pause(left) == BROKEN:
                return self.take_break()
            rc = hp_source_next(&self.src, &self.src.cur, frame, HP_TOUCH_ALL)
            if rc == HP_NONE and left == 0:
                return rc
        if rc < 0:
            return self.fail(rc)
        return rc

    cdef int scan_on(self, hp_frame *frame) except -100:
        """The next packet after HP_AGAIN, without the GIL between looks at signals; BROKEN."""
        cdef int rc = HP_AGAIN
        while rc == HP_AGAIN:
            PyErr_CheckSignals()
            if hp_broken(&self.src):
                return BROKEN
            with nogil:
                rc = hp_source_next(&self.src, &self.src.cur, frame, HP_TOUCH_ALL)
        return rc

    cdef int pause(self, int64_t timeout_ms) except -100:
        """Waits for packets, for a wake-up (BROKEN), or for one slice of the time left (WAIT_FOREVER: any).

        Raises what a signal's handler raised, and the loss of the device once the ring is empty.
        """
        cdef int64_t slice_ms = SLICE_MS if self.edge_fd >= 0 else BLIND_SLICE_MS
        cdef int bits
        if timeout_ms < 0 or timeout_ms > slice_ms:
            timeout_ms = slice_ms
        with nogil:
            bits = (hp_edge_wait(self.edge_fd, <int>timeout_ms) if self.edge_fd >= 0
                    else hp_wait(-1, self.wake_fd, <int>timeout_ms))
        PyErr_CheckSignals()
        if hp_broken(&self.src) or self.closing:
            return BROKEN
        if bits & HP_WAIT_WOKEN:
            hp_wake_drain(self.wake_fd)
        if self.src.filter != NULL:
            self.settle_filter()
        if self.ring_engine is not None:
            if bits & HP_WAIT_ERROR:
                self.note_loss()
            if (self.lost_at_ms or self.stopped_at_ms) and not hp_ring_pending(self.src.ring):
                return self.check_end()
        return 0

    cdef int boundary(self) except -1:
        """Between two blocks, with the GIL: signals, and filters that have done their work."""
        PyErr_CheckSignals()
        if self.src.filter != NULL:
            self.settle_filter()
        return 0

    cdef int settle_filter(self) except -1:
        """Ends src.filter where it has done its work; hands one that waited for its reader on to libpcap."""
        if self.src.ring == NULL:
            hp_filter_publish(&self.src, NULL)
            self.pcap_engine.setfilter(self.program)
        elif self.src.ring.taken > self.src.filter_until:
            hp_filter_publish(&self.src, NULL)
            hp_source_settle(&self.src)
        return 0

    cdef int take_break(self) except -1:
        cdef int rc = self.deferred
        hp_break(&self.src, 0)
        hp_wake_drain(self.wake_fd)
        self.deferred = 0
        if rc < 0:
            self.fail(rc)
        return BROKEN

    cdef int defer(self, int rc) except -1:
        """Keeps an error for the next read: this one has packets to deliver."""
        self.deferred = rc
        hp_break(&self.src, 1)
        return 0

    cdef int fail(self, int rc) except -1:
        """Raises what a read reported."""
        if self.pcap_engine is not None:
            raise self.pcap_engine.read_error()
        raise PcapCorruptError(
            f"read {self.ring_engine.device}: block {self.src.index} of the ring has contents that cannot be right; "
            "the rest of it is given up, reading goes on with the next", errno=-rc, operation="read",
            detail=self.ring_engine.device)

    # ---- a device that goes ----

    cdef int note_loss(self) except -1:
        code = self.ring_engine.pending_error()
        if code and not self.lost_at_ms:
            self.lost_at_ms = hp_now_ms()
        return 0

    cdef int check_end(self) except -100:
        """With the ring empty after stop(): BROKEN once nothing can come; after a loss: raises if it is lasting."""
        if hp_now_ms() < self.end_ms():
            return 0
        if self.stopped_at_ms:
            hp_break(&self.src, 1)
            return BROKEN
        error = self.ring_engine.link_error()
        if error is not None:
            raise error
        self.lost_at_ms = 0
        return 0

    cdef int64_t end_ms(self):
        """When the kernel has handed over all it had, after stop() or a loss of the device; 0: neither was."""
        cdef int64_t since = self.stopped_at_ms if self.stopped_at_ms else self.lost_at_ms
        return since + 2 * <int64_t>self.ring_engine.retire_ms + LOSS_GRACE_MS if since else 0

    def retry_s(self):
        """After how many seconds there may be an end to read, of which no descriptor tells; None: not for now."""
        cdef int64_t at = self.end_ms() if self.ring_engine is not None else 0
        return max(at - hp_now_ms(), 1) / 1000 if at else None

    # ---- engines ----

    cdef int adopt_ring(self, Ring ring, BPFProgram program) except -1:
        self.open_waits(ring.fd, True)
        self.ring_engine = ring
        self.src.link = ring.dev.link
        self.src.snaplen = ring.snaplen
        self.src.loopback = ring.doubles
        self.src.direction = 0
        self.src.ring = &ring.ring
        if program is not None and not ring.kernel_filters:
            self.src.filter = &program.filter_here
            self.src.filter_until = <uint64_t>-1
        self.program = program
        hp_source_settle(&self.src)
        return 0

    cdef int adopt_pcap(self, PcapHandle handle) except -1:
        self.open_waits(handle.fd(), False)
        self.pcap_engine = handle
        self.src.ring = NULL
        if isinstance(handle, RegularFile):
            self.src.pull = pull_regular
            self.src.ctx = &(<RegularFile>handle).file
        else:
            self.src.pull = pull
            self.src.ctx = &handle.state
        return 0

    cdef int open_waits(self, int fd, bint edge) except -1:
        """The descriptors to wait on; regular files and devices without one do without."""
        self.wake_fd = hp_wake_open()
        if self.wake_fd < 0:
            raise from_errno(-self.wake_fd, "eventfd", "for breakloop() and close()")
        self.edge_fd = hp_edge_open(fd, self.wake_fd, edge) if fd >= 0 else -1
        if self.edge_fd < 0 and edge:
            raise from_errno(-self.edge_fd, "epoll", "on the ring's socket")
        return 0

    def wait_fd(self) -> int:
        """A descriptor that can be read when there is something to do: packets, breakloop(), close().

        Unlike getfd()'s it stays quiet while batches hold the ring's last block; it is for event loops, which
        then read without waiting. Raises ValueError where there is nothing to wait on, as for files.
        """
        self.check_active()
        if self.edge_fd < 0:
            raise ValueError("wait_fd: this Reader has no descriptor to wait on")
        return self.edge_fd

    def watch(self) -> int:
        """wait_fd() until unwatch(): close() leaves it open till then, and readable. -1 for files: there is no waiting.

        Raises PcapError while another has it: an event loop calls only one back for a descriptor.
        """
        self.check_active()
        if self.pcap_engine is not None and self.pcap_engine.offline and self.edge_fd < 0:
            return -1
        if self.watched:
            raise PcapError("another task is reading from this Reader already: let one task read and hand on what came")
        fd = self.wait_fd()
        self.watched = True
        return fd

    def unwatch(self) -> None:
        """The counterpart of watch()."""
        self.watched = False
        if self.ended:
            self.close_fds()

    cdef int apply_filter(self, BPFProgram program) except -1:
        """Gives the ring a new filter, None: none. What is queued passed the old one: it is filtered here, too."""
        cdef uint64_t queued
        self.ring_engine.attach(program)
        # The block being filled, and one more for a packet that another CPU is just putting there.
        queued = hp_ring_handed_over(self.src.ring) + 2
        self.src.filter_until = queued if self.ring_engine.kernel_filters else <uint64_t>-1
        return self.keep_filter(program, &program.filter_here if program is not None else NULL)

    cdef int keep_filter(self, BPFProgram program, const hp_filter *here) except -1:
        """The ring's filter from now on, and what of it runs here. A thread that reads may be running the old one."""
        self.retired.append(self.program)
        self.program = program
        hp_filter_publish(&self.src, here)
        self.src.link = self.ring_engine.dev.link
        hp_source_settle(&self.src)
        return 0

    cdef int apply_pcap_filter(self, BPFProgram program) except -1:
        """Gives libpcap a new filter; a device's waits in src.filter while another thread reads, which is woken."""
        cdef bint wait = not self.pcap_engine.offline and self.read_elsewhere()
        if not wait:
            self.pcap_engine.setfilter(program)
        self.retired.append(self.program)
        self.program = program
        hp_filter_publish(&self.src, &program.filter_here if wait else NULL)
        if wait:
            hp_wake(self.wake_fd)
        elif self.owner == 0:
            self.retired.clear()
        return 0

    # ---- ending ----

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self.ended or self.closing

    def breakloop(self) -> None:
        """Ends the read that is going on (or, if none is, the next one), from any thread or signal handler.

        loop() then returns None, dispatch() its count so far, next() ``(None, b"")``.
        Source: pcap_breakloop(3PCAP), with the wake-up that libpcap leaves to its caller.
        """
        self.check_open()
        hp_break(&self.src, 1)
        if self.wake_fd >= 0 and not self.inherited():    # the parent has that descriptor, too
            hp_wake(self.wake_fd)

    def stop(self) -> None:
        """Takes no more packets in. Reads still give what was captured, then end as after breakloop().

        From any thread; a second call does nothing. Raises PcapError for files and libpcap's devices.
        """
        self.check_mine()
        if self.ring_engine is None:
            raise PcapError("stop: only a capture of the ring engine can be stopped; breakloop() ends any read")
        if not self.stopped_at_ms:
            self.ring_engine.silence()
            self.stopped_at_ms = hp_now_ms()
            hp_wake(self.wake_fd)    # who waits for something to read has to ask for retry_s()

    def close(self) -> None:
        """Closes the capture; a second call does nothing.

        A thread that is reading is woken and its call ends as after breakloop(); from within a
        callback, the loop ends after it. Afterwards every method raises ``ValueError("pcap is closed")``.
        """
        if self.ended or self.closing:
            return
        if self.inherited() or not (self.owner or self.users):
            self.finish()
            return
        self.closing = True
        hp_break(&self.src, 1)
        hp_wake(self.wake_fd)

    cdef int finish_unused(self) except -1:
        """finish() for a close() that had to wait, once nobody reads nor uses the engine."""
        return 0 if self.owner or self.users else self.finish()

    cdef int finish(self) except -1:
        """Gives everything back to the system."""
        self.closing = False
        self.ended = True
        self.owner = 0
        if self.src.ring != NULL and not self.inherited():
            hp_source_release(&self.src)
        memset(&self.src, 0, sizeof(self.src))
        if self.ring_engine is not None:
            self.ring_engine.shut()
        if self.pcap_engine is not None:
            self.pcap_engine.shut()
        if self.watched and not self.inherited():
            hp_wake(self.wake_fd)
        else:
            self.close_fds()
        self.ring_engine = None
        self.pcap_engine = None
        self.retired.clear()
        return 0
