# SPDX-License-Identifier: BSD-3-Clause
"""libpcap, and nothing else: filters, savefiles, device lists, and the engine for odd devices."""

import errno
import os
import stat

from cpython.exc cimport PyErr_Occurred
from cpython.number cimport PyNumber_Index
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, errno as c_errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.stdio cimport clearerr, fclose, ferror, fflush, fopen, ftell
from posix.stdio cimport fdopen, fileno

from ._packet cimport Pkthdr
from ._pipe cimport Pipe, rewind

from .errors import BPFError, PcapCorruptError, PcapError, from_errno

cdef extern from *:
    """
    #include <errno.h>
    #include <stdio.h>
    #include <linux/filter.h>
    #include <pcap/pcap.h>
    static unsigned int hp_run_filter(const void *insns, const uint8_t *data, unsigned int len, unsigned int caplen)
    {
        return bpf_filter((const struct bpf_insn *)insns, data, len, caplen);
    }
    /* libpcap's instruction and the kernel's are the same bytes; hp_bpf.h relies on it. */
    _Static_assert(sizeof(struct bpf_insn) == sizeof(struct sock_filter), "bpf_insn is not sock_filter");
    #include "hp_source.h"
    static void hp_publish(const struct hp_filter **at, const struct hp_filter *filter)
    {
        __atomic_store_n(at, filter, __ATOMIC_RELEASE);
    }
    static int hp_accepts(const struct hp_filter **at, const struct hp_frame *frame)
    {
        const struct hp_filter *filter = __atomic_load_n(at, __ATOMIC_ACQUIRE);
        return !filter || filter->run(filter->insns[0], frame->data, frame->len, frame->caplen) != 0;
    }
    static FILE *hp_stdout(void) { return stdout; }
    static void hp_clear_errno(void) { errno = 0; }
    """
    unsigned int hp_run_filter(const void *, const uint8_t *, unsigned int, unsigned int) nogil
    void hp_publish(const hp_filter **, const hp_filter *)
    int hp_accepts(const hp_filter **, const hp_frame *) nogil
    FILE *hp_stdout()
    void hp_clear_errno() nogil


cdef extern from "hp_bpf.h" nogil:
    enum hp_link:
        HP_LINK_ETHER
        HP_LINK_RAW
        HP_LINK_SLL
        HP_LINK_SLL2
    int hp_bpf_tests_vlan(const sock_filter *, unsigned int, hp_link)
    int hp_bpf_fix_direction(const sock_filter *, unsigned int, int, sock_filter *)


