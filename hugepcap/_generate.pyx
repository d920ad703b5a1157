# SPDX-License-Identifier: BSD-3-Clause
"""Traffic of known content, numbered packet by packet, for demos, tests and measurements."""

import os
from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from .errors import from_errno


cdef extern from "hp_err.h" nogil:
    struct hp_err:
        int code
        const char *op
        char *detail


cdef extern from "hp_gen.h" nogil:
    enum:
        HP_GEN_BYTES_MAX
    uint64_t HP_GEN_SEQUENCE_MAX

    struct hp_gen_spec:
        uint64_t seed
        uint32_t bytes_min
        uint32_t bytes_max
        uint32_t flows
        int vlan
        int ipv6
        int ethernet

    uint32_t hp_gen_least(const hp_gen_spec *)
    uint32_t hp_gen_build(const hp_gen_spec *, uint64_t, uint8_t *)
    int64_t hp_gen_sequence(const uint8_t *, uint64_t)


cdef extern from "hp_send.h" nogil:
    struct hp_item:
        uint64_t ts_ns
        uint64_t offset
        uint32_t bytes

    struct hp_sender:
        hp_gen_spec spec
        uint64_t next
        uint64_t left
        const uint8_t *data
        const hp_item *items
        uint64_t rate_pps
        uint64_t rate_bps
        double speed
        uint64_t sent
        uint64_t bytes
        uint64_t refused
        int fd
        uint32_t longest
        uint32_t slot_bytes

    int hp_sender_open(hp_sender *, const char *, int, hp_err *)
    int hp_sender_prepare(hp_sender *, uint32_t, int, hp_err *)
    int hp_sender_run(hp_sender *, uint32_t, hp_err *)
    int hp_sender_settle(hp_sender *, uint32_t)
    void hp_sender_restart(hp_sender *)
    void hp_sender_close(hp_sender *)


cdef extern from *:
    """
    #include <time.h>
    static double hp_monotonic(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }
    """
    double hp_monotonic()

cdef struct batch_record:    # of Reader.next_batch()
    uint32_t sec
    uint32_t usec
    uint32_t offset
    uint32_t caplen

# Signals are looked at this often while packets go out.
cdef uint32_t SLICE_MS = 50


class Sent(NamedTuple):
    """What generate() sent: packets, their bytes (link-layer header included, FCS not), and how long it took."""

    packets: int
    bytes: int
    seconds: float


cdef int check(int rc, hp_err *err) except -1:
    if rc < 0:
        raise from_errno(err.code, (<bytes>err.op).decode(), (<bytes>err.detail).decode("utf-8", "replace"))
    return rc


cdef int fill_spec(hp_gen_spec *spec, sizes, uint64_t seed, uint64_t flows, vlan, bint ipv6) except -1:
    """Everything but spec.ethernet, which must be set; refuses what no packet can be."""
    smallest, largest = sizes
    spec.seed = seed
    spec.vlan = -1 if vlan is None else vlan
    spec.ipv6 = ipv6
    if not -1 <= spec.vlan <= 0xffff:
        raise ValueError(f"vlan {vlan} is no 16-bit tag")
    if not 1 <= flows <= 0xffffffff:
        raise ValueError(f"flows {flows}: there must be from 1 to {0xffffffff}")
    least = hp_gen_least(spec)
    if not least <= smallest <= largest <= HP_GEN_BYTES_MAX:
        raise ValueError(f"sizes {smallest} to {largest}: such packets have from {least} to {HP_GEN_BYTES_MAX} bytes")
    spec.bytes_min = smallest
    spec.bytes_max = largest
    spec.flows = flows
    return 0


cdef int check_sequence(object first, object count) except -1:
    if first < 0 or count < 0 or first + count > HP_GEN_SEQUENCE_MAX:
        raise ValueError(f"{count} packets numbered from {first}: numbers go from 0 to {HP_GEN_SEQUENCE_MAX}")
    return 0


