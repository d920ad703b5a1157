# SPDX-License-Identifier: BSD-3-Clause
"""Ring: the packet socket, its TPACKET_V3 ring and what can be asked of both."""

import errno
import mmap
import os
import warnings
from pathlib import Path

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint16_t, uint32_t
from posix.unistd cimport close, getpid

from ._hp cimport (
    BPF_MAXINSNS, HP_LINK_ETHER, HP_LINK_RAW, HP_LINK_SLL, HP_LINK_SLL2, HP_POLICY_AUTO, HP_POLICY_NAMES,
    HP_POLICY_NR, HP_RING_BYTES_MAX, hp_bpf_for_socket, hp_device, hp_device_find, hp_err, hp_geometry_fit,
    hp_mem_info, hp_policy, hp_policy_name, hp_policy_parse, packet_huge_info, hp_ring_close, hp_ring_node, hp_ring_open,
    hp_ring_pending, hp_ring_want, hp_size_parse, hp_sock_attach, hp_sock_bind, hp_sock_error, hp_sock_fanout,
    hp_sock_hw_timestamps, hp_sock_ignore_outgoing, hp_sock_link_state, hp_sock_open, hp_sock_promisc, hp_sock_reject,
    hp_sock_send, hp_sock_silence, hp_sock_stats,
)
from ._pcap cimport BPFProgram, sock_filter

from .errors import PcapDeviceError, PcapError, error_class, from_errno

DEFAULT_RING_BYTES = 64 << 20
# libpcap's limit: what "all of a packet" means
MAXIMUM_SNAPLEN = 262144
RING_BYTES_MAX = HP_RING_BYTES_MAX
BLOCK_BYTES_MAX = 1 << 30
PAGE_BYTES = mmap.PAGESIZE
POLICIES = tuple((<bytes>HP_POLICY_NAMES).decode().split())

# The kernel hands over a block that is not full after at most this time, whatever the read timeout: packets of a
# quiet link come soon, and a ring of 256 blocks still spans 25 s of such hand-overs.
RETIRE_MS_MAX = 100
RETIRE_MS_IMMEDIATE = 1

# How much of the memory that is free now a ring may take. More would set off the kernel's OOM killer, which
# af_packet's allocation of the last resort does not avoid.
FREE_MEMORY_SHARE = 0.75

FANOUT_IGNORE_OUTGOING = 0x4000    # PACKET_FANOUT_FLAG_IGNORE_OUTGOING

TSTAMP_ADAPTER = 3
TSTAMP_ADAPTER_UNSYNCED = 4

DLT_EN10MB = 1
DLT_RAW = 12
DLT_LINUX_SLL = 113
DLT_LINUX_SLL2 = 276

LINK_DLT = {HP_LINK_ETHER: DLT_EN10MB, HP_LINK_RAW: DLT_RAW, HP_LINK_SLL: DLT_LINUX_SLL,
            HP_LINK_SLL2: DLT_LINUX_SLL2}


cdef int check(int rc, hp_err *err, str more="") except -1:
    """Raises what the C core reported, with what its caller knows; passes its result on where it did not fail."""
    if rc < 0:
        raise from_errno(err.code, (<bytes>err.op).decode(), (<bytes>err.detail).decode("utf-8", "replace") + more)
    return rc


def datalink_of(str device):
    """DLT_* of a device that our ring can capture on; None for any other, or none, which are libpcap's."""
    cdef hp_device dev
    cdef hp_err err
    cdef bytes name = os.fsencode(device)
    if hp_device_find(&dev, name, &err) < 0:
        return None
    return LINK_DLT.get(dev.link)


def device_error(str device):
    """The exception for a device that is not there; None where it is."""
    cdef hp_device dev
    cdef hp_err err
    cdef bytes name = os.fsencode(device)
    if hp_device_find(&dev, name, &err) == 0:
        return None
    return error_class(err.code)(f"open {device}: {os.strerror(err.code)}; findalldevs() lists those there are",
                                 errno=err.code, operation="open", detail=device)


