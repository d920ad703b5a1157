# SPDX-License-Identifier: BSD-3-Clause
"""An unmodified cypcap program: device, number of packets, file. Its libpcap is vendored."""

import sys

import cypcap

device, count, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with cypcap.open_live(device, 65535, True, 0.1) as reader, reader.dump_open(file) as dumper:
    print("ready", flush=True)
    written = 0
    while written < count:
        header, data = next(reader)
        if header is not None:
            dumper.dump(header, data)
            written += 1