def build_packet(sequence, *, sizes=(60, 60), uint64_t seed=0, uint64_t flows=1, vlan=None, bint ipv6=False,
                 bint ethernet=True) -> bytes:
    """The packet that generate() sends as number ``sequence``, for the same settings."""
    cdef hp_gen_spec spec
    cdef bytes packet
    check_sequence(sequence, 1)
    spec.ethernet = ethernet
    fill_spec(&spec, sizes, seed, flows, vlan, ipv6)
    packet = PyBytes_FromStringAndSize(NULL, spec.bytes_max)
    nr = hp_gen_build(&spec, sequence, <uint8_t *>PyBytes_AS_STRING(packet))
    return packet[:nr]


def sequence_of(packet) -> int:
    """The sequence number in a packet (any buffer) that generate() sent, whatever link-layer header it has now.

    Raises ValueError for any other packet.
    """
    cdef Py_buffer view
    cdef int64_t sequence
    PyObject_GetBuffer(packet, &view, PyBUF_SIMPLE)
    sequence = hp_gen_sequence(<const uint8_t *>view.buf, view.len)
    PyBuffer_Release(&view)
    if sequence < 0:
        raise ValueError("the packet has no sequence number of generate()")
    return sequence


# What a VLAN tag adds to the longest packet of a device.
cdef enum:
    TAG_BYTES = 4


