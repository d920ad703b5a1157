# SPDX-License-Identifier: BSD-3-Clause
"""An unmodified scapy program over libpcap: device, number of packets, file."""

import sys

from scapy.config import conf

conf.use_pcap = True
from scapy.layers.l2 import Ether  # noqa: E402,F401
from scapy.sendrecv import sniff  # noqa: E402
from scapy.utils import RawPcapWriter  # noqa: E402

device, count, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
packets = sniff(iface=device, count=count, started_callback=lambda: print("ready", flush=True))
with RawPcapWriter(file, linktype=1) as writer:
    for packet in packets:
        writer.write(bytes(packet))
