# SPDX-License-Identifier: BSD-3-Clause
"""An unmodified pcapy-ng program: device, number of packets, file."""

import sys

import pcapy

device, count, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
reader = pcapy.open_live(device, 65535, 1, 100)
dumper = reader.dump_open(file)
print("ready", flush=True)
reader.loop(count, lambda header, data: dumper.dump(header, data))
dumper.close()
reader.close()
