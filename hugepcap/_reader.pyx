# SPDX-License-Identifier: BSD-3-Clause
"""Reader and Pkthdr: pcapy's interface, its extensions by pcapy-ng, and ours."""

import errno
import operator
import socket
import warnings

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ._classify cimport Classifier
from ._hp cimport (
    HP_BUDGET, HP_EOF, HP_FRAME, HP_NONE, HP_RING_BYTES_MAX, HP_TOUCH_ALL, hp_batch, hp_batch_add, hp_batch_collect, hp_batch_room,
    hp_buffer, hp_copy, hp_fill, hp_record, hp_scan, hp_source_next, hp_source_settle,
)
from ._packet cimport Pkthdr
from ._pcap cimport BPFProgram, Dumper, PcapHandle, compile_filter, hp_frame, lookupnet
from ._ring cimport Ring
from ._source cimport BROKEN, WAIT_FOREVER, Source, as_int

from . import _pcap, _ring
from .errors import PcapError, error_class

cdef extern from *:
    """
    static PyObject *hp_new_bytes(Py_ssize_t size)
    {
        PyObject *made = PyBytes_FromStringAndSize(NULL, size);
        if (!made)
            PyErr_Clear();    /* the caller says what it was for */
        return made;
    }
    /*
     * Takes the reference; NULL with MemoryError set. Little waste stays behind the bytes: shrinking each
     * batch's memory would have malloc map the next one anew, and the kernel clear it.
     */
    static PyObject *hp_cut_bytes(PyObject *made, Py_ssize_t size)
    {
        if (size < PyBytes_GET_SIZE(made) / 4 * 3) {
            _PyBytes_Resize(&made, size);
        } else {
            Py_SET_SIZE(made, size);
            PyBytes_AS_STRING(made)[size] = 0;
        }
        return made;
    }
    """
    PyObject *hp_new_bytes(Py_ssize_t)
    bytes hp_cut_bytes(PyObject *, Py_ssize_t)

# pcap_activate(3PCAP)'s results, as activate() and the set_ methods return them.
ERROR = -1
ERROR_NOT_ACTIVATED = -3
ERROR_ACTIVATED = -4
ERROR_NO_SUCH_DEVICE = -5
ERROR_PERM_DENIED = -8
ERROR_IFACE_NOT_UP = -9
ERROR_PROMISC_PERM_DENIED = -11
ERROR_TSTAMP_PRECISION_NOTSUP = -12
WARNING_TSTAMP_TYPE_NOTSUP = 3

STATUS_OF_ERRNO = {
    errno.ENODEV: ERROR_NO_SUCH_DEVICE, errno.ENXIO: ERROR_NO_SUCH_DEVICE,
    errno.EPERM: ERROR_PERM_DENIED, errno.EACCES: ERROR_PERM_DENIED,
    errno.ENETDOWN: ERROR_IFACE_NOT_UP,
}
ERRNO_OF_STATUS = {
    ERROR_NO_SUCH_DEVICE: errno.ENODEV, ERROR_PERM_DENIED: errno.EPERM, ERROR_PROMISC_PERM_DENIED: errno.EPERM,
    ERROR_IFACE_NOT_UP: errno.ENETDOWN,
}

TSTAMP_PRECISION_MICRO = 0
TSTAMP_PRECISION_NANO = 1

cdef enum:
    # pcapy-ng's default for next_batch()
    BATCH_DEFAULT = 256
    # Packets looked at with the GIL held before a scan that admits none goes on without it, and how many then.
    SCAN_HELD = 64
    SCAN_FREE = 65536


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


