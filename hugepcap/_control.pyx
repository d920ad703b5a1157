# SPDX-License-Identifier: BSD-3-Clause
"""Control: filters, directions, modes and what can be asked of a capture that runs."""

import socket

from libc.stdint cimport uint32_t

from ._capture cimport Capture, as_program, check_filter
from ._hp cimport hp_source_settle
from ._pcap cimport BPFProgram, Dumper
from ._regular cimport RegularFile

from . import _capture, _pcap, _ring
from .errors import PcapError


cdef class Control(Capture):
    """What is set and asked while a capture runs."""

    def setfilter(self, filter, /) -> None:
        """Sets a filter: a libpcap expression, or a BPFProgram compiled for this link type.

        The kernel runs it where it can, else the reader. Packets queued before it are filtered too.
        Raises PcapError when it does not compile or fits another link type. Source: pcap-filter(7).
        """
        cdef BPFProgram program
        self.check_open()
        check_filter(filter)
        self.use()    # compiling lets other threads run
        try:
            program = as_program(filter, self.datalink(), self.snapshot, self.mask)
            if self.ring_engine is not None:
                self.change_filter(program)
            else:
                self.apply_pcap_filter(program)
        finally:
            self.unuse()

    cdef int change_filter(self, BPFProgram program) except -1:
        """The ring's filter, None: none; of a held capture from admit() on."""
        if self.held:
            return self.keep_filter(program, NULL)
        return self.apply_filter(program)

    def admit(self) -> None:
        """Lets packets in, to a capture opened with ``held=True``; from any thread."""
        self.check_mine()
        if self.held and self.ring_engine is not None:
            self.apply_filter(self.program)
        self.held = False

    def setdirection(self, direction, /) -> None:
        """PCAP_D_INOUT, PCAP_D_IN or PCAP_D_OUT. Raises PcapError for another value and on files."""
        cdef int way = self.int_arg(direction, "setdirection(direction)")
        self.check_mine()
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
        cdef int on = self.int_arg(state, "setnonblock(state)")
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
        return self.pcap_engine.datalink() if self.pcap_engine is not None else _capture.ERROR_NOT_ACTIVATED

    def list_datalinks(self) -> list:
        """The link types that set_datalink() takes here."""
        self.check_active()
        return _ring.datalinks_beside(self.datalink()) if self.ring_engine is not None \
            else self.pcap_engine.list_datalinks()

    def set_datalink(self, linktype, /) -> None:
        """Chooses one of list_datalinks(): on `any` DLT_LINUX_SLL or DLT_LINUX_SLL2. Drops the filter.

        Not while another thread reads: PcapError. Source: pcap_set_datalink(3PCAP).
        """
        cdef int chosen = self.int_arg(linktype, "set_datalink(linktype)")
        self.check_mine()
        if self.read_elsewhere():
            raise PcapError("set_datalink: another thread is reading, whose packets would be of either link type; "
                            "end its read first, with breakloop()")
        if chosen not in self.list_datalinks():
            raise PcapError(f"set_datalink: {chosen} is not a link type of {self.device or self.path}; "
                            f"there are {self.list_datalinks()}")
        if self.ring_engine is None:
            self.pcap_engine.set_datalink(chosen)
            return
        self.ring_engine.set_datalink(chosen)
        self.change_filter(None)    # the old one does not fit the new layout

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
        self.check_mine()
        if self.ring_engine is not None:
            return self.ring_engine.stats()
        return self.pcap_engine.stats()

    def dump_open(self, path, /, *, bint append=False, nanoseconds=None) -> Dumper:
        """A Dumper writing a pcap file of this link type to ``path`` ("-": standard output).

        ``nanoseconds`` None: if the source has them (a nanosecond file, set_tstamp_precision(1)).
        Raises PcapError. Source: pcap_dump_open(3PCAP).
        """
        self.check_open()
        _pcap.path_bytes(path)    # what is wrong with it comes before what is wrong with the Reader
        self.check_active()
        if nanoseconds is None:
            nanoseconds = self.tstamp_precision == _capture.TSTAMP_PRECISION_NANO
        return _pcap.open_dumper(path, self.datalink(), self.snapshot, nanoseconds, append)

    def sendpacket(self, packet, /) -> None:
        """Sends a packet (any buffer, link-layer header included). Source: pcap_sendpacket(3PCAP)."""
        self.check_open()
        packet = memoryview(packet)
        self.use()
        try:
            if self.ring_engine is not None:
                self.ring_engine.sendpacket(packet)
            else:
                self.pcap_engine.sendpacket(packet)
        finally:
            self.unuse()

    def set_fanout(self, group_id, fanout_type=0) -> None:
        """Joins a PACKET_FANOUT group: its members share the traffic of their device. Source: packet(7)."""
        cdef int group = self.int_arg(group_id, "set_fanout(group_id)")
        cdef int kind = self.int_arg(fanout_type, "set_fanout(fanout_type)")
        self.check_mine()
        if self.ring_engine is None:
            raise PcapError(f"set_fanout: {self.device or self.path} is no live packet socket")
        self.ring_engine.set_fanout(group, kind)
        self.src.loopback = self.ring_engine.doubles
        hp_source_settle(&self.src)

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
        """Who reads: "ring" (ours, live), "savefile" (ours), "libpcap" for all else; None before activate()."""
        if self.ring_engine is not None:
            return "ring"
        if self.pcap_engine is not None:
            return "savefile" if isinstance(self.pcap_engine, RegularFile) else "libpcap"
        return None

    @property
    def ring(self):
        """The Ring of a live Reader: its sizes and policy; None where there is none."""
        return self.ring_engine

    @property
    def snapshot(self) -> int:
        """The snapshot length in bytes."""
        return self.pcap_engine.snapshot() if self.pcap_engine is not None else self.snaplen


cdef str dotted(uint32_t address):
    return socket.inet_ntoa((<const char *>&address)[:4])