def datalinks_beside(int linktype) -> list:
    """The link types between which a ring of the given one can be switched."""
    return [DLT_LINUX_SLL, DLT_LINUX_SLL2] if linktype in (DLT_LINUX_SLL, DLT_LINUX_SLL2) else [linktype]


def retire_ms_for(int timeout_ms, bint immediate) -> int:
    """The block timeout in ms for a read timeout in ms (0 or less: none)."""
    if immediate:
        return RETIRE_MS_IMMEDIATE
    return min(timeout_ms, RETIRE_MS_MAX) if timeout_ms > 0 else RETIRE_MS_MAX


def parse_size(str text) -> int:
    """Bytes of a size such as "256M" (powers of 1024). ValueError for what is none, and for 0."""
    cdef uint64_t size = 0
    cdef bytes given = text.encode()
    if hp_size_parse(given, &size) < 0 or size == 0:
        raise ValueError(f"{text!r} is no size: give bytes, or a number with K, M, G or T, such as 256M")
    return size


def free_memory_bytes() -> int:
    """MemAvailable of /proc/meminfo in bytes; 0 where that cannot be read. Source: proc(5)."""
    try:
        with open("/proc/meminfo") as lines:
            return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 0


def interface_drops(str device, int ifindex) -> int:
    """Packets the device itself has lost since boot, as libpcap's ps_ifdrop counts them (sysfs statistics).

    0 where sysfs shows another network namespace than this one: its device of the same name has another index.
    """
    directory = Path("/sys/class/net", device)
    try:
        if int((directory / "ifindex").read_text()) != ifindex:
            return 0
        return sum(int((directory / "statistics" / counter).read_text())
                   for counter in ("rx_missed_errors", "rx_fifo_errors"))
    except (OSError, ValueError):
        return 0