cdef class Reader(Source):
    """A live capture or a savefile; made by open_live(), create() and open_offline().

    Iterating gives ``(Pkthdr, bytes)`` until the file's end or close(). One thread reads at a time;
    close(), breakloop(), stats() and setfilter() may be called from any.
    """

    def __init__(self):
        raise TypeError("a Reader comes from open_live(), create() or open_offline()")

    def __cinit__(self):
        self.snaplen = _ring.MAXIMUM_SNAPLEN
        self.ring_bytes = _ring.DEFAULT_RING_BYTES
        self.tstamp_type = -1

    def __del__(self):
        if self.live() and not self.closed and not self.inherited():
            warnings.warn(f"unclosed {self!r}: call close() or use it with `with`", ResourceWarning, source=self)
        self.close()

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __repr__(self):
        state = "closed" if self.closed else self.engine or "not activated"
        return f"<hugepcap.Reader {self.device or self.path!r}, {state}>"

    # ---- settings before activate() ----

    cdef int set_before_activation(self) except -1:
        self.check_open()
        return 0 if self.ring_engine is None and self.pcap_engine is None else ERROR_ACTIVATED

    def set_snaplen(self, snaplen, /) -> int:
        """Bytes to capture of each packet; outside 1..262144: all. 0, or -4 when already activated."""
        cdef int wanted = as_int(snaplen)
        rc = self.set_before_activation()
        if rc == 0:
            self.snaplen = wanted if 0 < wanted <= _ring.MAXIMUM_SNAPLEN else _ring.MAXIMUM_SNAPLEN
        return rc

    def set_promisc(self, promisc, /) -> int:
        """Whether to take in packets for others as well. 0, or -4 when already activated."""
        cdef int on = as_int(promisc)
        rc = self.set_before_activation()
        if rc == 0:
            self.promisc = on != 0
        return rc

    def set_timeout(self, to_ms, /) -> int:
        """How many ms a read waits on an idle link; 0 or less: for ever. 0, or -4 when already activated."""
        cdef int wait_ms = as_int(to_ms)
        rc = self.set_before_activation()
        if rc == 0:
            self.timeout_ms = wait_ms
        return rc

    def set_buffer_size(self, buffer_size, /) -> int:
        """Bytes of the ring, 64 MiB unless set; 0 or less is ignored. 0, or -4 when already activated.

        Up to 65,535 blocks of 2 MiB (128 GiB); pcapy-ng ends below 2^31. OverflowError beyond.
        """
        rc = self.set_before_activation()
        wanted = operator.index(buffer_size)
        if wanted > HP_RING_BYTES_MAX or wanted < -(1 << 31):
            raise OverflowError(f"set_buffer_size: {wanted} bytes; a ring has at most {HP_RING_BYTES_MAX}")
        if rc == 0 and wanted > 0:
            self.ring_bytes = wanted
        return rc

    def set_rfmon(self, rfmon, /) -> int:
        """Monitor mode for a wireless device (through libpcap). 0, or -4 when already activated."""
        cdef int on = as_int(rfmon)
        rc = self.set_before_activation()
        if rc == 0:
            self.rfmon = on != 0
        return rc

    def set_immediate_mode(self, immediate, /) -> int:
        """Hands packets over within about a millisecond, at the cost of more and emptier blocks."""
        cdef int on = as_int(immediate)
        rc = self.set_before_activation()
        if rc == 0:
            self.immediate = on != 0
        return rc

    def set_tstamp_precision(self, precision, /) -> int:
        """0 micro-, 1 nanoseconds: what dump_open() writes. Pkthdr.ts_ns has nanoseconds in either case.

        0; -4 when already activated; -12 for another value. Source: pcap_set_tstamp_precision(3PCAP).
        """
        cdef int wanted = as_int(precision)
        rc = self.set_before_activation()
        if wanted not in (TSTAMP_PRECISION_MICRO, TSTAMP_PRECISION_NANO):
            return ERROR_TSTAMP_PRECISION_NOTSUP
        if rc == 0:
            self.tstamp_precision = wanted
        return rc

    def set_tstamp_type(self, kind, /) -> int:
        """Where time stamps come from: "host", "adapter", "adapter_unsynced" or libpcap's number.

        0; -4 when already activated; 3 (a warning) when the device does not offer it.
        Raises PcapError for an unknown name. Source: pcap_set_tstamp_type(3PCAP).
        """
        rc = self.set_before_activation()
        number = _pcap.tstamp_type_of(kind)
        if rc == 0 and number not in _pcap.tstamp_types(self.device):
            return WARNING_TSTAMP_TYPE_NOTSUP
        if rc == 0:
            self.tstamp_type = number
        return rc

    def activate(self) -> int:
        """Opens the device with the settings made. Never raises: 0, a positive warning, or a negative error.

        -1 error, -4 already activated, -5 no such device, -8 no permission, -9 the device is not up.
        ``activate_error`` is then the PcapError that open_live() would have raised.
        """
        rc = self.set_before_activation()
        if rc != 0:
            return rc
        self.activate_error = None
        try:
            return self.start(None)
        except PcapError as error:
            self.activate_error = error
            return getattr(error, "status", STATUS_OF_ERRNO.get(error.errno, ERROR))

    cdef int start(self, filter) except? -1000:
        """Activates on our ring, else through libpcap, a filter attached before the first packet; raises PcapError."""
        linktype = None if self.rfmon else _ring.datalink_of(self.device)
        if linktype is None:
            return self.start_libpcap(filter)
        program = as_program(filter, linktype, self.snaplen, self.mask) if filter is not None else None
        self.adopt_ring(_ring.open_ring(
            self.device, snaplen=self.snaplen, promisc=self.promisc, timeout_ms=self.timeout_ms,
            ring_bytes=self.ring_bytes, immediate=self.immediate, tstamp_type=self.tstamp_type, program=program),
            program)
        return 0

    cdef int start_libpcap(self, filter) except? -1000:
        """Activates through libpcap; its refusals come out with libpcap's own words and status."""
        handle, status, reason = _pcap.open_device(
            self.device, snaplen=self.snaplen, promisc=self.promisc, timeout_ms=self.timeout_ms,
            buffer_bytes=min(self.ring_bytes, 0x7fffffff), rfmon=self.rfmon, immediate=self.immediate,
            tstamp_type=self.tstamp_type)
        if handle is None:
            code = ERRNO_OF_STATUS.get(status, 0)
            error = error_class(code)(reason, errno=code, operation="open", detail=self.device)
            error.status = status
            raise error
        self.adopt_pcap(handle)
        if filter is not None:
            self.setfilter(filter)
        return status

    # ---- reading ----

    def next(self) -> tuple:
        """``(Pkthdr, bytes)``; ``(None, b"")`` at the end of a file, when none came in time, after breakloop()."""
        cdef hp_frame frame
        self.enter()
        try:
            if self.src.cur.left == 0:
                self.boundary()
            if self.fetch(&frame, self.read_timeout()) == HP_FRAME:
                return header_of(&frame), data_of(&frame)
            return None, b""
        finally:
            self.leave()

    def __iter__(self):
        self.check_active()
        return self

    def __next__(self) -> tuple:
        cdef hp_frame frame
        if self.closed or self.closing:
            raise StopIteration
        self.enter()
        try:
            if self.src.cur.left == 0:
                self.boundary()
            if self.fetch(&frame, WAIT_FOREVER) == HP_FRAME:
                return header_of(&frame), data_of(&frame)
        finally:
            self.leave()
        raise StopIteration

    def loop(self, cnt, callback, /) -> None:
        """Calls ``callback(Pkthdr, bytes)`` for ``cnt`` packets (0 or less: without end).

        Ends, with None, also at a file's end and after breakloop() or close(). What the callback raises
        comes out as it is; the next read goes on with the following packet. Source: pcap_loop(3PCAP).
        """
        cdef int wanted = as_int(cnt)
        cdef hp_frame frame
        cdef int done = 0
        check_callback(callback)
        self.enter()
        try:
            while wanted <= 0 or done < wanted:
                if self.src.cur.left == 0:
                    self.boundary()
                if self.fetch(&frame, WAIT_FOREVER) != HP_FRAME:
                    break
                done += wanted > 0
                callback(header_of(&frame), data_of(&frame))
        finally:
            self.leave()

    def dispatch(self, cnt, callback, /) -> int:
        """Waits for packets as next() does, then calls ``callback`` for those that are there, at most ``cnt``.

        With ``cnt`` 0 or less: all of them, at most one ring's worth. Returns how many; 0 when none came in
        time or at a file's end. Source: pcap_dispatch(3PCAP).
        """
        cdef int wanted = as_int(cnt)
        cdef hp_frame frame
        cdef uint64_t last_block = 0
        cdef int done = 0
        cdef int rc
        check_callback(callback)
        self.enter()
        try:
            rc = self.fetch(&frame, self.read_timeout())
            if self.src.ring != NULL:
                last_block = self.src.ring.taken + self.src.ring.geo.block_nr
            while rc == HP_FRAME:
                done += 1
                callback(header_of(&frame), data_of(&frame))
                if done == wanted or self.src.broken:
                    break
                if self.src.cur.left == 0:
                    self.boundary()
                    if wanted <= 0 and self.src.ring != NULL and self.src.ring.taken >= last_block:
                        break
                if self.pcap_engine is not None and self.pcap_engine.would_wait():
                    break
                rc = hp_source_next(&self.src, &self.src.cur, &frame, HP_TOUCH_ALL)
            if rc < 0:
                self.fail(rc)
            if self.src.broken and done:
                self.take_break()
            return done
        finally:
            self.leave()

    def next_batch(self, max_n, /) -> tuple:
        """Up to ``max_n`` packets (0 or less: 256) in one call: ``(packets, records)``.

        ``packets`` is their bytes, one behind the other; ``records`` has 16 bytes for each, four native
        uint32: seconds, microseconds, offset into ``packets``, captured length. Waits as next() does;
        both are empty when none came in time and at a file's end. A batch ends with its ring block.
        """
        cdef int most = as_int(max_n)
        cdef hp_frame frame
        cdef uint32_t wanted = most if most > 0 else BATCH_DEFAULT
        self.enter()
        try:
            if self.src.cur.left == 0:
                self.boundary()
            if self.fetch(&frame, self.read_timeout()) != HP_FRAME:
                return b"", b""
            if self.src.ring != NULL:
                return self.batch_of_block(&frame, wanted)
            return self.batch_of_pulls(&frame, wanted)
        finally:
            self.leave()

    cdef tuple batch_of_block(self, hp_frame *first, uint32_t max_n):
        """The first packet and what follows it in its block, copied once into room that is cut to size."""
        cdef hp_batch batch
        cdef PyObject *records
        cdef PyObject *packets
        cdef int rc
        batch.capacity = min(max_n, self.src.cur.left + 1)
        batch.room = hp_batch_room(&self.src, first, batch.capacity)
        batch.nr = batch.used = 0
        records = hp_new_bytes(batch.capacity * sizeof(hp_record))
        packets = hp_new_bytes(batch.room)
        if records == NULL or packets == NULL:
            Py_XDECREF(records)
            Py_XDECREF(packets)
            raise MemoryError(f"next_batch: no memory for {batch.capacity} packets in {batch.room} bytes")
        batch.records = <hp_record *>PyBytes_AS_STRING(<object>records)
        batch.bytes = <uint8_t *>PyBytes_AS_STRING(<object>packets)
        hp_batch_add(&batch, first)
        rc = hp_batch_collect(&batch, &self.src)
        if rc < 0:
            self.defer(rc)
        return hp_cut_bytes(packets, batch.used), hp_cut_bytes(records, batch.nr * sizeof(hp_record))

    cdef tuple batch_of_pulls(self, hp_frame *frame, uint32_t max_n):
        """The same through libpcap, whose packet is good only until the next."""
        cdef bytearray packets = bytearray()
        cdef bytearray records = bytearray()
        cdef hp_record record
        cdef uint32_t nr = 0
        cdef int rc = HP_FRAME
        while rc == HP_FRAME:
            record.sec = <uint32_t>frame.sec
            record.usec = frame.nsec // 1000
            record.offset = <uint32_t>len(packets)
            record.caplen = frame.caplen
            packets.extend((<const char *>frame.data)[:frame.caplen])
            records.extend((<const char *>&record)[:sizeof(record)])
            nr += 1
            if nr == max_n or self.pcap_engine.would_wait():
                break
            rc = hp_source_next(&self.src, &self.src.cur, frame, HP_TOUCH_ALL)
        if rc < 0:
            self.pcap_engine.raise_interrupt()
            self.defer(rc)
        return bytes(packets), bytes(records)

    # ---- pcapy-ng's classified reading ----

    def loop_filtered(self, cnt, cb, admit_mask=7, addr_set=b"", flow_cutoff=0, dpi_ports=None, tls_ports=None,
                      dns_port=53, l2_offset=14, profile=0, *, ipv6=False, addr_set6=b"") -> tuple:
        """Classifies ``cnt`` packets (0 or less: without end) in C; ``cb(Pkthdr, bytes, cls)`` for the admitted.

        admit_mask: bit i admits the class of index i. Generic profile (0): 0 OTHER, 1 FLOW_HEAD (one of the
        first ``flow_cutoff`` packets of its directional flow), 2 SET_MATCH (source or destination is in
        ``addr_set``, packed 4-byte addresses), SET_MATCH before FLOW_HEAD before OTHER. Security profile (1),
        ids 100 + index: 0 DNS (``dns_port``), 1 HTTP (payload on ``dpi_ports``), 2 OTHER, 3 ADDR,
        4 HANDSHAKE (flow head on ``tls_ports``), 5 SYN. ``l2_offset`` is where the IP header begins; VLAN tags
        are skipped. ``ipv6=True`` lets IPv6 have flows and ports too, ``addr_set6`` is packed 16-byte addresses.

        Returns (admitted, dropped, packets of each class). Source: pcapy-ng's loop_filtered.
        """
        cdef Classifier c
        cdef int most = as_int(cnt)
        self.check_active()
        c = Classifier(profile, admit_mask, addr_set, flow_cutoff, dpi_ports, tls_ports, dns_port, l2_offset, ipv6,
                       addr_set6)
        self.enter()
        self.last_classifier = c
        try:
            self.run_filtered(c, most, cb)
        finally:
            self.leave()
        return (c.tally.admitted, c.tally.dropped) + c.counts()

    cdef int run_filtered(self, Classifier c, int cnt, object callback) except -1:
        cdef uint64_t left = cnt if cnt > 0 else <uint64_t>-1
        cdef uint64_t budget, given
        cdef hp_frame frame
        cdef int index = 0
        cdef int rc
        while left:
            if self.src.cur.left == 0:
                self.boundary()
            if self.src.broken:
                self.take_break()
                break
            budget = given = min(left, SCAN_HELD)
            rc = hp_scan(&self.src, &c.cls, c.admit_mask, &c.tally, &budget, &frame, &index)
            left -= given - budget
            if rc == HP_BUDGET and left:
                budget = given = min(left, SCAN_FREE)
                with nogil:
                    rc = hp_scan(&self.src, &c.cls, c.admit_mask, &c.tally, &budget, &frame, &index)
                left -= given - budget
            if rc == HP_FRAME:
                callback(header_of(&frame), data_of(&frame), c.class_base + index)
            elif not self.go_on(rc):
                break
        return 0

    cdef bint go_on(self, int rc) except -1:
        """After a scan or fill that ended without a packet: waits where there was none; False at the end."""
        if rc == HP_NONE:
            self.pause(WAIT_FOREVER)
        elif rc == HP_EOF:
            return False
        elif rc < 0:
            return self.fail(rc) != BROKEN
        return True

    def loop_to_buffer(self, cnt, writable_buf, admit_mask=7, addr_set=b"", flow_cutoff=0, dpi_ports=None,
                       tls_ports=None, dns_port=53, l2_offset=14, profile=0, *, ipv6=False,
                       addr_set6=b"") -> tuple:
        """Classifies as loop_filtered(), but writes the admitted packets into a buffer, without the GIL.

        Each as [uint32 caplen, little-endian][uint8 class id][caplen bytes], without padding. What finds no
        room is counted, never written. Returns (written, dropped, overflow, bytes used, packets of each class).
        Source: pcapy-ng's loop_to_buffer.
        """
        cdef Classifier c
        cdef Py_buffer view
        cdef uint64_t used = 0
        cdef int most = as_int(cnt)
        self.check_active()
        get_writable(writable_buf, &view)
        try:
            c = Classifier(profile, admit_mask, addr_set, flow_cutoff, dpi_ports, tls_ports, dns_port, l2_offset,
                           ipv6, addr_set6)
            self.enter()
            self.last_classifier = c
            try:
                self.run_to_buffer(c, most, &view, &used)
            finally:
                self.leave()
        finally:
            PyBuffer_Release(&view)
        return (c.tally.admitted, c.tally.dropped, c.tally.overflow, used) + c.counts()

    cdef int run_to_buffer(self, Classifier c, int cnt, Py_buffer *view, uint64_t *used) except -1:
        cdef uint64_t left = cnt if cnt > 0 else <uint64_t>-1
        cdef uint64_t budget, given
        cdef hp_buffer buf
        cdef int rc
        buf.at = <uint8_t *>view.buf
        buf.bytes = view.len
        buf.used = 0
        buf.class_base = c.class_base
        while left:
            self.boundary()
            if self.src.broken:
                self.take_break()
                break
            budget = given = min(left, SCAN_FREE)
            with nogil:
                rc = hp_fill(&self.src, &c.cls, c.admit_mask, &c.tally, &budget, &buf)
            left -= given - budget
            used[0] = buf.used
            if not self.go_on(rc):
                break
        return 0

    def filtered_stats(self) -> tuple:
        """The counts of the loop_filtered() or loop_to_buffer() that runs or ran last, from any thread.

        (admitted, dropped, packets of each class); zeros before the first.
        """
        cdef Classifier c = self.last_classifier
        if c is None:
            return (0,) * 5
        return (c.tally.admitted, c.tally.dropped) + c.counts()

    # ---- filters, directions, modes ----

    def setfilter(self, filter, /) -> None:
        """Sets a filter: a libpcap expression, or a BPFProgram compiled for this link type.

        The kernel runs it where it can, else the reader. Packets queued before it are filtered too.
        Raises PcapError when it does not compile or fits another link type. Source: pcap-filter(7).
        """
        cdef BPFProgram program
        self.check_active()
        program = as_program(filter, self.datalink(), self.snapshot, self.mask)
        if self.ring_engine is not None:
            self.apply_filter(program)
        else:
            self.pcap_engine.setfilter(program)

    def setdirection(self, direction, /) -> None:
        """PCAP_D_INOUT, PCAP_D_IN or PCAP_D_OUT. Raises PcapError for another value and on files."""
        cdef int way = as_int(direction)
        self.check_active()
        if not 0 <= way <= 2:
            raise PcapError(f"setdirection: {way} is none of PCAP_D_INOUT, PCAP_D_IN, PCAP_D_OUT")
        if self.ring_engine is None:
            self.pcap_engine.setdirection(way)
            return
        self.ring_engine.ignore_outgoing(way == 1 or self.ring_engine.dev.loopback)
        self.src.direction = way
        hp_source_settle(&self.src)

    def setnonblock(self, state, /) -> None:
        """Non-blocking mode: next(), dispatch() and next_batch() do not wait. Raises PcapError on files."""
        cdef int on = as_int(state)
        self.check_open()
        if self.pcap_engine is not None and self.pcap_engine.offline:
            raise PcapError("setnonblock: savefiles cannot be put into non-blocking mode")
        self.nonblocking = on != 0

    def getnonblock(self) -> int:
        """1 in non-blocking mode, else 0."""
        self.check_open()
        return self.nonblocking

    def datalink(self) -> int:
        """The link type, DLT_*; -3 before activate()."""
        self.check_open()
        if self.ring_engine is not None:
            return self.ring_engine.datalink
        return self.pcap_engine.datalink() if self.pcap_engine is not None else ERROR_NOT_ACTIVATED

    def list_datalinks(self) -> list:
        """The link types that set_datalink() takes here."""
        self.check_active()
        return _ring.datalinks_beside(self.datalink()) if self.ring_engine is not None \
            else self.pcap_engine.list_datalinks()

    def set_datalink(self, linktype, /) -> None:
        """Chooses one of list_datalinks(): on `any` DLT_LINUX_SLL or DLT_LINUX_SLL2. Drops the filter.

        Source: pcap_set_datalink(3PCAP).
        """
        cdef int chosen = as_int(linktype)
        if chosen not in self.list_datalinks():
            raise PcapError(f"set_datalink: {chosen} is not a link type of {self.device or self.path}; "
                            f"there are {self.list_datalinks()}")
        if self.ring_engine is None:
            self.pcap_engine.set_datalink(chosen)
            return
        self.ring_engine.set_datalink(chosen)
        self.drop_filter()

    # ---- the rest ----

    def getnet(self) -> str:
        """The device's network address, dotted; "0.0.0.0" where it has none."""
        self.check_open()
        return dotted(self.net)

    def getmask(self) -> str:
        """The device's network mask, dotted; "0.0.0.0" where it has none."""
        self.check_open()
        return dotted(self.mask)

    def stats(self) -> tuple:
        """(received, dropped, dropped by the device), all since activate().

        As in libpcap, received counts what passed the filter, dropped packets included.
        Raises PcapError on files. Source: pcap_stats(3PCAP).
        """
        self.check_active()
        if self.ring_engine is not None:
            return self.ring_engine.stats()
        return self.pcap_engine.stats()

    def dump_open(self, path, /, *, bint append=False, nanoseconds=None) -> Dumper:
        """A Dumper writing a pcap file of this link type to ``path`` ("-": standard output).

        ``nanoseconds`` None: if the source has them (a nanosecond file, set_tstamp_precision(1)).
        Raises PcapError. Source: pcap_dump_open(3PCAP).
        """
        self.check_active()
        if nanoseconds is None:
            nanoseconds = self.tstamp_precision == TSTAMP_PRECISION_NANO
        return _pcap.open_dumper(path, self.datalink(), self.snapshot, nanoseconds, append)

    def sendpacket(self, packet, /) -> None:
        """Sends a packet (any buffer, link-layer header included). Source: pcap_sendpacket(3PCAP)."""
        self.check_active()
        if self.ring_engine is not None:
            self.ring_engine.sendpacket(packet)
        else:
            self.pcap_engine.sendpacket(packet)

    def set_fanout(self, group_id, fanout_type=0) -> None:
        """Joins a PACKET_FANOUT group: its members share the traffic of their device. Source: packet(7)."""
        cdef int group = as_int(group_id)
        cdef int kind = as_int(fanout_type)
        self.check_active()
        if self.ring_engine is None:
            raise PcapError(f"set_fanout: {self.device or self.path} is no live packet socket")
        self.ring_engine.set_fanout(group, kind)

    def getfd(self) -> int:
        """The descriptor to select on, readable when packets are there; -1 before activate()."""
        self.check_open()
        if self.ring_engine is not None:
            return self.ring_engine.fd
        return self.pcap_engine.fd() if self.pcap_engine is not None else -1

    def fileno(self) -> int:
        """getfd() for select(), selectors and asyncio. Raises ValueError where there is no descriptor."""
        fd = self.getfd()
        if fd < 0:
            raise ValueError(f"{self!r} has no descriptor to wait on")
        return fd

    @property
    def engine(self):
        """Who captures: "ring" (ours), "libpcap", "savefile"; None before activate()."""
        if self.ring_engine is not None:
            return "ring"
        if self.pcap_engine is not None:
            return "savefile" if self.pcap_engine.offline else "libpcap"
        return None

    @property
    def ring(self):
        """The Ring of a live Reader: its sizes and policy; None where there is none."""
        return self.ring_engine

    @property
    def snapshot(self) -> int:
        """The snapshot length in bytes."""
        return self.pcap_engine.snapshot() if self.pcap_engine is not None else self.snaplen


