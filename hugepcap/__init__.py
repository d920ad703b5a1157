# SPDX-License-Identifier: BSD-3-Clause
"""Packet capture for Python on Linux: pcapy's interface over a TPACKET_V3 ring of our own.

``import hugepcap as pcapy`` is all that a pcapy or pcapy-ng program changes.

The rooms, in the order of a packet's way: ``_csrc/`` is the C core (socket, ring, walk, classifier);
``_ring`` the kernel's side of a live capture; ``_pcap`` all of libpcap (filters, pipes, devices); ``_regular`` files
in chunks, ``_writer`` their counterpart; ``_source`` who may read, and how it waits; ``_packet`` the packet's
header; ``_classify`` pcapy-ng's classes.
The Reader is ``_capture`` (settings, activation), ``_control`` (filters, modes, questions), ``_filtered`` (reading
by class), ``_blocks`` and ``_batch`` (reading by the block, ``batches`` and ``aio`` its iterators, ``_arrow`` its
export, ``_decode`` its headers as columns) and ``_reader`` (pcapy's own ways), each a class upon the one before;
``fanout`` is several of them on one device, ``slots`` and ``_shared`` how batches come from other processes.
``settings`` is what a ring is to be like, ``errors`` and ``constants``
what things are called, ``cli`` the command line.
"""

from ._batch import Batch
from ._decode import AddressSet, Flows, decode
from ._packet import Pkthdr
from ._pcap import BPFProgram, Dumper, compile, findalldevs, lib_version, lookupdev
from ._reader import Reader, create, open_live, open_offline
from ._ring import Ring
from ._version import __version__
from ._writer import Writer
from .batches import Batches
from .constants import (
    DLT_ARCNET, DLT_ATM_RFC1483, DLT_C_HDLC, DLT_EN10MB, DLT_FDDI, DLT_IEEE802, DLT_IEEE802_11, DLT_LINUX_SLL,
    DLT_LINUX_SLL2, DLT_LOOP, DLT_LTALK, DLT_NULL, DLT_PPP, DLT_PPP_ETHER, DLT_PPP_SERIAL, DLT_RAW, DLT_SLIP,
    PACKET_FANOUT_CBPF, PACKET_FANOUT_CPU, PACKET_FANOUT_EBPF, PACKET_FANOUT_FLAG_DEFRAG,
    PACKET_FANOUT_FLAG_ROLLOVER, PACKET_FANOUT_FLAG_UNIQUEID, PACKET_FANOUT_HASH, PACKET_FANOUT_LB,
    PACKET_FANOUT_QM, PACKET_FANOUT_RND, PACKET_FANOUT_ROLLOVER, PCAP_D_IN, PCAP_D_INOUT, PCAP_D_OUT,
    PCAP_TSTAMP_ADAPTER, PCAP_TSTAMP_ADAPTER_UNSYNCED, PCAP_TSTAMP_HOST, PCAP_TSTAMP_HOST_HIPREC,
    PCAP_TSTAMP_HOST_LOWPREC, PCAP_TSTAMP_PRECISION_MICRO, PCAP_TSTAMP_PRECISION_NANO,
)
from .errors import (
    BPFError,
    PcapCorruptError,
    PcapDeviceError,
    PcapError,
    PcapFileNotFoundError,
    PcapMemoryError,
    PcapPermissionError,
)
from .fanout import Fanout, FanoutStats, open_fanout

__all__ = [
    "AddressSet", "BPFError", "BPFProgram", "Batch", "Batches", "Dumper", "Fanout", "FanoutStats", "Flows",
    "PcapCorruptError", "PcapDeviceError", "PcapError", "PcapFileNotFoundError", "PcapMemoryError",
    "PcapPermissionError", "Pkthdr", "Reader", "Ring", "Writer", "__version__", "compile", "create", "decode", "findalldevs",
    "lib_version", "lookupdev", "open_fanout", "open_live", "open_offline",
    "DLT_ARCNET", "DLT_ATM_RFC1483", "DLT_C_HDLC", "DLT_EN10MB", "DLT_FDDI", "DLT_IEEE802", "DLT_IEEE802_11",
    "DLT_LINUX_SLL", "DLT_LINUX_SLL2", "DLT_LOOP", "DLT_LTALK", "DLT_NULL", "DLT_PPP", "DLT_PPP_ETHER",
    "DLT_PPP_SERIAL", "DLT_RAW", "DLT_SLIP", "PACKET_FANOUT_CBPF", "PACKET_FANOUT_CPU", "PACKET_FANOUT_EBPF",
    "PACKET_FANOUT_FLAG_DEFRAG", "PACKET_FANOUT_FLAG_ROLLOVER", "PACKET_FANOUT_FLAG_UNIQUEID",
    "PACKET_FANOUT_HASH", "PACKET_FANOUT_LB", "PACKET_FANOUT_QM", "PACKET_FANOUT_RND",
    "PACKET_FANOUT_ROLLOVER", "PCAP_D_IN", "PCAP_D_INOUT", "PCAP_D_OUT", "PCAP_TSTAMP_ADAPTER",
    "PCAP_TSTAMP_ADAPTER_UNSYNCED", "PCAP_TSTAMP_HOST", "PCAP_TSTAMP_HOST_HIPREC", "PCAP_TSTAMP_HOST_LOWPREC",
    "PCAP_TSTAMP_PRECISION_MICRO", "PCAP_TSTAMP_PRECISION_NANO",
]