cdef class Ring:
    """The ring of a live Reader, as ``reader.ring`` shows it: sizes in bytes, ``policy`` of its memory."""

    def __cinit__(self):
        self.fd = -1

    def __init__(self):
        raise TypeError("a Ring comes with a Reader, as reader.ring")

    def __dealloc__(self):
        if self.fd >= 0:
            self.shut()

    cdef void shut(self):
        """Ends the capture. What batches still need of the ring's memory stays until they are gone."""
        cdef int fd = self.fd
        cdef bint leased = self.leases != 0    # else a batch that ends meanwhile would close the ring, too
        self.fd = -1
        # In the child of a fork the socket is the parent's, too, which reads on.
        if leased and self.pid == getpid():
            hp_sock_silence(fd, &self.dev)
        with nogil:    # closing waits for every CPU to leave the ring
            if not leased:
                hp_ring_close(&self.ring)
            if fd >= 0:
                close(fd)

    cdef int hold(self) except -1:
        """Lets nothing in until attach() is called again."""
        cdef int rc = hp_sock_reject(self.fd)
        if rc < 0:
            raise from_errno(-rc, "SO_ATTACH_FILTER", f"on {self.device}")
        return 0

    def silence(self) -> None:
        """Takes no more packets in; what is in the ring stays."""
        hp_sock_silence(self.fd, &self.dev)

    cdef void lease_ends(self):
        """A batch no longer needs the ring's memory."""
        self.leases -= 1
        if self.leases == 0 and self.fd < 0:
            with nogil:
                hp_ring_close(&self.ring)

    @property
    def block_bytes(self) -> int:
        """Bytes of one block, the unit that changes hands between kernel and reader."""
        return self.ring.geo.block_bytes

    @property
    def block_nr(self) -> int:
        """How many blocks the ring has."""
        return self.ring.geo.block_nr

    @property
    def ring_bytes(self) -> int:
        """Bytes of the whole ring."""
        return <uint64_t>self.ring.geo.block_bytes * self.ring.geo.block_nr

    @property
    def retire_ms(self) -> int:
        """After how many milliseconds the kernel hands over a block that is not full."""
        return self.ring.geo.retire_ms

    @property
    def policy(self) -> str:
        """Where the ring's memory comes from: "hugetlb", "thp", "stock" (the kernel's own PACKET_RX_RING) ..."""
        return hp_policy_name(self.ring.grant.policy).decode()

    @property
    def refused(self) -> dict:
        """Why the ring is not of better memory: the reason of each policy that was tried before."""
        cdef int i
        reasons = {}
        for i in range(HP_POLICY_NR):
            if self.ring.grant.refused[i].code:
                reasons[hp_policy_name(<hp_policy>i).decode()] = refusal(&self.ring.grant.refused[i])
        return reasons

    @property
    def user_page_bytes(self) -> int:
        """Bytes of the smallest page in the reader's mapping of the ring."""
        return self.user_page

    @property
    def kernel_page_bytes(self):
        """Bytes of the smallest page in the kernel's mapping; None where the kernel does not tell (stock ones)."""
        return self.kernel_page or None

    @property
    def pinned_bytes(self) -> int:
        """Bytes of the process's own memory that the ring keeps in place (policy hugetlb)."""
        return self.pinned

    @property
    def numa_node(self):
        """The NUMA node of the ring's first block; None where the kernel does not tell."""
        return self.node if self.node >= 0 else None

    @property
    def held_blocks(self) -> int:
        """Blocks that batches, or the reader's place in one, keep from the kernel."""
        return <int>(self.ring.taken - self.ring.released)

    @property
    def pending_blocks(self) -> int:
        """Blocks that the kernel has handed over and that are not yet read."""
        return hp_ring_pending(&self.ring) if self.fd >= 0 else 0

    def __repr__(self):
        return (f"<hugepcap.Ring {self.block_nr} x {self.block_bytes} bytes on {self.device}, {self.policy}>")

    @property
    def device(self) -> str:
        """The device's name."""
        return (<bytes>self.dev.name).decode()

    @property
    def datalink(self) -> int:
        """DLT_* of the packets as they are delivered."""
        return LINK_DLT[self.dev.link]

    def set_datalink(self, int linktype) -> None:
        """Switches the cooked header of `any` between DLT_LINUX_SLL and DLT_LINUX_SLL2."""
        if self.dev.link == HP_LINK_SLL or self.dev.link == HP_LINK_SLL2:
            self.dev.link = HP_LINK_SLL2 if linktype == DLT_LINUX_SLL2 else HP_LINK_SLL

    cdef int attach(self, BPFProgram program) except -1:
        """Attaches a filter (None: all packets), cut at snaplen; kernel_filters says whether the kernel could.

        With the GIL held: of two threads' filters one is in force as a whole, and close() does not come between.
        """
        cdef sock_filter out[BPF_MAXINSNS]
        cdef const sock_filter *insns = NULL
        cdef unsigned int insns_nr = 0
        cdef int nr, rc
        if program is not None:
            insns = <const sock_filter *>program.code.bf_insns
            insns_nr = program.code.bf_len
        nr = hp_bpf_for_socket(insns, insns_nr, self.dev.link, self.snaplen, out)
        rc = hp_sock_attach(self.fd, out, nr) if nr > 0 else -1
        self.kernel_filters = rc == 0
        if self.kernel_filters:
            return 0
        # The reader filters: it has to see whole packets, and cuts them itself.
        nr = hp_bpf_for_socket(NULL, 0, self.dev.link, MAXIMUM_SNAPLEN, out)
        rc = hp_sock_attach(self.fd, out, nr)
        if rc < 0:
            raise from_errno(-rc, "SO_ATTACH_FILTER", f"on {self.device}")
        return 0

    cdef int link_state(self):
        return hp_sock_link_state(self.fd, &self.dev)

    def pending_error(self) -> int:
        """Takes the socket's pending error (an errno), 0 for none."""
        return hp_sock_error(self.fd)

    def link_error(self):
        """The exception for a device that went down or away; None while it is up."""
        state = self.link_state()
        if state == -errno.ENODEV:
            return PcapDeviceError(f"read {self.device}: the device has gone; open it anew when it is back",
                                   errno=errno.ENODEV, operation="read", detail=self.device)
        if state == -errno.ENETDOWN:
            return PcapDeviceError(f"read {self.device}: the device went down; set it up and read on",
                                   errno=errno.ENETDOWN, operation="read", detail=self.device)
        return None

    def ignore_outgoing(self, bint on) -> bool:
        """Lets the kernel leave out what this host sends; False where it is older than 4.20 and cannot."""
        return hp_sock_ignore_outgoing(self.fd, on) == 0

    def stats(self) -> tuple:
        """(received, dropped, dropped by the device): received counts the dropped ones too, as libpcap does."""
        cdef hp_err err
        check(hp_sock_stats(self.fd, &self.counters, &err), &err)
        return self.counters.packets, self.counters.drops, max(
            interface_drops(self.device, self.dev.ifindex) - <int64_t>self.ifdrops_before, 0)

    @property
    def freezes(self) -> int:
        """How often the ring was full when a packet came, as of the last stats()."""
        return self.counters.freezes

    def set_fanout(self, int group_id, int fanout_type) -> None:
        """Joins a PACKET_FANOUT group. Source: packet(7).

        Each packet of a loopback device comes to a group twice, whatever its members have set. Newer kernels can be
        asked to leave out those going out, which mends the counts, too; the reader leaves them out on all.
        """
        cdef hp_err err
        cdef uint16_t group = <uint16_t>(group_id & 0xffff)
        cdef uint16_t kind = <uint16_t>(fanout_type & 0xffff)
        cdef int rc = -1
        if self.dev.loopback:
            self.doubles = True
            rc = hp_sock_fanout(self.fd, group, kind | FANOUT_IGNORE_OUTGOING, &err)
        if rc < 0:
            check(hp_sock_fanout(self.fd, group, kind, &err), &err)

    def sendpacket(self, packet) -> None:
        """Sends one packet (any buffer, link-layer header included)."""
        cdef Py_buffer view
        cdef hp_err err
        cdef int rc
        if self.dev.ifindex == 0:
            raise PcapError("sendpacket: `any` is not a device that can send", operation="sendpacket", detail="any")
        PyObject_GetBuffer(packet, &view, PyBUF_SIMPLE)
        try:
            if view.len > 0x7fffffff:
                raise OverflowError(f"sendpacket: {view.len} bytes are more than a packet can have")
            with nogil:
                rc = hp_sock_send(self.fd, view.buf, <uint32_t>view.len, &err)
            check(rc, &err)
        finally:
            PyBuffer_Release(&view)


