# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from ._pcap cimport BPFProgram, hp_filter


cdef extern from "hp_decode.h" nogil:
    struct hp_decoded:
        uint8_t *src
        uint8_t *dst
        uint32_t *payload_offset
        uint32_t *payload_len
        uint16_t *sport
        uint16_t *dport
        uint8_t *ip_version
        uint8_t *proto
        uint8_t *tcp_flags
        uint8_t *fragment

    struct hp_link_header:
        pass

    size_t hp_decoded_bytes(uint32_t)
    void hp_decoded_lay(hp_decoded *, void *, uint32_t)
    int hp_link_header_of(int, hp_link_header *)
    void hp_decode(const uint8_t *, const uint64_t *, const uint32_t *, uint32_t, hp_link_header, hp_decoded *)
    void hp_filter_rows(const hp_filter *, const uint8_t *, const uint64_t *, const uint32_t *, const uint32_t *,
                        const uint8_t *, uint32_t, uint8_t *)


cdef extern from "hp_prefix.h" nogil:
    struct hp_prefixes:
        pass

    int hp_prefixes_new(hp_prefixes **, const uint8_t *, size_t, uint32_t, size_t *)
    void hp_prefixes_free(hp_prefixes *)
    size_t hp_prefixes_nr(const hp_prefixes *)
    size_t hp_prefixes_bytes(const hp_prefixes *)
    void hp_prefixes_mask(const hp_prefixes *, const hp_prefixes *, const uint8_t *, size_t, uint8_t *)


cdef class Block:
    """Memory of columns."""
    cdef void *at


cdef class Flows:
    cdef hp_decoded out
    cdef uint32_t nr
    cdef Block memory


cdef class AddressSet:
    cdef hp_prefixes *set4
    cdef hp_prefixes *set6


cdef Flows decode_rows(const uint8_t *base, const uint64_t *offset, const uint32_t *caplen, uint32_t nr,
                       int linktype)
cdef object filter_rows(BPFProgram program, const uint8_t *base, const uint64_t *offset, const uint32_t *caplen,
                        const uint32_t *len, const uint8_t *direction, uint32_t nr)
