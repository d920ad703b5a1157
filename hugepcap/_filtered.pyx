# SPDX-License-Identifier: BSD-3-Clause
"""Filtered: pcapy-ng's classified reading, in C and without the GIL."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t

from ._classify cimport Classifier
from ._control cimport Control
from ._hp cimport HP_AGAIN, HP_BUDGET, HP_EOF, HP_FRAME, HP_NONE, hp_buffer, hp_fill, hp_scan
from ._frame cimport data_of, header_of
from ._pcap cimport hp_frame
from ._source cimport WAIT_FOREVER, check_callback

cdef enum:
    # Packets looked at with the GIL held before a scan that admits none goes on without it, and how many then.
    SCAN_HELD = 64
    SCAN_FREE = 65536


cdef class Filtered(Control):
    """Reading by class, as pcapy-ng does it."""

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
        cdef int most = self.int_arg(cnt, "loop_filtered(cnt)")
        self.check_active()
        c = Classifier(profile, admit_mask, addr_set, flow_cutoff, dpi_ports, tls_ports, dns_port, l2_offset, ipv6,
                       addr_set6)
        if c.admit_mask:
            check_callback(cb, "loop_filtered(cb)")
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
            if rc == HP_AGAIN or (rc == HP_BUDGET and left):
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
            self.fail(rc)
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
        cdef int most = self.int_arg(cnt, "loop_to_buffer(cnt)")
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
            if rc < 0 and buf.used:
                self.defer(rc)
                break
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


cdef int get_writable(buffer, Py_buffer *view) except -1:
    """The memory of a buffer to write into; TypeError, as pcapy-ng raises, for one that cannot be written."""
    try:
        PyObject_GetBuffer(buffer, view, PyBUF_WRITABLE)
    except BufferError as error:
        raise TypeError(f"loop_to_buffer: a writable, contiguous buffer is required: {error}") from None
    return 0
