# SPDX-License-Identifier: BSD-3-Clause
"""Writer: pcap and pcapng files from batches and packets, through writev(2)."""

import errno
import operator
import os
import stat
import struct
import warnings

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR
from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from ._batch cimport Batch
from ._hp cimport hp_columns
from ._packet cimport TS_SECONDS, Pkthdr

from ._pcap import open_savefile
from .errors import PcapCorruptError, PcapError, from_errno

# Where DLT_* on Linux and LINKTYPE_* in files differ. Source: pcap-linktype(7).
LINKTYPES = {11: 100, 12: 101, 15: 102, 16: 103, 19: 106}

MICRO_MAGIC = 0xA1B2C3D4
NANO_MAGIC = 0xA1B23C4D
SECTION_MAGIC = 0x0A0D0D0A
ORDER_MAGIC = 0x1A2B3C4D


@cython.final
cdef class Writer:
    """A pcap or pcapng file being written: ``with Writer(path, reader.datalink()) as writer: writer.write(batch)``.

    ``path``: str, bytes or path-like; "-": standard output. ``linktype``: DLT_*. ``snaplen``: bytes, 1 to 262144,
    to which packets are cut. ``nanoseconds``: else time stamps are cut to microseconds. ``format``: "pcap", or
    "pcapng", which has the packets' directions as well. ``append``: goes on in a file of the same kind (pcapng: with
    a new section) whose last record is whole. Files are in the byte order of this machine. One thread writes at a time.
    Raises PcapError when the file cannot be had. Source: pcap-savefile(5), draft-ietf-opsawg-pcapng.
    """

    def __cinit__(self, *args, **kwargs):
        memset(&self.save, 0, sizeof(self.save))
        self.save.fd = -1

    def __init__(self, path, linktype, *, snaplen=262144, bint nanoseconds=True, format="pcap", bint append=False):
        if self.save.fd >= 0:
            raise PcapError(f"{self!r} is open already")
        if format not in ("pcap", "pcapng"):
            raise ValueError(f"format {format!r} is neither pcap nor pcapng")
        if not 0 < snaplen <= HP_SAVE_SNAPLEN_MAX:
            raise ValueError(f"snaplen {snaplen}: bytes, 1 to {HP_SAVE_SNAPLEN_MAX}")
        self.linktype = operator.index(linktype)
        if not 0 <= self.linktype <= 0xffff:
            raise ValueError(f"linktype {linktype} is no DLT_*: these are 0 to 65535")
        self.name = os.fsdecode(path)
        self.save.snaplen = snaplen
        self.save.nanoseconds = nanoseconds
        self.save.pcapng = format == "pcapng"
        if hp_save_open(&self.save) < 0:
            hp_save_close(&self.save)
            raise MemoryError("no memory for a Writer")
        self.save.fd = open_for_writing(path, self.name, append)
        try:
            self.begin(path, append)
        except BaseException:
            os.close(self.save.fd)
            self.save.fd = -1
            raise

    def __dealloc__(self):
        hp_save_close(&self.save)

    def __del__(self):
        if self.save.fd >= 0:
            warnings.warn(f"unclosed {self!r}: call close() or use it with `with`", ResourceWarning, source=self)
            self.close()

    def __repr__(self):
        state = "closed" if self.save.fd < 0 else f"{self.save.packets} packets"
        return f"<hugepcap.Writer {self.name!r}, {state}>"

    cdef int begin(self, path, bint append) except -1:
        """Writes the file's header, or goes to the end of a file that has it."""
        kind = os.fstat(self.save.fd).st_mode
        self.save.regular = stat.S_ISREG(kind)
        size = os.lseek(self.save.fd, 0, os.SEEK_END) if append and self.save.regular else 0
        header = self.section() if self.save.pcapng else self.pcap_header()
        self.save.bytes = size
        if size:
            self.check_kind(os.pread(self.save.fd, HP_PCAP_HEAD_BYTES, 0), header)
            self.check_end(size)
            if self.save.pcapng:
                self.check_interface(path)
        if not size or self.save.pcapng:
            self.write_head(header, size)
        return 0

    cdef int write_head(self, header, uint64_t size) except -1:
        try:
            write_all(self.save.fd, header, self.name)
        except BaseException:
            if self.save.regular:
                os.ftruncate(self.save.fd, size)    # a part of it would spoil the file
            raise
        self.save.bytes += len(header)
        return 0

    cdef bytes pcap_header(self):
        return struct.pack("=IHHiIII", NANO_MAGIC if self.save.nanoseconds else MICRO_MAGIC, 2, 4, 0, 0,
                           self.save.snaplen, linktype_of(self.linktype))

    cdef bytes section(self):
        """A section header of unknown length, and the description of its one interface."""
        resolution = struct.pack("=HHB3xHH", 9, 1, 9 if self.save.nanoseconds else 6, 0, 0)
        return pcapng_block(SECTION_MAGIC, struct.pack("=IHHq", ORDER_MAGIC, 1, 0, -1)) + \
            pcapng_block(1, struct.pack("=HHI", linktype_of(self.linktype), 0, self.save.snaplen)
                         + resolution)

    cdef int check_kind(self, found, header) except -1:
        """Raises where what is in the file is not what would be written."""
        if self.save.pcapng:
            same = found[:4] == header[:4] and found[8:12] == header[8:12]
            kind = "a pcapng file of this machine's byte order"
        else:
            same = found == header
            kind = f"a pcap file of this machine's byte order, version 2.4, link type {self.linktype}, snaplen " \
                   f"{self.save.snaplen}, {'nano' if self.save.nanoseconds else 'micro'}seconds"
        if not same:
            raise PcapError(f"append {self.name}: it is not {kind}", operation="append", detail=self.name)
        return 0

    cdef int check_interface(self, path) except -1:
        """Raises where the file's interfaces are others: libpcap, and so open_offline(), reads only one kind."""
        there = open_savefile(path)
        linktype, snaplen = there.datalink(), there.snapshot()
        if (linktype_of(linktype), snaplen) != (linktype_of(self.linktype), self.save.snaplen):
            raise PcapError(f"append {self.name}: its packets are of link type {linktype} and cut at {snaplen} bytes, "
                            f"these of {self.linktype} and {self.save.snaplen}: no program of libpcap reads a file of both",
                            operation="append", detail=self.name)
        return 0

    cdef int check_end(self, uint64_t size) except -1:
        """Raises where the file's last record is not whole: what came behind would be read as its rest."""
        cdef uint64_t end = 0 if self.save.pcapng else HP_PCAP_HEAD_BYTES
        cdef int rc = 1
        while rc > 0:
            PyErr_CheckSignals()
            with nogil:
                rc = hp_save_find_end(&self.save, size, &end)
        if rc < 0:
            raise from_errno(-rc, "append", self.name)
        if end < size:
            raise PcapCorruptError(
                f"append {self.name}: from byte {end} of {size} on it has no whole record, and what is written behind "
                f"would be lost: cut it off there first (truncate -s {end}), or write another file",
                errno=errno.EBADMSG, operation="append", detail=self.name)
        return 0

    # ---- writing ----

    cdef int enter(self) except -1:
        if self.save.fd < 0:
            raise ValueError(f"Writer of {self.name} is closed")
        if self.busy:
            raise PcapError(f"write {self.name}: another thread is writing")
        if self.save.broken:
            raise PcapError(f"write {self.name}: an earlier write failed in the middle of a packet, and this output "
                            "cannot be cut back", operation="write", detail=self.name)
        self.busy = True
        return 0

    cdef int settle(self, int rc) except -1:
        """After -errno: 0 to try again; else raises, the file cut back to its last whole packet."""
        if rc == -errno.EOVERFLOW:
            raise PcapError(f"write {self.name}: {self.save.err.detail.decode()}", errno=-rc, operation="write",
                            detail=self.name)
        try:
            if rc == -EINTR:
                PyErr_CheckSignals()
                return 0
            raise from_errno(-rc, "write", self.name)
        except BaseException:
            hp_save_abandon(&self.save)
            raise

    cdef int drain(self) except -1:
        cdef int rc = -EINTR
        while rc < 0:
            with nogil:
                rc = hp_save_drain(&self.save)
            if rc < 0:
                self.settle(rc)
        return 0

    cdef int64_t write_columns(self, hp_columns *columns, uint64_t most) except -1:
        """Writes rows whose memory the caller keeps; all of it is the kernel's when this returns. How many."""
        cdef uint32_t row = 0
        cdef int rc = -EINTR
        self.enter()
        self.save.most = most
        try:
            while rc < 0:
                with nogil:
                    rc = hp_save_columns(&self.save, columns, &row)
                if rc == -errno.EOVERFLOW:
                    self.drain()    # what came before is good, and must not pend: its memory is the caller's
                if rc < 0:
                    self.settle(rc)
        finally:
            self.busy = False
        return row

    def write(self, Batch batch not None, /, *, max_bytes=None) -> int:
        """Writes a batch's packets, large ones straight from their memory, without the GIL. Returns how many.

        ``max_bytes``: stops before the packet that would make the file larger, ``batch[count:]`` is left for the
        next; None: all are written. They are the kernel's when this returns. Raises PcapError when the disk is full:
        the file then ends with its last whole packet, and ``packets`` says how many it has; so, too, when Ctrl-C ends a
        wait for a pipe.
        ValueError when the batch was released or this Writer closed.
        """
        cdef Batch kept = batch.whole()
        if batch.datalink != self.linktype:
            raise PcapError(f"write {self.name}: packets of link type {batch.datalink} into a file of {self.linktype}")
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"max_bytes {max_bytes}: the file's size, 0 or more; None: no limit")
        return self.write_columns(&kept.columns, UINT64_MAX if max_bytes is None else max_bytes)

    def write_packet(self, Pkthdr hdr not None, packet, /) -> None:
        """Writes one packet: any buffer with at least ``hdr``'s caplen bytes.

        It may pend in memory until flush(), write() or close(). Raises PcapError as write() does, and ValueError
        when the packet is shorter than its header says.
        """
        cdef Py_buffer view
        self.enter()
        try:
            PyObject_GetBuffer(packet, &view, PyBUF_SIMPLE)
            try:
                self.put(hdr, &view)
            finally:
                PyBuffer_Release(&view)
        finally:
            self.busy = False

    cdef int put(self, Pkthdr hdr, const Py_buffer *view) except -1:
        cdef hp_saved packet
        cdef int rc = -EINTR
        if view.len < hdr.caplen:
            raise ValueError(f"write_packet: the header says {hdr.caplen} bytes, the packet has {view.len}")
        if not -TS_SECONDS < hdr.sec < TS_SECONDS:
            raise PcapError(f"write {self.name}: second {hdr.sec} does not fit into 64 bits of nanoseconds",
                            errno=errno.EOVERFLOW, operation="write", detail=self.name)
        packet.data = <const uint8_t *>view.buf
        packet.ts_ns = hdr.sec * 1000000000 + hdr.nsec
        packet.caplen = hdr.caplen
        packet.len = hdr.length
        packet.direction = 0
        packet.stays = False
        while rc < 0:
            with nogil:
                rc = hp_save_put(&self.save, &packet)
            if rc < 0:
                self.settle(rc)
        return 0

    # ---- what there is ----

    @property
    def packets(self) -> int:
        """Packets written by this Writer, pending ones included."""
        return self.save.packets

    @property
    def bytes(self) -> int:
        """The file's size with what pends; what was there before is counted when appending."""
        return self.save.bytes

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self.save.fd < 0

    def fileno(self) -> int:
        """The file's descriptor. Raises ValueError when closed."""
        if self.save.fd < 0:
            raise ValueError(f"Writer of {self.name} is closed")
        return self.save.fd

    # ---- ending ----

    def flush(self) -> None:
        """Hands what pends to the kernel. Raises PcapError as write() does."""
        self.enter()
        try:
            self.drain()
        finally:
            self.busy = False

    def close(self) -> None:
        """Flushes and closes the file; a second call does nothing. Closed it is even where flushing fails."""
        if self.save.fd < 0:
            return
        if self.busy:
            raise PcapError(f"close {self.name}: another thread is writing")
        try:
            if not self.save.broken:
                self.drain()
        finally:
            fd = self.save.fd
            self.save.fd = -1
            os.close(fd)

    def __enter__(self):
        self.fileno()
        return self

    def __exit__(self, exc_type, exc_value, traceback, /):
        self.close()


cdef object linktype_of(int dlt):
    """LINKTYPE_*, which files have, of a DLT_*."""
    return LINKTYPES.get(dlt, dlt)


cdef int open_for_writing(path, str name, bint append) except -1:
    try:
        if name == "-":
            return os.dup(1)
        return os.open(path, (os.O_RDWR if append else os.O_WRONLY | os.O_TRUNC) | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise from_errno(error.errno, "open", name) from None


cdef int write_all(int fd, header, str name) except -1:
    while header:
        try:
            header = header[os.write(fd, header):]
        except OSError as error:
            raise from_errno(error.errno, "write", name) from None
    return 0


cdef bytes pcapng_block(kind, body):
    return struct.pack("=II", kind, len(body) + 12) + body + struct.pack("=I", len(body) + 12)
