# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ._batch cimport Memory
from ._hp cimport hp_columns, hp_err
from ._pcap cimport BPFProgram, PcapHandle, hp_filter, hp_frame


cdef extern from "hp_file.h" nogil:
    struct hp_chunk:
        uint8_t *bytes

    void hp_chunk_ref(hp_chunk *)
    void hp_chunk_unref(hp_chunk *)

    struct hp_file:
        hp_chunk *chunk
        uint64_t size
        uint64_t at
        uint64_t packets
        const hp_filter *filter
        hp_err err

    int hp_file_open(hp_file *, int, int, uint32_t, int)
    void hp_file_close(hp_file *)
    int hp_file_next(hp_file *, hp_frame *)
    int hp_file_columns(hp_file *, hp_columns *)


cdef class Chunk(Memory):
    """Bytes of a file, which a batch's packets lie in."""
    cdef hp_chunk *chunk


cdef class RegularFile(PcapHandle):
    """A savefile that libpcap has opened, read in chunks."""
    cdef hp_file file
    cdef BPFProgram program     # what file.filter is of; the reader keeps those before it


cdef int pull_regular(void *ctx, hp_frame *frame) noexcept nogil
cdef RegularFile read_savefile(PcapHandle opened, bint mapped)
cdef int fill_columns(hp_file *file, hp_columns *columns) noexcept nogil
cdef Chunk new_chunk(hp_chunk *chunk)
