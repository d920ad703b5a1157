# SPDX-License-Identifier: BSD-3-Clause
"""What is in packets, as columns: who speaks to whom, and which rows a filter lets through."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from ._column cimport column, wide_column
from ._pcap cimport BPFProgram, hp_filter

cdef extern from *:
    """
    #include "hp_source.h"
    static inline int hp_accepts(const struct hp_filter *filter, int direction, const uint8_t *data, uint32_t len,
                                 uint32_t caplen)
    {
        return filter->run(filter->insns[direction == HP_DIR_OUT], data, len, caplen) != 0;
    }
    """
    int hp_accepts(const hp_filter *, int, const uint8_t *, uint32_t, uint32_t) nogil


@cython.final
cdef class Block:
    def __init__(self):
        raise TypeError("memory of columns comes with them")

    def __dealloc__(self):
        free(self.at)


cdef Block new_block(size_t size):
    cdef Block block = Block.__new__(Block)
    block.at = malloc(max(size, 1))
    if block.at == NULL:
        raise MemoryError(f"no memory for {size} bytes of columns")
    return block


@cython.final
cdef class Flows:
    """The headers of many packets as columns, row i being packet i; made by Batch.flows() and decode().

    Columns are read-only memoryviews of ``len(flows)`` rows, which NumPy takes without a copy; they own their
    memory and stay valid whatever becomes of batch and ring. A packet without a whole IP header is a row of
    zeros. VLAN tags, IPv4 options and IPv6 extension headers are stepped over; a tunnel's inside is payload.
    """

    def __init__(self):
        raise TypeError("Flows come from Batch.flows() or decode()")

    def __len__(self):
        return self.nr

    def __repr__(self):
        return f"<hugepcap.Flows of {self.nr} packets>"

    @property
    def ip_version(self):
        """4, 6, or 0 where there is no IP: uint8 ("B")."""
        return column(self.out.ip_version, self.nr, 1, b"B", self.memory)

    @property
    def src(self):
        """Source addresses, shape (rows, 16), uint8; IPv4 as ::ffff:a.b.c.d, so in the last four bytes."""
        return wide_column(self.out.src, self.nr, 16, self.memory)

    @property
    def dst(self):
        """Destination addresses, as ``src``."""
        return wide_column(self.out.dst, self.nr, 16, self.memory)

    @property
    def proto(self):
        """The transport's IPPROTO_*, behind IPv6's extension headers: uint8 ("B")."""
        return column(self.out.proto, self.nr, 1, b"B", self.memory)

    @property
    def sport(self):
        """Source ports of TCP, UDP, UDP-Lite and SCTP: uint16 ("H"), in host order; 0: none."""
        return column(self.out.sport, self.nr, 2, b"H", self.memory)

    @property
    def dport(self):
        """Destination ports, as ``sport``."""
        return column(self.out.dport, self.nr, 2, b"H", self.memory)

    @property
    def tcp_flags(self):
        """TCP's flags, FIN (1) to CWR (0x80): uint8 ("B"); 0 where it is not TCP."""
        return column(self.out.tcp_flags, self.nr, 1, b"B", self.memory)

    @property
    def payload_offset(self):
        """Where the payload begins, bytes from the packet's start: uint32 ("I").

        It is behind the header of TCP, UDP, UDP-Lite or SCTP, and otherwise behind IP's headers.
        """
        return column(self.out.payload_offset, self.nr, 4, b"I", self.memory)

    @property
    def payload_len(self):
        """Bytes of payload that were captured, Ethernet's padding left out: uint32 ("I")."""
        return column(self.out.payload_len, self.nr, 4, b"I", self.memory)

    @property
    def fragment(self):
        """0: whole, 1: a first fragment, 2: a later one, which has no ports: uint8 ("B")."""
        return column(self.out.fragment, self.nr, 1, b"B", self.memory)


cdef Flows decode_rows(const uint8_t *base, const uint64_t *offset, const uint32_t *caplen, uint32_t nr,
                       int linktype):
    """The Flows of ``nr`` packets; ValueError for a link type that has no decoder."""
    cdef Flows flows = Flows.__new__(Flows)
    cdef hp_link_header link
    if hp_link_header_of(linktype, &link) != 0:
        raise ValueError(f"decode: link type {linktype} is none of EN10MB (1), RAW (12, 101), NULL (0), LOOP (108), "
                         "LINUX_SLL (113), LINUX_SLL2 (276), IPV4 (228), IPV6 (229)")
    flows.memory = new_block(hp_decoded_bytes(nr))
    flows.nr = nr
    hp_decoded_lay(&flows.out, flows.memory.at, nr)
    with nogil:
        hp_decode(base, offset, caplen, nr, link, &flows.out)
    return flows


cdef void run_filter(const hp_filter *filter, const uint8_t *base, const uint64_t *offset, const uint32_t *caplen,
                     const uint32_t *length, const uint8_t *direction, uint32_t nr, uint8_t *mask) noexcept nogil:
    cdef uint32_t i
    for i in range(nr):
        mask[i] = hp_accepts(filter, direction[i], base + offset[i], length[i], caplen[i])


cdef object filter_rows(BPFProgram program, const uint8_t *base, const uint64_t *offset, const uint32_t *caplen,
                        const uint32_t *len, const uint8_t *direction, uint32_t nr):
    """A column of uint8: 1 where the program accepts the packet."""
    cdef Block block = new_block(nr)
    if program.filter_here.run == NULL:
        raise ValueError("filter: this BPFProgram was never compiled")
    with nogil:
        run_filter(&program.filter_here, base, offset, caplen, len, direction, nr, <uint8_t *>block.at)
    return column(block.at, nr, 1, b"B", block)


cdef int check_rows(const uint64_t *offset, const uint32_t *caplen, Py_ssize_t nr, uint64_t size) except -1:
    cdef Py_ssize_t i
    for i in range(nr):
        if offset[i] > size or caplen[i] > size - offset[i]:
            raise ValueError(f"decode: packet {i} is {caplen[i]} bytes at {offset[i]}, of {size} bytes")
    return 0


def decode(packets, offsets, caplens, linktype=1, /) -> Flows:
    """The Flows of packets in any buffer: ``caplens[i]`` bytes at ``offsets[i]``, of a link type (DLT_*).

    ``offsets`` are uint64, ``caplens`` uint32, as a Batch's columns are; nothing of them is kept. Raises
    ValueError where a packet reaches beyond the buffer, or the link type has no decoder.
    """
    cdef const uint64_t[::1] at = offsets
    cdef const uint32_t[::1] size = caplens
    cdef const uint64_t *first_at = &at[0] if at.shape[0] else NULL
    cdef const uint32_t *first_size = &size[0] if size.shape[0] else NULL
    cdef Py_buffer view
    if at.shape[0] != size.shape[0]:
        raise ValueError(f"decode: {at.shape[0]} offsets for {size.shape[0]} lengths")
    PyObject_GetBuffer(packets, &view, PyBUF_SIMPLE)
    try:
        check_rows(first_at, first_size, at.shape[0], view.len)
        return decode_rows(<const uint8_t *>view.buf, first_at, first_size, <uint32_t>at.shape[0], linktype)
    finally:
        PyBuffer_Release(&view)