cdef uint64_t affordable(uint64_t wanted, bint strict) except? 0:
    """The ring bytes to ask for: less than wanted where memory is short, and then a warning."""
    cdef uint64_t limit = <uint64_t>(free_memory_bytes() * FREE_MEMORY_SHARE)
    if limit == 0 or wanted <= limit:
        return wanted
    short = f"a ring of {wanted} bytes does not fit into the memory that is free"
    if strict:
        raise from_errno(errno.ENOMEM, "open", f"{short}; {limit} bytes would")
    warnings.warn(f"hugepcap: {short}; asking for {limit} bytes", RuntimeWarning)
    return limit


cdef str refusal(const hp_err *err):
    """What was tried, on what, and the system's reason."""
    return f"{err.op.decode()} {err.detail.decode('utf-8', 'replace')}: {os.strerror(err.code)}"


cdef int warn_of_fallback(Ring ring, hp_policy asked) except -1:
    """One warning where the memory asked for was not to be had.

    "auto" on a kernel that has no other than stock rings is no fall-back: there was nothing to choose from.
    """
    cdef bint had_choice = asked != HP_POLICY_AUTO
    cdef int i
    for i in range(HP_POLICY_NR):
        had_choice |= ring.ring.grant.refused[i].code not in (0, errno.ENOPROTOOPT)
    refused = ring.refused
    if not refused or not had_choice:
        return 0
    reasons = "; ".join(f"{policy}: {reason}" for policy, reason in refused.items())
    warnings.warn(f"hugepcap: the ring on {ring.device} is of policy {ring.policy}, not "
                  f"{hp_policy_name(asked).decode()} ({reasons})", RuntimeWarning)
    return 0


