# SPDX-License-Identifier: BSD-3-Clause
"""The measured process: fills a ring, then times the reading of it.

    consume.py ENGINE WAY DEVICE COUNT RING_BYTES

Prints "ready" when the capture is open, reads a line when the packets are in the ring, and then prints, as JSON,
the CPU seconds that reading took. After a second line, for a tenth as many sent again, it reads them by the same
way and prints their count and a checksum of their sequence numbers, which is not timed.
"""

import importlib
import json
import struct
import sys
import time

import numpy

from hugepcap._generate import sequence_of

MODULES = {"pcapy-ng": "pcapy", "cypcap": "cypcap", "hugepcap": "hugepcap"}
COLUMNS = ("ts_ns", "caplen", "len", "offset", "vlan_tci", "vlan_tpid", "rxhash", "status", "direction")
SNAPLEN, TIMEOUT_MS = 65535, 100
# Of the timed packets, one in so many is sent again to be checked.
CHECKED_SHARE = 10
# What is in the ring's last block comes when the block's timeout has passed, and in pcapy-ng not before.
SETTLE_S = 4 * TIMEOUT_MS / 1000


def open_capture(engine, device, ring_bytes):
    if engine == "scapy":
        from scapysocket import ScapySocket
        return ScapySocket(device, ring_bytes)
    reader = importlib.import_module(MODULES[engine]).create(device)
    reader.set_snaplen(SNAPLEN)
    reader.set_timeout(TIMEOUT_MS / 1000 if engine == "cypcap" else TIMEOUT_MS)
    reader.set_buffer_size(ring_bytes)
    if reader.activate():    # cypcap's has no result
        sys.exit(f"{engine}: cannot capture on {device}")
    return reader


def descriptor(reader):
    return reader.get_selectable_fd() if hasattr(reader, "get_selectable_fd") else reader.getfd()


def counted(reader):
    """(received, dropped)"""
    stats = reader.stats()
    return tuple(stats[:2]) if isinstance(stats, tuple) else (stats.recv, stats.drop)


# Each way: (reader, count, buffer) -> how many packets it read. These are the timed ones; they do nothing else.

def loop(reader, count, buffer):
    reader.loop(count, lambda header, data: None)
    return count


def dispatch(reader, count, buffer):
    done = 0
    while done < count:
        done += reader.dispatch(count - done, lambda header, data: None)
    return done


def next_(reader, count, buffer):
    read = reader.next
    for _ in range(count):
        read()
    return count


def iteration(reader, count, buffer):
    for done, _ in enumerate(reader, 1):
        if done == count:
            return done


def next_batch(reader, count, buffer):
    done = 0
    while done < count:
        done += len(reader.next_batch(1024)[1]) // 16
    return done


def batches(reader, count, buffer):
    """Every column of every batch is touched: its largest value is looked for."""
    done = 0
    for batch in reader.batches():
        for name in COLUMNS:
            numpy.asarray(getattr(batch, name)).max()
        done += len(batch)
        if done == count:
            return done


def loop_to_buffer(reader, count, buffer):
    return reader.loop_to_buffer(count, buffer)[0]


def loop_filtered(reader, count, buffer):
    return reader.loop_filtered(count, lambda header, data, cls: None, 0)[1]


WAYS = {"loop": loop, "dispatch": dispatch, "next": next_, "iteration": iteration, "next_batch": next_batch,
        "loop_to_buffer": loop_to_buffer, "loop_filtered": loop_filtered, "batches": batches}
# What pcapy-ng has in its place.
PEERS = {"batches": "next_batch"}


# The same ways once more, giving every packet's bytes, to check that each reads what was sent.

def packets_of(way, reader, count, buffer):
    seen = []
    if way in ("loop", "dispatch"):
        while len(seen) < count:
            getattr(reader, way)(count - len(seen), lambda header, data: seen.append(data))
    elif way == "next":
        seen = [reader.next()[1] for _ in range(count)]
    elif way == "iteration":
        seen = [data for _, (_, data) in zip(range(count), reader)]
    elif way == "loop_filtered":
        reader.loop_filtered(count, lambda header, data, cls: seen.append(data))
    elif way == "batches":
        while len(seen) < count:
            seen += [bytes(packet) for packet in next(reader.batches(max_packets=count - len(seen)))]
    elif way == "next_batch":
        while len(seen) < count:
            data, records = reader.next_batch(1024)
            seen += [data[at:at + size] for _, _, at, size in struct.iter_unpack("=IIII", records)]
    else:
        at = 0
        used = reader.loop_to_buffer(count, buffer)[3]
        while at < used:
            size = int.from_bytes(buffer[at:at + 4], "little")
            seen.append(bytes(buffer[at + 5:at + 5 + size]))
            at += 5 + size
    return seen


def warm_numpy():
    """What NumPy does once for a type is not the reading's."""
    for kind in "qQIHB":
        numpy.zeros(1, kind).max()


def wait_for_packets():
    sys.stdin.readline()
    time.sleep(SETTLE_S)


def main(engine, way, device, count, ring_bytes):
    count, ring_bytes = int(count), int(ring_bytes)
    way = way if engine == "hugepcap" else PEERS.get(way, way)
    buffer = bytearray(b"x") * ring_bytes if way == "loop_to_buffer" else None
    warm_numpy()
    reader = open_capture(engine, device, ring_bytes)
    print("ready", flush=True)
    wait_for_packets()
    started = time.process_time()
    read = WAYS[way](reader, count, buffer)
    seconds = time.process_time() - started
    received, dropped = counted(reader)
    print(json.dumps({"seconds": seconds, "packets": read, "received": received, "dropped": dropped}), flush=True)
    wait_for_packets()
    sequences = [sequence_of(data) for data in packets_of(way, reader, count // CHECKED_SHARE, buffer)]
    print(json.dumps({"packets": len(sequences), "checksum": checksum(sequences)}), flush=True)


def checksum(sequences):
    """Of numbers in their order."""
    total = 0
    for place, number in enumerate(sequences, 1):
        total = (total + place * (number + 1)) & (1 << 64) - 1
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
