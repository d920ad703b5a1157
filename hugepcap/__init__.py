# SPDX-License-Identifier: BSD-3-Clause
"""Packet capture for Python on Linux: pcapy's interface over a TPACKET_V3 ring of our own.

``import hugepcap as pcapy`` is all that a pcapy or pcapy-ng program changes.

The rooms, in the order of a packet's way: ``_csrc/`` is the C core (socket, ring, walk, classifier);
``_ring`` the kernel's side of a live capture; ``_pcap`` all of libpcap (filters, files, devices);
``_source`` who may read, and how it waits; ``_packet`` the packet's header; ``_classify`` pcapy-ng's classes;
``_reader`` the Reader itself; ``errors`` and ``constants`` what they are called; ``cli`` the command line.
"""

from . import constants as _constants
from ._packet import Pkthdr
from ._pcap import BPFProgram, Dumper, compile, findalldevs, lib_version, lookupdev
from ._reader import Reader, create, open_live, open_offline
from ._ring import Ring
from ._version import __version__
from .constants import *  # noqa: F401,F403 - DLT_*, PCAP_*, PACKET_FANOUT_*, each listed in __all__ below
from .errors import (
    BPFError,
    PcapCorruptError,
    PcapDeviceError,
    PcapError,
    PcapFileNotFoundError,
    PcapMemoryError,
    PcapPermissionError,
)

__all__ = [
    "BPFError", "BPFProgram", "Dumper", "PcapCorruptError", "PcapDeviceError", "PcapError",
    "PcapFileNotFoundError", "PcapMemoryError", "PcapPermissionError", "Pkthdr", "Reader", "Ring", "__version__",
    "compile", "create", "findalldevs", "lib_version", "lookupdev", "open_live", "open_offline",
] + [name for name in vars(_constants) if name.isupper()]
