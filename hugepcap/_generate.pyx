# SPDX-License-Identifier: BSD-3-Clause
"""Traffic of known content, numbered packet by packet, for demos, tests and measurements."""

import os
from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

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

    struct hp_sender:
        hp_gen_spec spec
        uint64_t next
        uint64_t left
        uint64_t rate_pps
        uint64_t sent
        uint64_t bytes
        int64_t start_ns
        int fd

    uint32_t hp_gen_least(const hp_gen_spec *)
    uint32_t hp_gen_build(const hp_gen_spec *, uint64_t, uint8_t *)
    int64_t hp_gen_sequence(const uint8_t *, uint64_t)
    int hp_sender_open(hp_sender *, const char *, int, hp_err *)
    int hp_sender_prepare(hp_sender *, hp_err *)
    int hp_sender_run(hp_sender *, uint32_t, hp_err *)
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


cdef object drive(hp_sender *sender):
    """Sends all of it, without the GIL but for a look at the signals."""
    cdef hp_err err
    cdef int rc = 0
    cdef double start = hp_monotonic()
    check(hp_sender_prepare(sender, &err), &err)
    while rc == 0:
        with nogil:
            rc = hp_sender_run(sender, SLICE_MS, &err)
        check(rc, &err)
        PyErr_CheckSignals()
    return Sent(sender.sent, sender.bytes, hp_monotonic() - start)


def generate(str interface not None, count, *, sizes=(60, 60), uint64_t seed=0, first_seq=0, uint64_t rate_pps=0,
             uint64_t flows=1, vlan=None, bint ipv6=False, bint qdisc_bypass=True) -> Sent:
    """Sends ``count`` numbered UDP packets on a device and returns when the last is handed to it.

    ``sizes``: smallest and largest in bytes, link-layer header included, FCS not; each size between is as
    likely. ``seed``: the same seed gives the same packets, byte for byte. ``first_seq``: the first number.
    ``rate_pps``: packets per second, 0 for as many as go. ``flows``: so many different addresses and ports,
    in turn. ``vlan``: an 802.1Q tag in the packet. ``qdisc_bypass=False`` lets the queueing discipline and
    captures of outgoing packets see them. A full queue is waited for, so none is left out.
    Devices that carry bare IP (tun) get packets without Ethernet header. Takes root or CAP_NET_RAW; Ctrl-C
    ends it. Raises PcapError. Source: packet(7), sendmmsg(2).
    """
    cdef hp_sender sender
    cdef hp_err err
    cdef bytes name = os.fsencode(interface)
    check_sequence(first_seq, count)
    memset(&sender, 0, sizeof(sender))
    sender.fd = -1
    try:
        check(hp_sender_open(&sender, name, qdisc_bypass, &err), &err)
        fill_spec(&sender.spec, sizes, seed, flows, vlan, ipv6)
        sender.next = first_seq
        sender.left = count
        sender.rate_pps = rate_pps
        return drive(&sender)
    finally:
        hp_sender_close(&sender)