cdef int describe(Ring ring):
    """Keeps what the kernel says of the ring's pages: it has to be asked while the socket is open."""
    cdef packet_huge_info info
    ring.user_page = PAGE_BYTES
    ring.node = hp_ring_node(&ring.ring)
    if hp_mem_info(ring.fd, 0, &info) == 0:
        ring.user_page = info.user_page_bytes
        ring.kernel_page = info.kernel_page_bytes
        ring.pinned = info.pinned_bytes
        ring.node = info.node if info.node >= 0 else ring.node
    return 0


cdef int make_ring(Ring ring, settings, int retire_ms) except -1:
    """The ring itself, in the memory that the settings ask for; warns where it is another or a smaller one."""
    cdef hp_ring_want want
    cdef hp_err err
    cdef int rc
    cdef bytes policy = settings.policy.encode()
    cdef bytes mount = os.fsencode(settings.mount) if settings.mount else b""
    hp_policy_parse(policy, &want.policy)
    want.strict = settings.strict
    want.mount = <const char *>mount if mount else NULL
    hp_geometry_fit(&want.geo, affordable(settings.ring_bytes, want.strict), settings.block_bytes, ring.snaplen,
                    retire_ms)
    with nogil:    # from here on the kernel may wait: for memory, for other CPUs
        rc = hp_ring_open(&ring.ring, ring.fd, &want, &err)
    check(rc, &err, f" (for a ring on {ring.device} of policy {settings.policy}, strict: without strict it would be another)"
          if want.strict else "")
    if ring.ring.geo.block_nr < want.geo.block_nr:
        warnings.warn(f"hugepcap: memory for {want.geo.block_nr} blocks of {want.geo.block_bytes} bytes was not to "
                      f"be had; the ring on {ring.device} has {ring.ring.geo.block_nr}", RuntimeWarning)
    warn_of_fallback(ring, want.policy)
    describe(ring)
    return 0


def open_ring(str device, *, uint32_t snaplen, bint promisc, int timeout_ms, settings, bint immediate,
              int tstamp_type, BPFProgram program=None, bint held=False) -> Ring:
    """A Ring capturing on a device, as RingSettings say. The order matters: ring and filter first, bind last.

    Binding first would let in packets that no filter has seen. ``held``: lets nothing in until attach() is called
    again. Raises PcapError.
    """
    cdef Ring ring = Ring.__new__(Ring)
    cdef hp_err err
    cdef bytes name = os.fsencode(device)
    cdef int rc
    check(hp_device_find(&ring.dev, name, &err), &err)
    ring.snaplen = snaplen
    ring.pid = getpid()
    ring.fd = check(hp_sock_open(&ring.dev, &err), &err)
    if promisc and ring.dev.ifindex != 0:
        check(hp_sock_promisc(ring.fd, &ring.dev, &err), &err)
    if tstamp_type in (TSTAMP_ADAPTER, TSTAMP_ADAPTER_UNSYNCED):
        check(hp_sock_hw_timestamps(ring.fd, &ring.dev, &err), &err)
    make_ring(ring, settings, retire_ms_for(timeout_ms, immediate))
    ring.attach(program)
    if held:
        ring.hold()
    ring.doubles = ring.dev.loopback and not ring.ignore_outgoing(True)
    with nogil:
        rc = hp_sock_bind(ring.fd, &ring.dev, &err)
    check(rc, &err)
    ring.ifdrops_before = interface_drops(device, ring.dev.ifindex)
    return ring
