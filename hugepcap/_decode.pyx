# SPDX-License-Identifier: BSD-3-Clause
"""What is in packets, as columns: who speaks to whom, and which rows a filter lets through."""

import errno
from ipaddress import ip_address, ip_network

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from ._column cimport column, wide_column
from ._pcap cimport BPFProgram


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


cdef object filter_rows(BPFProgram program, const uint8_t *base, const uint64_t *offset, const uint32_t *caplen,
                        const uint32_t *len, const uint8_t *direction, uint32_t nr):
    """A column of uint8: 1 where the program accepts the packet."""
    cdef Block block = new_block(nr)
    if program.filter_here.run == NULL:
        raise ValueError("filter: this BPFProgram was never compiled")
    with nogil:
        hp_filter_rows(&program.filter_here, base, offset, caplen, len, direction, nr, <uint8_t *>block.at)
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


# ---- sets of addresses ----

cdef hp_prefixes *new_prefixes(packed, uint32_t address_bytes) except NULL:
    cdef hp_prefixes *made = NULL
    cdef size_t bad = 0
    cdef int rc
    cdef Py_buffer view
    cdef uint32_t record = address_bytes + 1
    PyObject_GetBuffer(packed, &view, PyBUF_SIMPLE)
    try:
        if view.len % record:
            raise ValueError(f"AddressSet: {view.len} bytes are no whole number of records of {record}: an address "
                             f"of {address_bytes} bytes and its prefix's length")
        with nogil:
            rc = hp_prefixes_new(&made, <const uint8_t *>view.buf, view.len // record, address_bytes, &bad)
        if rc == -errno.EINVAL:
            length = (<const uint8_t *>view.buf)[bad * record + address_bytes]
            raise ValueError(f"AddressSet: record {bad} has a prefix of {length} bits, of {address_bytes * 8}")
        if rc != 0:
            raise MemoryError(f"no memory for a set of {view.len // record} prefixes")
        return made
    finally:
        PyBuffer_Release(&view)


cdef bytes packed_prefix(prefix):
    """A record of address and length, of whatever form a prefix has."""
    if isinstance(prefix, tuple):
        address, length = prefix
        if len(address) not in (4, 16) or not 0 <= length <= 8 * len(address):
            raise ValueError(f"AddressSet: {prefix!r} is no packed address of 4 or 16 bytes and a prefix's length")
        return bytes(address) + bytes((length,))
    network = ip_network(prefix, strict=False)
    return network.network_address.packed + bytes((network.prefixlen,))


@cython.final
cdef class AddressSet:
    """IPv4 and IPv6 prefixes, millions of them: ``AddressSet(["10.0.0.0/8", "2001:db8::/32"])``.

    A prefix is a str, an ipaddress network or address, or a tuple (packed address, length in bits); bits beyond
    the length do not count. from_packed() is for millions. A set does not change, and any thread may ask it.
    Raises ValueError for what is no prefix.
    """

    def __cinit__(self, prefixes=(), /):
        # Not in __init__, which may be called again while another thread reads the set.
        records = [packed_prefix(prefix) for prefix in prefixes]
        fill_set(self, b"".join([r for r in records if len(r) == 5]), b"".join([r for r in records if len(r) == 17]))

    def __dealloc__(self):
        hp_prefixes_free(self.set4)
        hp_prefixes_free(self.set6)

    @classmethod
    def from_packed(cls, ipv4=b"", ipv6=b"") -> AddressSet:
        """A set from buffers of records: an address (4 or 16 bytes, network order), and a byte, its length."""
        made = AddressSet.__new__(AddressSet)
        fill_set(made, ipv4, ipv6)
        return made

    def __len__(self):
        """How many different prefixes were given."""
        return hp_prefixes_nr(self.set4) + hp_prefixes_nr(self.set6)

    def __repr__(self):
        return f"<hugepcap.AddressSet of {len(self)} prefixes>"

    @property
    def nbytes(self) -> int:
        """The memory the set takes, in bytes."""
        return hp_prefixes_bytes(self.set4) + hp_prefixes_bytes(self.set6)

    def __contains__(self, address):
        """Whether an address (a str, ipaddress's, or packed) is in a prefix; an IPv4-mapped one counts as IPv4."""
        cdef uint8_t found
        packed = address if isinstance(address, bytes) else ip_address(address).packed
        if len(packed) == 4:
            packed = bytes(10) + b"\xff\xff" + packed
        if len(packed) != 16:
            raise ValueError(f"AddressSet: an address has 4 or 16 bytes, not {len(packed)}")
        hp_prefixes_mask(self.set4, self.set6, <const uint8_t *><const char *>packed, 1, &found)
        return found != 0

    def mask(self, addresses, /) -> memoryview:
        """A column of uint8, 1 where an address is in the set; runs without the GIL.

        ``addresses`` are rows of 16 bytes in any contiguous buffer, such as ``flows.src``, IPv4 as
        ::ffff:a.b.c.d. Rows without IP hold ``::``, which only a set with that address has.
        """
        cdef Py_buffer view
        cdef Block block
        cdef size_t nr
        PyObject_GetBuffer(addresses, &view, PyBUF_SIMPLE)
        try:
            if view.len % 16:
                raise ValueError(f"mask: {view.len} bytes are no whole number of addresses of 16 bytes")
            nr = view.len // 16
            block = new_block(nr)
            with nogil:
                hp_prefixes_mask(self.set4, self.set6, <const uint8_t *>view.buf, nr, <uint8_t *>block.at)
        finally:
            PyBuffer_Release(&view)
        return column(block.at, nr, 1, b"B", block)


cdef int fill_set(AddressSet made, ipv4, ipv6) except -1:
    cdef hp_prefixes *set4 = new_prefixes(ipv4, 4)
    cdef hp_prefixes *set6 = NULL
    try:
        set6 = new_prefixes(ipv6, 16)
    except BaseException:
        hp_prefixes_free(set4)
        raise
    hp_prefixes_free(made.set4)
    hp_prefixes_free(made.set6)
    made.set4 = set4
    made.set6 = set6
    return 0
