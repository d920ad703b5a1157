# SPDX-License-Identifier: BSD-3-Clause
"""The measured process of test_files: reads or writes a capture file. files.py ENGINE WAY PATH [OUT]

Prints, as JSON, the CPU seconds it took and the packets it saw. With CHECK as OUT of a reading way, or after writing,
the test looks at the packets themselves: `digest` of every packet's bytes, in order.
"""

import hashlib
import importlib
import json
import sys
import time

import numpy

from consume import COLUMNS, warm_numpy

SNAPLEN = 65535


def touch(batch):
    for name in COLUMNS:
        numpy.asarray(getattr(batch, name)).max()


# Each way of reading: path -> packets. `see` gets every packet when they are checked, and is None when they are timed.

def dpkt_reader(path, see):
    import dpkt
    done = 0
    with open(path, "rb") as file:
        for _, data in dpkt.pcap.Reader(file):
            done += 1
            if see:
                see(data)
    return done


def scapy_reader(path, see):
    from scapy.utils import RawPcapReader
    done = 0
    with RawPcapReader(path) as reader:
        for data, _ in reader:
            done += 1
            if see:
                see(data)
    return done


MODULES = {"pcapy-ng": "pcapy", "hugepcap": "hugepcap", "dpkt": "dpkt", "scapy": "scapy.utils"}


def opened(engine, path):
    return sys.modules[MODULES[engine]].open_offline(path)


def loop(engine, path, see):
    done = 0

    def each(header, data):
        nonlocal done
        done += 1
        if see:
            see(data)

    opened(engine, path).loop(-1, each)
    return done


def next_(engine, path, see):
    read, done = opened(engine, path).next, 0
    while (packet := read())[0] is not None:
        done += 1
        if see:
            see(packet[1])
    return done


def next_batch(engine, path, see):
    reader, done = opened(engine, path), 0
    while len(records := (batch := reader.next_batch(1024))[1]):
        done += len(records) // 16
        if see:
            for at, size in numpy.frombuffer(records, "=u4").reshape(-1, 4)[:, 2:].tolist():
                see(batch[0][at:at + size])
    return done


def batches(engine, path, see):
    done = 0
    for batch in opened(engine, path).batches():
        done += len(batch)
        touch(batch)
        if see:
            for packet in batch:
                see(packet)
    return done


READ = {"loop": loop, "next": next_, "next_batch": next_batch, "batches": batches}
ALONE = {"dpkt": dpkt_reader, "scapy": scapy_reader}


# Each way of writing: what it writes is in memory before the clock starts.

def write_dumper(engine, path, out):
    reader = opened(engine, path)
    packets = []
    reader.loop(-1, lambda header, data: packets.append((header, data)))
    dumper = reader.dump_open(out)
    started = time.process_time()
    dump = dumper.dump
    for header, data in packets:
        dump(header, data)
    dumper.close()
    return time.process_time() - started, len(packets)


def write_dpkt(engine, path, out):
    import dpkt
    with open(path, "rb") as file:
        packets = list(dpkt.pcap.Reader(file))
    with open(out, "wb") as file:
        started = time.process_time()
        writer = dpkt.pcap.Writer(file, snaplen=SNAPLEN)
        for when, data in packets:
            writer.writepkt(data, when)
        writer.close()
    return time.process_time() - started, len(packets)


def write_batches(engine, path, out):
    import hugepcap
    held = list(hugepcap.open_offline(path).batches())
    started = time.process_time()
    with hugepcap.Writer(out, 1, snaplen=SNAPLEN, nanoseconds=False) as writer:
        for batch in held:
            writer.write(batch)
    return time.process_time() - started, sum(map(len, held))


WRITE = {"dumper": write_dumper, "writer": write_dpkt, "Writer": write_batches}


def read(engine, way, path, see=None):
    started = time.process_time()
    packets = ALONE[engine](path, see) if engine in ALONE else READ[way](engine, path, see)
    return time.process_time() - started, packets


def check(engine, way, path):
    digest = hashlib.blake2b()
    read(engine, way, path, digest.update)
    return digest.hexdigest()


def main(engine, way, path, out=None):
    importlib.import_module(MODULES[engine])    # which is not counted
    warm_numpy()
    if way in WRITE:
        seconds, packets = WRITE[way](engine, path, out)
        return {"seconds": seconds, "packets": packets}
    if out == "CHECK":
        return {"digest": check(engine, way, path)}
    seconds, packets = read(engine, way, path)
    return {"seconds": seconds, "packets": packets}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