cdef int get_writable(buffer, Py_buffer *view) except -1:
    """The memory of a buffer to write into; TypeError, as pcapy-ng raises, for one that cannot be written."""
    try:
        PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE)
    except BufferError as error:
        raise TypeError(f"loop_to_buffer: a writable, contiguous buffer is required: {error}") from None
    return 0


cdef int check_callback(callback) except -1:
    if not callable(callback):
        raise TypeError(f"the callback must be callable, not {type(callback).__name__}")
    return 0


cdef BPFProgram as_program(filter, int linktype, int snaplen, uint32_t netmask):
    """The program of a filter given as text or as a program already."""
    if isinstance(filter, BPFProgram):
        if (<BPFProgram>filter).linktype != linktype:
            raise PcapError(f"setfilter: the program was compiled for link type {(<BPFProgram>filter).linktype}, "
                            f"packets here are of type {linktype}")
        return filter
    if not isinstance(filter, str):
        raise TypeError(f"a filter is a str or a BPFProgram, not {type(filter).__name__}")
    return compile_filter(filter, linktype, snaplen, 1, netmask)


cdef str dotted(uint32_t address):
    return socket.inet_ntoa((<const char *>&address)[:4])


cdef Reader new_reader(str device):
    cdef Reader reader = Reader.__new__(Reader)
    if "\0" in device:
        raise ValueError("embedded null character")
    reader.device = device
    reader.net, reader.mask = lookupnet(device)
    return reader


