# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ._hp cimport hp_err
from ._pcap cimport BPFProgram, PcapHandle, hp_filter, hp_frame


cdef extern from "hp_file.h" nogil:
    struct hp_file:
        const uint8_t *map
        size_t map_bytes
        uint64_t size
        uint64_t at
        uint64_t packets
        const hp_filter *filter
        hp_err err

    int hp_file_open(hp_file *, int, int, uint32_t)
    void hp_file_close(hp_file *)
    int hp_file_next(hp_file *, hp_frame *)


cdef class MapFile(PcapHandle):
    """A savefile that libpcap has opened and that is read from a mapping; packets stay where they are."""
    cdef hp_file file
    cdef BPFProgram program     # what file.filter is of; the reader keeps those before it


cdef int pull_mapped(void *ctx, hp_frame *frame) noexcept nogil
cdef MapFile map_savefile(PcapHandle opened)