NANOSECOND_MAGICS = (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d")
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
GZIP_MAGIC = b"\x1f\x8b"


cdef str text_of(const char *text):
    return (<bytes>text).decode("utf-8", "replace")


def lib_version() -> str:
    """libpcap's own version line."""
    return text_of(pcap_lib_version())


# ---- devices ----

def findalldevs() -> list:
    """The names of the devices that can be captured on, the likeliest first, as libpcap orders them.

    Raises PcapError when there is none or the list cannot be had. Source: pcap_findalldevs(3PCAP).
    """
    names = [name for name, _, _ in devices()]
    if not names:
        raise PcapError("findalldevs: no device to capture on; it takes root or CAP_NET_RAW")
    return names


def devices() -> list:
    """(name, description, flags) of each device; flags are PCAP_IF_*. Source: pcap_findalldevs(3PCAP)."""
    cdef pcap_if_t *first = NULL
    cdef pcap_if_t *each
    cdef char reason[PCAP_ERRBUF_SIZE]
    if pcap_findalldevs(&first, reason) != 0:
        raise PcapError(f"findalldevs: {text_of(reason)}")
    found = []
    each = first
    while each != NULL:
        found.append((text_of(each.name), text_of(each.description) if each.description else "", each.flags))
        each = each.next
    pcap_freealldevs(first)
    return found


def lookupdev() -> str:
    """The device that libpcap would choose: the first of the list, unless that is a loopback one.

    Raises PcapError when there is none. Source: pcap_lookupdev(3PCAP).
    """
    found = devices()
    if not found or found[0][2] & PCAP_IF_LOOPBACK:
        raise PcapError("lookupdev: no suitable device found; findalldevs() lists what there is")
    return found[0][0]


cpdef tuple lookupnet(str device):
    """(network, mask) of a device as integers in network order; (0, 0) where it has no IPv4 address."""
    cdef bpf_u_int32 net = 0
    cdef bpf_u_int32 mask = 0
    cdef char reason[PCAP_ERRBUF_SIZE]
    cdef bytes name = os.fsencode(device)
    if pcap_lookupnet(name, &net, &mask, reason) != 0:
        return 0, 0
    return net, mask


def tstamp_type_of(str kind) -> int:
    """The number of a time stamp type given by libpcap's name ("host", "adapter" ...)."""
    value = pcap_tstamp_type_name_to_val(kind.encode())
    if value < 0:
        raise PcapError(f"set_tstamp_type: {kind!r} is none of host, host_lowprec, host_hiprec, adapter, "
                        "adapter_unsynced")
    return value


def tstamp_types(str device) -> list:
    """The time stamp types a device offers, as libpcap's numbers; [0] (host) where it offers no choice."""
    cdef char reason[PCAP_ERRBUF_SIZE]
    cdef int *types = NULL
    cdef bytes name = os.fsencode(device)
    cdef pcap_t *handle = pcap_create(name, reason)
    if handle == NULL:
        raise PcapError(f"create {device}: {text_of(reason)}")
    nr = pcap_list_tstamp_types(handle, &types)
    found = [types[i] for i in range(nr)] if nr > 0 else [0]
    pcap_free_tstamp_types(types)
    pcap_close(handle)
    return found


# ---- filters ----

cdef class BPFProgram:
    """A compiled filter: ``BPFProgram(filter, linktype=DLT_EN10MB)``.

    Raises BPFError when the filter does not compile. Source: pcap_compile(3PCAP), pcapy's BPFProgram.
    """

    def __cinit__(self, *args, **kwargs):
        self.code.bf_insns = NULL

    def __init__(self, filter, /, linktype=1):
        if not isinstance(filter, str):
            raise TypeError(f"BPFProgram() argument 1 must be str, not {type(filter).__name__}")
        try:
            program_compile(self, filter, PyNumber_Index(linktype), 1 << 16, 0, 0)
        except PcapError as error:
            raise BPFError(f"Couldn't compile BPF program: {error}") from None

    def __dealloc__(self):
        pcap_freecode(&self.code)
        free(self.directed)

    def __len__(self):
        return self.code.bf_len

    def filter(self, packet, /) -> int:
        """How many bytes of ``packet`` (any buffer) the program accepts; 0: no match."""
        cdef Py_buffer view
        PyObject_GetBuffer(packet, &view, PyBUF_SIMPLE)
        accepted = bpf_filter(self.code.bf_insns, <const unsigned char *>view.buf, <unsigned int>view.len,
                              <unsigned int>view.len)
        PyBuffer_Release(&view)
        # pcapy gives a C int
        return <int>accepted

    def get_bpf(self) -> list:
        """The instructions as a list of (code, jt, jf, k)."""
        return [(self.code.bf_insns[i].code, self.code.bf_insns[i].jt, self.code.bf_insns[i].jf,
                 self.code.bf_insns[i].k) for i in range(self.code.bf_len)]


cdef int program_direct(BPFProgram program) except -1:
    """Prepares what the reader runs itself: where `inbound` or `outbound` is asked, one copy for each."""
    cdef unsigned int nr = program.code.bf_len
    cdef const sock_filter *code = <const sock_filter *>program.code.bf_insns
    cdef sock_filter *copies = <sock_filter *>malloc(2 * nr * sizeof(sock_filter))
    if copies == NULL:
        raise MemoryError(f"no memory for a program of {nr} instructions")
    program.filter_here.insns[0] = program.filter_here.insns[1] = code
    if hp_bpf_fix_direction(code, nr, 0, copies) == 0:
        free(copies)
        return 0
    hp_bpf_fix_direction(code, nr, 1, copies + nr)
    program.directed = copies
    program.filter_here.insns[0] = copies
    program.filter_here.insns[1] = copies + nr
    return 0


cdef hp_link link_of(int linktype):
    """The ring's name for a DLT_*; those without VLAN tags are all alike to a filter."""
    return {1: HP_LINK_ETHER, 113: HP_LINK_SLL, 276: HP_LINK_SLL2}.get(linktype, HP_LINK_RAW)


cdef int program_compile(BPFProgram program, str text, int linktype, int snaplen, int optimize,
                         uint32_t netmask) except -1:
    cdef pcap_t *dead
    cdef bytes expression = text.encode()
    cdef const char *source = expression
    cdef int rc
    if b"\0" in expression:
        raise ValueError("embedded null character")
    dead = pcap_open_dead_with_tstamp_precision(linktype, snaplen, PCAP_TSTAMP_PRECISION_MICRO)
    if dead == NULL:
        raise MemoryError("no memory to compile a filter")
    pcap_freecode(&program.code)
    with nogil:
        rc = pcap_compile(dead, &program.code, source, optimize, netmask)
    reason = text_of(pcap_geterr(dead)) if rc != 0 else ""
    pcap_close(dead)
    if rc != 0:
        program.code.bf_insns = NULL
        program.code.bf_len = 0
        raise PcapError(f"compile {text!r} for link type {linktype}: {reason}", operation="compile", detail=text)
    program.linktype = linktype
    program_direct(program)
    program.filter_here.run = hp_run_filter
    rc = hp_bpf_tests_vlan(<const sock_filter *>program.code.bf_insns, program.code.bf_len, link_of(linktype))
    if rc < 0:
        raise MemoryError(f"no memory to look through a program of {program.code.bf_len} instructions")
    program.filter_here.tests_vlan = rc
    return 0


cdef BPFProgram compile_filter(object text, int linktype, int snaplen, int optimize, uint32_t netmask):
    cdef BPFProgram program = BPFProgram.__new__(BPFProgram)
    program_compile(program, text, linktype, snaplen, optimize, netmask)
    return program


def compile(linktype, snaplen, str filter not None, optimize, netmask, /) -> BPFProgram:
    """Compiles a filter for a link type (DLT_*) and a snapshot length in bytes.

    ``netmask`` is needed for ``ip broadcast`` only (network order; 0xffffffff: unknown).
    Raises PcapError with libpcap's reason. Source: pcap_compile(3PCAP), pcapy's compile.
    """
    return compile_filter(filter, PyNumber_Index(linktype), PyNumber_Index(snaplen), PyNumber_Index(optimize),
                          PyNumber_Index(netmask) & 0xffffffff)


# ---- writing files ----

cdef class Dumper:
    """A pcap file being written; from ``Reader.dump_open()``. Usable with ``with``."""

    def __init__(self):
        raise TypeError("a Dumper comes from Reader.dump_open()")

    def __dealloc__(self):
        if self.dumper != NULL:
            pcap_dump_close(self.dumper)

    cdef int check(self, str operation) except -1:
        """Raises when the file has an error pending: a full disk shows only in stdio's flag."""
        if ferror(pcap_dump_file(self.dumper)):
            code = c_errno or errno.EIO
            raise from_errno(code, operation, self.name)
        return 0

    cdef int put(self, int64_t sec, uint32_t nsec, uint32_t caplen, uint32_t length, const uint8_t *data) except -1:
        cdef pcap_pkthdr hdr
        if self.dumper == NULL:
            raise PcapError("Dumper is already closed.")
        hdr.ts.tv_sec = sec
        hdr.ts.tv_usec = nsec if self.nanoseconds else nsec // 1000
        hdr.caplen = caplen
        hdr.len = length
        pcap_dump(<unsigned char *>self.dumper, &hdr, data)
        return self.check("write")

    def dump(self, hdr, packet, /) -> None:
        """Writes one packet: ``hdr`` a Pkthdr, ``packet`` any buffer with at least its caplen bytes.

        Raises PcapError when the Dumper is closed, ``hdr`` is no Pkthdr or the disk is full, and ValueError
        when the packet is shorter than its header says. Source: pcap_dump(3PCAP).
        """
        cdef Py_buffer view
        cdef Pkthdr header
        PyObject_GetBuffer(packet, &view, PyBUF_SIMPLE)
        try:
            if not isinstance(hdr, Pkthdr):
                raise PcapError(f"Not a pkthdr object: {type(hdr).__name__}")
            header = <Pkthdr>hdr
            if view.len < header.caplen:
                raise ValueError(f"dump: the header says {header.caplen} bytes, the packet has {view.len}")
            self.put(header.sec, header.nsec, header.caplen, header.length, <const uint8_t *>view.buf)
        finally:
            PyBuffer_Release(&view)

    def flush(self) -> None:
        """Hands everything dumped so far to the kernel. Raises PcapError when the disk is full."""
        if self.dumper == NULL:
            raise PcapError("Dumper is already closed.")
        if pcap_dump_flush(self.dumper) != 0:
            raise from_errno(c_errno, "flush", self.name)

    def close(self) -> None:
        """Flushes and closes the file; a second call does nothing."""
        if self.dumper == NULL:
            return
        failed = c_errno if fflush(pcap_dump_file(self.dumper)) != 0 else 0
        pcap_dump_close(self.dumper)
        self.dumper = NULL
        if failed:
            raise from_errno(failed, "close", self.name)

    def __enter__(self):
        if self.dumper == NULL:
            raise PcapError("Dumper is already closed.")
        return self

    def __exit__(self, *exc_info):
        self.close()


cpdef bytes path_bytes(path):
    """A path as the system takes it. TypeError for what is none, ValueError for one with a null in it."""
    cdef bytes name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null character")
    return name


cdef Dumper _new_dumper(str name, bint nanoseconds):
    cdef Dumper dumper = Dumper.__new__(Dumper)
    dumper.name = name
    dumper.nanoseconds = nanoseconds
    return dumper


def open_dumper(path, int linktype, int snaplen, bint nanoseconds, bint append) -> Dumper:
    """A Dumper on ``path`` ("-": standard output); appending wants a file of the same kind."""
    cdef bytes name = path_bytes(path)
    cdef Dumper dumper = _new_dumper(os.fsdecode(path), nanoseconds)
    cdef pcap_t *dead
    cdef FILE *out = NULL
    if not append and name != b"-":
        out = fopen(name, b"wbe")
        if out == NULL:
            raise from_errno(c_errno, "dump_open", dumper.name)
    elif not append:
        out = hp_stdout()
    dead = pcap_open_dead_with_tstamp_precision(
        linktype, snaplen, PCAP_TSTAMP_PRECISION_NANO if nanoseconds else PCAP_TSTAMP_PRECISION_MICRO)
    if dead == NULL:
        raise MemoryError("no memory for a dumper")
    dumper.dumper = pcap_dump_open_append(dead, name) if append else pcap_dump_fopen(dead, out)
    reason = text_of(pcap_geterr(dead)) if dumper.dumper == NULL else ""
    pcap_close(dead)
    if dumper.dumper == NULL:
        raise PcapError(f"dump_open {dumper.name}: {reason}", operation="dump_open", detail=dumper.name)
    return dumper


# ---- reading through libpcap ----

cdef int pull(void *ctx, hp_frame *frame) noexcept nogil:
    """hp_source's pull: one packet of a pcap_t. Pairs with struct hp_source in hp_source.h."""
    cdef pull_state *state = <pull_state *>ctx
    cdef int rc = pull_any(state, frame)
    while rc == HP_FRAME and not hp_accepts(&state.filter, frame):
        rc = pull_any(state, frame)
    return rc


cdef int pull_any(pull_state *state, hp_frame *frame) noexcept nogil:
    """One packet, whatever state.filter says of it."""
    cdef pcap_pkthdr *hdr = NULL
    cdef const unsigned char *data = NULL
    cdef int rc
    hp_clear_errno()
    rc = pcap_next_ex(state.handle, &hdr, &data)
    if rc == 1:
        state.packets += 1
        if state.pipe != NULL:
            state.pipe.mark = state.pipe.next
        frame.data = <uint8_t *>data
        frame.caplen = hdr.caplen
        frame.len = hdr.len
        frame.sec = <uint32_t>hdr.ts.tv_sec if state.seconds_unsigned else hdr.ts.tv_sec
        frame.nsec = <uint32_t>hdr.ts.tv_usec * state.nsec_factor
        frame.status = 0
        return HP_FRAME
    if state.pipe != NULL and state.pipe.dry:
        clearerr(pcap_file(state.handle))
        rewind(state.pipe)
        return HP_NONE
    # libpcap's netfilter reader calls it an error when a non-blocking socket has nothing
    if rc == 0 or (rc == -1 and c_errno == EAGAIN):
        return HP_NONE
    return HP_EOF if rc == -2 else -5    # EIO; the reason is the handle's


cdef class PcapHandle:
    def __dealloc__(self):
        self.shut()

    cdef void shut(self):
        if self.handle != NULL:
            pcap_close(self.handle)
        self.handle = NULL

    cdef int raise_interrupt(self) except -1:
        """Lets out what a signal's handler raised while libpcap was opening a Pipe."""
        return -1 if PyErr_Occurred() != NULL else 0

    cdef int fd(self):
        if self.pipe is not None:
            return self.pipe.state.fd
        return fileno(pcap_file(self.handle)) if self.offline else pcap_get_selectable_fd(self.handle)

    cdef str reason(self):
        return text_of(pcap_geterr(self.handle))

    cdef void adopt(self, pcap_t *handle, uint32_t nsec_factor):
        self.handle = handle
        self.state.handle = handle
        self.state.nsec_factor = nsec_factor
        self.state.packets = 0
        self.state.pipe = &self.pipe.state if self.pipe is not None else NULL

    def read_error(self):
        """The exception for a pull that failed."""
        if not self.offline:
            return PcapError(f"read {self.name}: {self.reason()}", operation="read", detail=self.name)
        where = f"after {self.state.packets} packets"
        offset = ftell(pcap_file(self.handle))
        if offset >= 0:
            where += f", at byte {offset}"
        return PcapCorruptError(f"read {self.name}: {where}: {self.reason()}", errno=errno.EBADMSG,
                                operation="read", detail=self.name)

    def check(self, int rc, str operation, detail=""):
        if rc != 0:
            raise PcapError(f"{operation} {detail}: {self.reason()}" if detail else f"{operation}: {self.reason()}",
                            operation=operation, detail=str(detail))

    def setfilter(self, BPFProgram program not None):
        """A file's is run by pull() and must stay while anyone reads; a device's is not for while another thread reads.

        pcap_setfilter() frees the program before, which a thread in pcap_next_ex() may be running.
        """
        if not self.offline:
            self.check(pcap_setfilter(self.handle, &program.code), "setfilter")
            return
        if program.directed != NULL:
            raise PcapError("setfilter: inbound and outbound are for live captures: a file does not have them")
        hp_publish(&self.state.filter, &program.filter_here)

    def setdirection(self, int direction):
        self.check(pcap_setdirection(self.handle, <pcap_direction_t>direction), "setdirection", direction)

    def stats(self):
        cdef pcap_stat counters
        self.check(pcap_stats(self.handle, &counters), "stats", self.name)
        return counters.ps_recv, counters.ps_drop, counters.ps_ifdrop

    def sendpacket(self, packet):
        cdef Py_buffer view
        PyObject_GetBuffer(packet, &view, PyBUF_SIMPLE)
        try:
            self.check(pcap_sendpacket(self.handle, <const unsigned char *>view.buf, <int>view.len),
                       "sendpacket", f"{view.len} bytes on {self.name}")
        finally:
            PyBuffer_Release(&view)

    def datalink(self):
        return pcap_datalink(self.handle)

    def snapshot(self):
        return pcap_snapshot(self.handle)

    def fileno(self):
        return pcap_fileno(self.handle)

    def list_datalinks(self):
        cdef int *list = NULL
        nr = pcap_list_datalinks(self.handle, &list)
        if nr < 0:
            self.check(nr, "list_datalinks")
        found = [list[i] for i in range(nr)]
        pcap_free_datalinks(list)
        return found

    def set_datalink(self, int linktype):
        self.check(pcap_set_datalink(self.handle, linktype), "set_datalink", linktype)


cdef FILE *open_for_reading(bytes name, PcapHandle opened) except NULL:
    """A regular file as it is; standard input, FIFOs and terminals through a Pipe, which never waits."""
    cdef bint standard_input = name == b"-"
    try:
        fd = os.dup(0) if standard_input else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_errno(error.errno, "open_offline", opened.name) from None
    kind = os.fstat(fd).st_mode
    if stat.S_ISDIR(kind):
        os.close(fd)
        raise from_errno(errno.EISDIR, "open_offline", opened.name)
    if stat.S_ISREG(kind):
        opened.begins = os.lseek(fd, 0, os.SEEK_CUR)
        return fdopen(fd, b"rb")
    opened.pipe = Pipe(fd)
    return opened.pipe.file()


cdef bytes peek_magic(int fd):
    """The next four bytes of a regular file, which stay unread."""
    try:
        return os.pread(fd, 4, os.lseek(fd, 0, os.SEEK_CUR))
    except OSError:
        return b""


def open_savefile(path) -> PcapHandle:
    """A pcap or pcapng file ("-": standard input), time stamps in nanoseconds."""
    cdef char reason[PCAP_ERRBUF_SIZE]
    cdef bytes name = path_bytes(path)
    cdef PcapHandle opened = PcapHandle.__new__(PcapHandle)
    cdef pcap_t *handle
    cdef FILE *file
    opened.name = os.fsdecode(name)
    opened.offline = True
    file = open_for_reading(name, opened)
    magic = peek_magic(fileno(file)) if opened.pipe is None else b""
    reason[0] = 0
    with nogil:
        handle = pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, reason)
    if opened.pipe is not None:
        magic = opened.pipe.magic()
    if handle == NULL:
        fclose(file)
        opened.raise_interrupt()
        hint = "; it is gzip-compressed: unpack it with gunzip, or pipe zcat into open_offline('-')" \
            if magic[:2] == GZIP_MAGIC else ""
        raise PcapCorruptError(f"open_offline {opened.name}: {text_of(reason)}{hint}", errno=errno.EBADMSG,
                               operation="open_offline", detail=opened.name)
    if opened.pipe is not None:
        opened.pipe.opened(magic == PCAPNG_MAGIC)
    opened.state.seconds_unsigned = magic != PCAPNG_MAGIC
    opened.nanoseconds = magic in NANOSECOND_MAGICS or magic == PCAPNG_MAGIC
    opened.adopt(handle, 1)
    return opened