def create(str device not None, /) -> Reader:
    """A Reader on a device, to be set up and then activate()d. Source: pcap_create(3PCAP)."""
    return new_reader(device)


def open_live(str device not None, snaplen, promisc, to_ms, /, *, buffer_size=None, filter=None, immediate=False,
              tstamp_type=None, tstamp_precision=None) -> Reader:
    """Captures on a device.

    ``snaplen``: bytes of each packet (outside 1..262144: all). ``promisc``: packets for others, too.
    ``to_ms``: how long a read waits on an idle link (0 or less: for ever). Beyond pcapy: ``buffer_size``
    bytes of ring (64 MiB; pcapy's are 2 MiB), a ``filter`` that is in force before the first packet, and
    the settings of the set_ methods. Raises PcapError. Source: pcap_open_live(3PCAP).
    """
    cdef Reader reader = new_reader(device)
    reader.set_snaplen(snaplen)
    reader.set_promisc(promisc)
    reader.set_timeout(to_ms)
    reader.set_immediate_mode(immediate)
    if buffer_size is not None:
        reader.set_buffer_size(buffer_size)
    if tstamp_type is not None and reader.set_tstamp_type(tstamp_type) != 0:
        raise PcapError(f"open_live {device}: the device offers no time stamps of type {tstamp_type!r}")
    if tstamp_precision is not None and reader.set_tstamp_precision(tstamp_precision) != 0:
        raise PcapError(f"open_live {device}: time stamp precision {tstamp_precision!r} is neither 0 nor 1")
    reader.start(filter)
    return reader


def open_offline(path, /) -> Reader:
    """Reads a pcap or pcapng file (str, bytes or path-like; "-": standard input).

    Raises PcapError for what cannot be opened or is no capture file. Source: pcap_open_offline(3PCAP).
    """
    cdef Reader reader = Reader.__new__(Reader)
    cdef PcapHandle handle = _pcap.open_savefile(path)
    reader.path = handle.name
    reader.tstamp_precision = TSTAMP_PRECISION_NANO if handle.nanoseconds else TSTAMP_PRECISION_MICRO
    reader.adopt_pcap(handle)
    return reader
