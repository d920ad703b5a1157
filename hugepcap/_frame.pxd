# SPDX-License-Identifier: BSD-3-Clause
"""A C frame as Python objects; inline, for every module that hands packets out."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t

from ._packet cimport Pkthdr
from ._pcap cimport hp_frame


cdef extern from "hp_block.h" nogil:
    void hp_copy(uint8_t *, const uint8_t *, uint32_t)


cdef inline Pkthdr header_of(const hp_frame *frame):
    cdef Pkthdr hdr = Pkthdr.__new__(Pkthdr)
    hdr.sec = frame.sec
    hdr.nsec = frame.nsec
    hdr.caplen = frame.caplen
    hdr.length = frame.len
    return hdr


cdef inline bytes data_of(const hp_frame *frame):
    cdef bytes data = PyBytes_FromStringAndSize(NULL, frame.caplen)
    hp_copy(<uint8_t *>PyBytes_AS_STRING(data), frame.data, frame.caplen)
    return data
