# SPDX-License-Identifier: BSD-3-Clause
"""Capture: what a Reader is set up with, and how it is activated."""

import errno
import os

from libc.stdint cimport uint32_t

from ._hp cimport HP_RING_BYTES_MAX
from ._pcap cimport BPFProgram, compile_filter, lookupnet
from ._source cimport Source, as_index, out_of_range

from . import _pcap, _ring
from .errors import PcapError, PcapPermissionError, error_class
from .settings import check_block_bytes, check_policy, from_environment

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


cdef class Capture(Source):
    """The settings of a Reader, and its activation."""

    def __cinit__(self):
        self.snaplen = _ring.MAXIMUM_SNAPLEN
        self.tstamp_type = -1

    cdef int aim(self, str device) except -1:
        """Names the device to be captured on."""
        if "\0" in device:
            raise ValueError("embedded null character")
        self.device = device
        self.net, self.mask = lookupnet(device)
        self.settings = from_environment()
        return 0

    cdef int set_before_activation(self) except -1:
        self.check_open()
        return 0 if self.ring_engine is None and self.pcap_engine is None else ERROR_ACTIVATED

    def set_snaplen(self, snaplen, /) -> int:
        """Bytes to capture of each packet; outside 1..262144: all. 0, or -4 when already activated."""
        cdef int wanted = self.int_arg(snaplen, "set_snaplen(snaplen)")
        rc = self.set_before_activation()
        if rc == 0:
            self.snaplen = wanted if 0 < wanted <= _ring.MAXIMUM_SNAPLEN else _ring.MAXIMUM_SNAPLEN
        return rc

    def set_promisc(self, promisc, /) -> int:
        """Whether to take in packets for others as well. 0, or -4 when already activated."""
        cdef int on = self.int_arg(promisc, "set_promisc(promisc)")
        rc = self.set_before_activation()
        if rc == 0:
            self.promisc = on != 0
        return rc

    def set_timeout(self, to_ms, /) -> int:
        """How many ms a read waits on an idle link; 0 or less: for ever. 0, or -4 when already activated."""
        cdef int wait_ms = self.int_arg(to_ms, "set_timeout(to_ms)")
        rc = self.set_before_activation()
        if rc == 0:
            self.timeout_ms = wait_ms
        return rc

    def set_buffer_size(self, buffer_size, /) -> int:
        """Bytes of the ring, 64 MiB unless set; 0 or less is ignored. 0, or -4 when already activated.

        Up to 65,535 blocks of 2 MiB (128 GiB); pcapy-ng ends below 2^31. OverflowError beyond.
        """
        rc = self.set_before_activation()
        wanted = as_index(buffer_size, "set_buffer_size(buffer_size)")
        if wanted > HP_RING_BYTES_MAX or wanted < -(1 << 31):
            raise out_of_range(wanted, "set_buffer_size(buffer_size)", -(1 << 31), HP_RING_BYTES_MAX)
        if rc == 0 and wanted > 0:
            self.settings.ring_bytes = wanted
        return rc

    def set_policy(self, policy, /) -> int:
        """Where the ring's memory comes from. 0, or -4 when already activated; ValueError for an unknown name.

        "auto": hugetlb, else thp, else stock. "hugetlb": huge pages of the pool; "thp": huge pages that the
        kernel allocates; both take a kernel with CONFIG_PACKET_HUGE. "stock": the kernel's own ring, anywhere.
        "gfpnoretry", "vzalloc", "gfpretry": one attempt of the stock allocator alone.
        """
        rc = self.set_before_activation()
        check_policy(policy)
        if rc == 0:
            self.settings.policy = policy
        return rc

    def set_block_bytes(self, block_bytes, /) -> int:
        """Bytes of one block, whole pages; 0: as suits. 0, or -4 when already activated; ValueError."""
        rc = self.set_before_activation()
        wanted = check_block_bytes(as_index(block_bytes, "set_block_bytes(block_bytes)"))
        if rc == 0:
            self.settings.block_bytes = wanted
        return rc

    def set_strict(self, strict, /) -> int:
        """Whether a ring of another memory or size than asked for is refused. 0, or -4 when already activated."""
        rc = self.set_before_activation()
        if rc == 0:
            self.settings.strict = bool(strict)
        return rc

    def set_rfmon(self, rfmon, /) -> int:
        """Monitor mode for a wireless device (through libpcap). 0, or -4 when already activated."""
        cdef int on = self.int_arg(rfmon, "set_rfmon(rfmon)")
        rc = self.set_before_activation()
        if rc == 0:
            self.rfmon = on != 0
        return rc

    def set_immediate_mode(self, immediate, /) -> int:
        """Hands packets over within about a millisecond, at the cost of more and emptier blocks."""
        cdef int on = self.int_arg(immediate, "set_immediate_mode(immediate)")
        rc = self.set_before_activation()
        if rc == 0:
            self.immediate = on != 0
        return rc

    def set_tstamp_precision(self, precision, /) -> int:
        """0 micro-, 1 nanoseconds: what dump_open() writes. Pkthdr.ts_ns has nanoseconds in either case.

        0; -4 when already activated; -12 for another value. Source: pcap_set_tstamp_precision(3PCAP).
        """
        cdef int wanted = self.int_arg(precision, "set_tstamp_precision(precision)")
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
        number = _pcap.tstamp_type_of(kind) if isinstance(kind, str) else self.int_arg(kind, "set_tstamp_type(kind)")
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
            settings=self.settings, immediate=self.immediate, tstamp_type=self.tstamp_type, program=program,
            held=self.held), program)
        return 0

    cdef int start_libpcap(self, filter) except? -1000:
        """Activates through libpcap; its refusals come out with libpcap's own words and status."""
        handle, status, reason = _pcap.open_device(
            self.device, snaplen=self.snaplen, promisc=self.promisc, timeout_ms=self.timeout_ms,
            buffer_bytes=min(self.settings.ring_bytes, 0x7fffffff), rfmon=self.rfmon, immediate=self.immediate,
            tstamp_type=self.tstamp_type)
        if handle is None:
            raise self.libpcap_error(status, reason)
        self.adopt_pcap(handle)
        if filter is not None:
            handle.setfilter(as_program(filter, handle.datalink(), self.snaplen, self.mask))
        return status

    cdef object libpcap_error(self, int status, str reason):
        """The exception for libpcap's refusal; ours, which says more, where there is no such device."""
        error = _ring.device_error(self.device) if status == ERROR_NO_SUCH_DEVICE else None
        if error is None:
            code = ERRNO_OF_STATUS.get(status) or errno_said(reason)
            if error_class(code) is PcapPermissionError:
                reason += "; it takes root, or CAP_NET_RAW and CAP_NET_ADMIN"
            error = error_class(code)(reason, errno=code, operation="open", detail=self.device)
        error.status = status
        return error


cdef int errno_said(str reason):
    """The errno whose text ends libpcap's, of those that have an exception of their own; 0 for none."""
    for code in STATUS_OF_ERRNO:
        if reason.endswith(os.strerror(code)):
            return code
    return 0


cdef int check_filter(filter) except -1:
    """Raises for what cannot be a filter on any Reader."""
    if isinstance(filter, BPFProgram):
        return 0
    if not isinstance(filter, str):
        raise TypeError(f"a filter is a str or a BPFProgram, not {type(filter).__name__}")
    if "\0" in filter:
        raise ValueError("embedded null character")
    return 0


cdef BPFProgram as_program(filter, int linktype, int snaplen, uint32_t netmask):
    """The program of a filter given as text or as a program already."""
    check_filter(filter)
    if isinstance(filter, BPFProgram):
        if (<BPFProgram>filter).linktype != linktype:
            raise PcapError(f"setfilter: the program was compiled for link type {(<BPFProgram>filter).linktype}, "
                            f"packets here are of type {linktype}")
        return filter
    return compile_filter(filter, linktype, snaplen, 1, netmask)
