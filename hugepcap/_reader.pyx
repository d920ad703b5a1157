# SPDX-License-Identifier: BSD-3-Clause
"""Reader: pcapy's ways of reading packets, and how a capture or a file is opened."""

import warnings

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from ._blocks cimport Blocks
from ._hp cimport (
    HP_AGAIN, HP_FRAME, HP_NONE, HP_TOUCH_ALL, hp_batch, hp_batch_add, hp_batch_collect, hp_batch_room, hp_record,
    hp_source_next,
)
from ._frame cimport data_of, header_of
from ._regular cimport read_savefile
from ._pcap cimport PcapHandle, hp_frame
from ._source cimport WAIT_FOREVER, as_int, check_callback

from . import _capture, _pcap, aio
from .errors import PcapError
from .settings import check_ring_bytes

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
    /* Twice the room, at least for so many bytes more; what is NULL or not yet in `batch` is taken as it is. */
    static int hp_batch_grow(struct hp_batch *batch, uint32_t more, PyObject **records, PyObject **packets)
    {
        if (!*records || !*packets) {
            PyErr_NoMemory();
            return -1;
        }
        if (batch->records && batch->nr == batch->capacity &&
            _PyBytes_Resize(records, 2 * PyBytes_GET_SIZE(*records)) < 0)
            return -1;
        if (batch->bytes && more > batch->room - batch->used &&
            _PyBytes_Resize(packets, 2 * PyBytes_GET_SIZE(*packets) + more) < 0)
            return -1;
        batch->records = (struct hp_record *)PyBytes_AS_STRING(*records);
        batch->bytes = (uint8_t *)PyBytes_AS_STRING(*packets);
        batch->capacity = (uint32_t)(PyBytes_GET_SIZE(*records) / sizeof(struct hp_record));
        batch->room = (uint32_t)PyBytes_GET_SIZE(*packets);
        return 0;
    }
    /*
     * The next of eight steps from one power of two to the next: with ever different sizes malloc would find no
     * freed room to fit, give it back, and have the kernel map and clear the next.
     */
    static uint32_t hp_steady_room(uint32_t bytes)
    {
        uint32_t step = bytes < 64 ? 8 : 1u << (28 - __builtin_clz(bytes));

        return bytes > UINT32_MAX - step ? bytes : (bytes + step - 1) / step * step;
    }
    """
    PyObject *hp_new_bytes(Py_ssize_t)
    int hp_batch_grow(hp_batch *, uint32_t, PyObject **, PyObject **) except -1
    bytes hp_cut_bytes(PyObject *, Py_ssize_t)
    uint32_t hp_steady_room(uint32_t)

cdef enum:
    # pcapy-ng's default for next_batch()
    BATCH_DEFAULT = 256
    # Of a batch that is not from a ring: records there is room for at first, and bytes after which it ends.
    PULLED_RECORDS = 1024
    PULLED_BYTES_MAX = 1 << 30


cdef class Reader(Blocks):
    """A live capture or a savefile; made by open_live(), create() and open_offline().

    Iterating gives ``(Pkthdr, bytes)`` until the file's end or close(). One thread reads at a time;
    close(), breakloop(), stats() and setfilter() may be called from any.
    """

    def __init__(self):
        raise TypeError("a Reader comes from open_live(), create() or open_offline()")

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
        if self.closed:
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

    def take_packet(self):
        """A packet that is there now, without waiting; ``(None, b"")`` where there is none, None at the end."""
        cdef hp_frame frame
        cdef int rc
        self.enter()
        try:
            if self.src.cur.left == 0:
                self.boundary()
            rc = self.fetch(&frame, 0)
            if rc == HP_FRAME:
                return header_of(&frame), data_of(&frame)
            return (None, b"") if rc == HP_NONE else None
        finally:
            self.leave()

    def __aiter__(self):
        return self

    async def __anext__(self):
        taken = await aio.packet(self)
        if taken is None:
            raise StopAsyncIteration
        return taken

    def loop(self, cnt, callback, /) -> None:
        """Calls ``callback(Pkthdr, bytes)`` for ``cnt`` packets (0 or less: without end).

        Ends, with None, also at a file's end and after breakloop() or close(). What the callback raises
        comes out as it is; the next read goes on with the following packet. Source: pcap_loop(3PCAP).
        """
        cdef int wanted = self.int_arg(cnt, "loop(cnt)")
        cdef hp_frame frame
        cdef int done = 0
        check_callback(callback, "loop(callback)")
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
        cdef int wanted = self.int_arg(cnt, "dispatch(cnt)")
        cdef hp_frame frame
        cdef uint64_t last_block = 0
        cdef int done = 0
        cdef int rc
        check_callback(callback, "dispatch(callback)")
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
                rc = hp_source_next(&self.src, &self.src.cur, &frame, HP_TOUCH_ALL)
                if rc == HP_AGAIN:
                    rc = self.scan_on(&frame)
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
        cdef int most = self.int_arg(max_n, "next_batch(max_n)")
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
        batch.room = hp_steady_room(hp_batch_room(&self.src, first, batch.capacity))
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
        """The same from a file or libpcap, whose packet is good only until the next, into room that grows."""
        cdef hp_batch batch
        cdef PyObject *records = hp_new_bytes(min(max_n, PULLED_RECORDS) * sizeof(hp_record))
        cdef PyObject *packets = hp_new_bytes(max(self.pulled_room, frame.caplen + 1))
        cdef int rc = HP_FRAME
        batch.nr = batch.used = batch.capacity = batch.room = 0
        batch.records = NULL
        batch.bytes = NULL
        try:
            while rc == HP_FRAME:
                if batch.nr == batch.capacity or frame.caplen > batch.room - batch.used:
                    hp_batch_grow(&batch, frame.caplen, &records, &packets)
                hp_batch_add(&batch, frame)
                if batch.nr == max_n or batch.used > PULLED_BYTES_MAX:
                    break
                rc = hp_source_next(&self.src, &self.src.cur, frame, HP_TOUCH_ALL)
                if rc == HP_AGAIN:
                    rc = self.scan_on(frame)
            if rc < 0:
                self.defer(rc)
        except BaseException:
            Py_XDECREF(records)
            Py_XDECREF(packets)
            raise
        self.pulled_room = hp_steady_room(batch.used + batch.used // 8)    # the next is likely to be as large
        return hp_cut_bytes(packets, batch.used), hp_cut_bytes(records, batch.nr * sizeof(hp_record))


cdef Reader new_reader(str device):
    cdef Reader reader = Reader.__new__(Reader)
    reader.aim(device)
    return reader


def create(str device not None, /) -> Reader:
    """A Reader on a device, to be set up and then activate()d. Source: pcap_create(3PCAP)."""
    return new_reader(device)


def open_live(str device not None, snaplen, promisc, to_ms, /, *, policy=None, ring_bytes=None, block_bytes=None,
              strict=None, filter=None, immediate=False, tstamp_type=None, tstamp_precision=None, held=False) -> Reader:
    """Captures on a device.

    ``snaplen``: bytes of each packet (outside 1..262144: all). ``promisc``: packets for others, too.
    ``to_ms``: how long a read waits on an idle link (0 or less: for ever). Beyond pcapy: ``ring_bytes``
    of ring (64 MiB; pcapy's are 2 MiB) in ``block_bytes`` each, from the memory that ``policy`` names
    ("auto"; set_policy() has the names), refused where ``strict`` and it cannot be had just so; a ``filter``
    that is in force before the first packet, and the settings of the set_ methods. ``held``: lets nothing in
    before admit(), for what has to be done first, such as set_fanout(). What is not given comes
    from HUGEPCAP_POLICY, HUGEPCAP_RING, HUGEPCAP_STRICT and HUGEPCAP_HUGETLBFS in the environment.
    Raises PcapError; ValueError for ``ring_bytes`` below 0. Source: pcap_open_live(3PCAP).
    """
    cdef Reader reader = new_reader(device)
    reader.set_snaplen(as_int(snaplen, "open_live(snaplen)"))
    reader.set_promisc(as_int(promisc, "open_live(promisc)"))
    reader.set_timeout(as_int(to_ms, "open_live(to_ms)"))
    reader.set_immediate_mode(as_int(immediate, "open_live(immediate)"))
    if ring_bytes is not None:
        check_ring_bytes(ring_bytes)
    for setting, given in ((reader.set_policy, policy), (reader.set_buffer_size, ring_bytes),
                           (reader.set_block_bytes, block_bytes), (reader.set_strict, strict)):
        if given is not None:
            setting(given)
    if tstamp_type is not None and reader.set_tstamp_type(tstamp_type) != 0:
        raise PcapError(f"open_live {device}: the device offers no time stamps of type {tstamp_type!r}")
    if tstamp_precision is not None and reader.set_tstamp_precision(tstamp_precision) != 0:
        raise PcapError(f"open_live {device}: time stamp precision {tstamp_precision!r} is neither 0 nor 1")
    reader.held = held
    reader.start(filter)
    return reader


def open_offline(path, /, *, bint mapped=False) -> Reader:
    """Reads a pcap or pcapng file (str, bytes or path-like; "-": standard input).

    ``mapped``: maps a regular file in place of reading it, which costs less where the page cache has it in large
    pieces. Only for files that nobody shortens or overwrites meanwhile: what is cut off from a mapping reads as
    zeros or is SIGBUS, the process's end.
    Raises PcapError for what cannot be opened or mapped or is no capture file. Source: pcap_open_offline(3PCAP).
    """
    cdef Reader reader = Reader.__new__(Reader)
    cdef PcapHandle handle = _pcap.open_savefile(path)
    reader.path = handle.name
    reader.tstamp_precision = _capture.TSTAMP_PRECISION_NANO if handle.nanoseconds else _capture.TSTAMP_PRECISION_MICRO
    reader.adopt_pcap(read_savefile(handle, mapped) or handle)
    return reader
