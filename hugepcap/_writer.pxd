# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from ._hp cimport hp_columns, hp_err
from ._packet cimport Pkthdr


cdef extern from "hp_save.h" nogil:
    enum:
        HP_SAVE_SNAPLEN_MAX
        HP_PCAP_HEAD_BYTES

    struct hp_saved:
        const uint8_t *data
        int64_t ts_ns
        uint32_t caplen
        uint32_t len
        uint8_t direction
        int stays

    struct hp_save:
        int fd
        int pcapng
        int nanoseconds
        int regular
        int broken
        uint32_t snaplen
        uint64_t packets
        uint64_t bytes
        uint64_t most
        hp_err err

    int hp_save_find_end(const hp_save *, uint64_t, uint64_t *)
    int hp_save_open(hp_save *)
    void hp_save_close(hp_save *)
    int hp_save_put(hp_save *, const hp_saved *)
    int hp_save_columns(hp_save *, const hp_columns *, uint32_t *)
    int hp_save_drain(hp_save *)
    int hp_save_abandon(hp_save *)


cdef class Writer:
    """A capture file being written."""
    cdef hp_save save
    cdef readonly str name
    cdef readonly int linktype
    cdef bint busy
    cdef int begin(self, path, bint append) except -1
    cdef bytes pcap_header(self)
    cdef bytes section(self)
    cdef int check_kind(self, found, header) except -1
    cdef int check_interface(self, path) except -1
    cdef int check_end(self, uint64_t size) except -1
    cdef int write_head(self, header, uint64_t size) except -1
    cdef int enter(self) except -1
    cdef int settle(self, int rc) except -1
    cdef int drain(self) except -1
    cdef int64_t write_columns(self, hp_columns *columns, uint64_t most) except -1
    cdef int put(self, Pkthdr hdr, const Py_buffer *view) except -1