def open_device(str device, *, int snaplen, bint promisc, int timeout_ms, int buffer_bytes, bint rfmon,
                bint immediate, int tstamp_type) -> tuple:
    """(PcapHandle or None, status, reason): libpcap's own capture of a device, non-blocking."""
    cdef char reason[PCAP_ERRBUF_SIZE]
    cdef bytes name = os.fsencode(device)
    cdef PcapHandle opened = PcapHandle.__new__(PcapHandle)
    cdef pcap_t *handle = pcap_create(name, reason)
    cdef int rc
    if handle == NULL:
        return None, -1, text_of(reason)
    opened.name = device
    pcap_set_snaplen(handle, snaplen)
    pcap_set_promisc(handle, promisc)
    pcap_set_timeout(handle, timeout_ms)
    if buffer_bytes > 0:
        pcap_set_buffer_size(handle, buffer_bytes)
    pcap_set_rfmon(handle, rfmon)
    pcap_set_immediate_mode(handle, immediate)
    if tstamp_type >= 0:
        pcap_set_tstamp_type(handle, tstamp_type)
    pcap_set_tstamp_precision(handle, PCAP_TSTAMP_PRECISION_NANO)
    with nogil:
        rc = pcap_activate(handle)
    opened.adopt(handle, 1 if pcap_get_tstamp_precision(handle) == PCAP_TSTAMP_PRECISION_NANO else 1000)
    said = text_of(pcap_geterr(handle))
    known = text_of(pcap_statustostr(rc))
    # libpcap's own wording in pcap_open_live(3PCAP): the general reason, then the particular one
    text = said if rc == -1 else f"{known} ({said})" if said else known
    if rc < 0:
        return None, rc, f"{device}: {text}"
    pcap_setnonblock(handle, 1, reason)
    return opened, rc, text
