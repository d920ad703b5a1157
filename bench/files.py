# SPDX-License-Identifier: BSD-3-Clause
"""The measured process of test_files, which reads or writes a capture file and says the CPU seconds it took:

    files.py read ENGINE WAY PATH COUNT CHECKED_PATH CHECKED     and what it saw of the second file
    files.py write ENGINE WAY PATH COUNT OUT
"""

import importlib
import os
import sys
import time

from capture import MODULES, say
from manifest import Seen, Wrong
from ways import WAYS, warm_numpy

SNAPLEN = 65535
IMPORTED = {**MODULES, "dpkt": "dpkt", "scapy": "scapy.utils"}


def opened(engine, way, path):
    if engine == "dpkt":
        return sys.modules["dpkt"].pcap.Reader(open(path, "rb"))
    if engine == "scapy":
        return sys.modules["scapy.utils"].RawPcapReader(path)
    more = {"mapped": True} if way == "mapped batches" else {}
    return sys.modules[IMPORTED[engine]].open_offline(path, **more)


def raw_pcap_reader(reader, count, see, buffer):
    """Scapy's iteration gives the bytes first."""
    for done, (data, _) in enumerate(reader, 1):
        if see:
            see(data)
        if done == count:
            return


OF_FILES = {**WAYS, "mapped batches": WAYS["batches"], "reader": WAYS["iteration"], "RawPcapReader": raw_pcap_reader}


def is_at_end(reader):
    """Asked of whoever has read a number of packets: no more come."""
    return next(reader, None) is None if hasattr(reader, "__next__") else not reader.next()[1]


def read_file(engine, way, path, count, see=None):
    """CPU seconds; opening counts, importing does not. Raises Wrong where the file has more packets."""
    buffer = bytearray(b"x") * os.path.getsize(path) if way == "loop_to_buffer" else None
    started = time.process_time()
    reader = opened(engine, way, path)
    OF_FILES[way](reader, count, see, buffer)
    seconds = time.process_time() - started
    if not is_at_end(reader):
        raise Wrong(f"{engine} {way}: {path} has more than the {count} packets that were asked for")
    return seconds


def read(engine, way, path, count, checked_path, checked):
    seen, seconds = Seen(), read_file(engine, way, path, int(count))
    read_file(engine, way, checked_path, int(checked), seen.see)
    return {"seconds": seconds, **seen.told()}


# Each way of writing: what it writes is in memory before the clock starts.

def write_dumper(engine, path, out):
    reader = sys.modules[IMPORTED[engine]].open_offline(path)
    packets = []
    reader.loop(-1, lambda header, data: packets.append((header, data)))
    dumper = reader.dump_open(out)
    started = time.process_time()
    dump = dumper.dump
    for header, data in packets:
        dump(header, data)
    dumper.close()
    return time.process_time() - started


def write_dpkt(engine, path, out):
    dpkt = sys.modules["dpkt"]
    with open(path, "rb") as file:
        packets = list(dpkt.pcap.Reader(file))
    with open(out, "wb") as file:
        started = time.process_time()
        writer = dpkt.pcap.Writer(file, snaplen=SNAPLEN)
        for when, data in packets:
            writer.writepkt(data, when)
        writer.close()
    return time.process_time() - started


def write_batches(engine, path, out):
    hugepcap = sys.modules["hugepcap"]
    held = list(hugepcap.open_offline(path).batches())
    started = time.process_time()
    with hugepcap.Writer(out, 1, snaplen=SNAPLEN, nanoseconds=False) as writer:
        for batch in held:
            writer.write(batch)
    return time.process_time() - started


WRITE = {"dumper": write_dumper, "writer": write_dpkt, "Writer": write_batches}


def write(engine, way, path, count, out):
    return {"seconds": WRITE[way](engine, path, out)}


if __name__ == "__main__":
    kind, engine, *arguments = sys.argv[1:]
    importlib.import_module(IMPORTED[engine])
    warm_numpy()
    say((read if kind == "read" else write)(engine, *arguments))
