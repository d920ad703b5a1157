# SPDX-License-Identifier: BSD-3-Clause
"""A pcapy-ng program that does not come round to reading until a line comes in; then it counts, up to the packet
whose number is not below `count`, what it got."""

import sys

import pcapy

from hugepcap._generate import sequence_of

device, count = sys.argv[1], int(sys.argv[2])
reader = pcapy.open_live(device, 65535, 1, 100)
print("ready", flush=True)
sys.stdin.readline()
got = 0
while True:
    header, data = reader.next()
    if header is None:
        continue
    if sequence_of(data) >= count:
        break
    got += 1
print(f"got {got}", flush=True)
reader.close()