cdef class Sender:
    """Sends packets on a device, and counts what the kernel took.

    ``rate_pps`` packets or ``rate_bps`` bits a second (link-layer header included, FCS not), ``speed`` times the
    pace of given packets' time stamps; all 0: as fast as it goes. ``ring``: over a PACKET_TX_RING, which saves
    a copy and most system calls, instead of sendmmsg(2). ``progress`` is called with (packets, bytes) some 20
    times a second. ``qdisc_bypass=False`` lets the queueing discipline and captures of outgoing packets see them.
    A full queue is waited for, so none is left out. To be used with ``with``, by one thread.
    Takes root or CAP_NET_RAW; Ctrl-C ends it. Raises PcapError. Source: packet(7), sendmmsg(2).
    """

    cdef hp_sender sender
    cdef double started
    cdef bint ring
    cdef object progress

    def __cinit__(self):
        self.sender.fd = -1

    def __init__(self, interface, *, bint ring=False, uint64_t rate_pps=0, uint64_t rate_bps=0, double speed=0,
                 bint qdisc_bypass=True, progress=None):
        cdef hp_err err
        cdef bytes name = os.fsencode(interface)
        check(hp_sender_open(&self.sender, name, qdisc_bypass, &err), &err)
        self.sender.rate_pps = rate_pps
        self.sender.rate_bps = rate_bps
        self.sender.speed = speed
        self.ring = ring
        self.progress = progress
        self.started = hp_monotonic()

    def __dealloc__(self):
        hp_sender_close(&self.sender)

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, exc_type, exc, tb):
        hp_sender_close(&self.sender)

    cdef int check_open(self) except -1:
        if self.sender.fd < 0:
            raise ValueError("this Sender is closed: its packets went within `with`")
        return 0

    @property
    def refused(self) -> int:
        """How many given packets the device could not carry: longer than its MTU, or shorter than its header."""
        return self.sender.refused

    def sent(self) -> Sent:
        """What the kernel has taken so far."""
        return Sent(self.sender.sent, self.sender.bytes, hp_monotonic() - self.started)

    def generate(self, count, *, sizes=(60, 60), uint64_t seed=0, first_seq=0, uint64_t flows=1, vlan=None,
                 bint ipv6=False) -> Sent:
        """Sends ``count`` numbered UDP packets; the arguments are those of generate(). Once for each Sender."""
        check_sequence(first_seq, count)
        fill_spec(&self.sender.spec, sizes, seed, flows, vlan, ipv6)
        self.sender.next = first_seq
        self.sender.left = count
        self.prepare(self.sender.spec.bytes_max)
        return self.finish()

    def prepare_replay(self) -> None:
        """To be called before the first replay()."""
        self.prepare(self.sender.longest + TAG_BYTES)

    def replay(self, packets, records) -> None:
        """Sends the packets that ``Reader.next_batch()`` gave. Returns when the kernel has taken all of them.

        Raises ValueError, having sent none, where a record points beyond the packets.
        """
        cdef Py_buffer data, index
        self.check_open()
        if not self.sender.slot_bytes:
            raise ValueError("replay: prepare_replay() has to be called first")
        PyObject_GetBuffer(packets, &data, PyBUF_SIMPLE)
        try:
            PyObject_GetBuffer(records, &index, PyBUF_SIMPLE)
            try:
                self.send_items(&data, &index)
            finally:
                PyBuffer_Release(&index)
        finally:
            PyBuffer_Release(&data)

    def restart(self) -> None:
        """The next packet is the first of a pace of its own: its time stamp counts as now."""
        hp_sender_restart(&self.sender)

    def finish(self) -> Sent:
        """Waits until the device is done with every packet."""
        cdef int rc = 0
        self.check_open()
        self.run()
        while rc == 0:
            with nogil:
                rc = hp_sender_settle(&self.sender, SLICE_MS)
            PyErr_CheckSignals()
        return self.sent()

    cdef int prepare(self, uint32_t slot_bytes) except -1:
        cdef hp_err err
        self.check_open()
        if self.sender.slot_bytes:
            raise ValueError("this Sender is prepared already: make another for other packets")
        check(hp_sender_prepare(&self.sender, slot_bytes, self.ring, &err), &err)
        self.started = hp_monotonic()
        return 0

    cdef int check_records(self, const Py_buffer *data, const Py_buffer *index) except -1:
        cdef const batch_record *records = <const batch_record *>index.buf
        cdef Py_ssize_t i
        if index.len % sizeof(batch_record):
            raise ValueError(f"replay: records have {sizeof(batch_record)} bytes each, these are {index.len}")
        for i in range(index.len // <Py_ssize_t>sizeof(batch_record)):
            if <uint64_t>records[i].offset + records[i].caplen > <uint64_t>data.len:
                raise ValueError(f"replay: record {i} has {records[i].caplen} bytes at {records[i].offset}, "
                                 f"the packets are {data.len} bytes")
        return 0

    cdef int send_items(self, const Py_buffer *data, const Py_buffer *index) except -1:
        cdef const batch_record *records = <const batch_record *>index.buf
        cdef Py_ssize_t nr = index.len // sizeof(batch_record)
        cdef hp_item *items
        cdef Py_ssize_t i
        self.check_records(data, index)
        items = <hp_item *>malloc(max(nr, 1) * sizeof(hp_item))
        if items == NULL:
            raise MemoryError
        for i in range(nr):
            items[i].ts_ns = <uint64_t>records[i].sec * 1000000000 + <uint64_t>records[i].usec * 1000
            items[i].offset = records[i].offset
            items[i].bytes = records[i].caplen
        self.sender.data = <const uint8_t *>data.buf
        self.sender.items = items
        self.sender.left = nr
        try:
            self.run()
        finally:
            self.sender.left = 0
            free(items)
        return 0

    cdef int run(self) except -1:
        """Sends what is left, without the GIL but for a look at the signals."""
        cdef hp_err err
        cdef int rc = 0
        while rc == 0:
            with nogil:
                rc = hp_sender_run(&self.sender, SLICE_MS, &err)
            check(rc, &err)
            PyErr_CheckSignals()
            if self.progress is not None:
                self.progress(self.sender.sent, self.sender.bytes)
        return 0


def generate(interface, count, *, sizes=(60, 60), uint64_t seed=0, first_seq=0, uint64_t rate_pps=0,
             uint64_t flows=1, vlan=None, bint ipv6=False, bint qdisc_bypass=True, bint ring=False) -> Sent:
    """Sends ``count`` numbered UDP packets on a device and returns when the last is handed to it.

    ``sizes``: smallest and largest in bytes, link-layer header included, FCS not; each size between is as
    likely. ``seed``: the same seed gives the same packets, byte for byte. ``first_seq``: the first number.
    ``rate_pps``: packets per second, 0 for as many as go. ``flows``: so many different addresses and ports,
    in turn. ``vlan``: an 802.1Q tag in the packet. The rest as in Sender.
    Devices that carry bare IP (tun) get packets without Ethernet header. Raises PcapError.
    """
    with Sender(interface, ring=ring, rate_pps=rate_pps, qdisc_bypass=qdisc_bypass) as sender:
        return sender.generate(count, sizes=sizes, seed=seed, first_seq=first_seq, flows=flows, vlan=vlan, ipv6=ipv6)
