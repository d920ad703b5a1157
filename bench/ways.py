# SPDX-License-Identifier: BSD-3-Clause
"""Every way in which an engine in Python is read, of a ring or of a file: way(reader, count, see, buffer).

Each reads `count` packets and gives `see` every packet's bytes; without one it only reads, and nothing else is timed.
None says how many it read: whoever times it looks at what comes next, which must be packet number `count`.
"""

import struct

import numpy

COLUMNS = ("ts_ns", "caplen", "len", "offset", "vlan_tci", "vlan_tpid", "rxhash", "status", "direction")
AT_ONCE = 1024
ADMIT_ALL = 7    # of the generic profile's classes
ADDRESSES = b"".join(struct.pack("!I", 0xcb007100 + host) for host in range(1000))    # from 203.0.113.0 on


def callback(see):
    return (lambda header, data: see(data)) if see else (lambda header, data: None)


def loop(reader, count, see, buffer):
    reader.loop(count, callback(see))


def dispatch(reader, count, see, buffer):
    each = callback(see)
    while count:
        count -= reader.dispatch(count, each)


def next_(reader, count, see, buffer):
    read = reader.next
    if not see:
        for _ in range(count):
            read()
        return
    for _ in range(count):
        see(read()[1])


def iteration(reader, count, see, buffer):
    for done, (_, data) in enumerate(reader, 1):
        if see:
            see(data)
        if done == count:
            return


def see_batch(batch, see):
    data, records = batch
    view = memoryview(data)
    for _, _, at, size in struct.iter_unpack("=IIII", records):
        see(view[at:at + size])


def next_batch(reader, count, see, buffer):
    while count:
        batch = reader.next_batch(min(AT_ONCE, count))
        count -= len(batch[1]) // 16
        if see:
            see_batch(batch, see)


def batches(reader, count, see, buffer):
    """Every column of every batch is touched: its largest value is looked for."""
    for batch in reader.batches(limit=count):
        for name in COLUMNS:
            numpy.asarray(getattr(batch, name)).max()
        if see:
            for packet in batch:
                see(packet)


def loop_to_buffer(reader, count, see, buffer):
    at, used = 0, reader.loop_to_buffer(count, buffer)[3]
    while see and at < used:
        size = int.from_bytes(buffer[at:at + 4], "little")
        see(buffer[at + 5:at + 5 + size])
        at += 5 + size


def loop_filtered(reader, count, see, buffer, addresses=b""):
    each = (lambda header, data, cls: see(data)) if see else (lambda header, data, cls: None)
    reader.loop_filtered(count, each, ADMIT_ALL if see else 0, addresses)


def loop_filtered_set(reader, count, see, buffer):
    """Every packet's addresses are looked up, and none is in the set."""
    loop_filtered(reader, count, see, buffer, ADDRESSES)


def recv_raw(reader, count, see, buffer):
    """Scapy's."""
    read = reader.recv_raw
    if not see:
        for _ in range(count):
            read()
        return
    for _ in range(count):
        see(read())


WAYS = {"loop": loop, "dispatch": dispatch, "next": next_, "iteration": iteration, "next_batch": next_batch,
        "loop_to_buffer": loop_to_buffer, "loop_filtered": loop_filtered, "loop_filtered_set": loop_filtered_set,
        "batches": batches, "recv_raw": recv_raw}


def warm_numpy():
    """What NumPy does once for a type is not the reading's."""
    for kind in "qQIHB":
        numpy.zeros(1, kind).max()


# The ways that return when nothing is there, for readers that cannot know how much comes: way(reader, see) -> packets.

def by_dispatch(reader, see):
    done = 0

    def each(header, data):
        nonlocal done
        done += 1
        if see:
            see(data)

    reader.dispatch(AT_ONCE, each)
    return done


def by_next(reader, see):
    done, read = 0, reader.next
    while done < AT_ONCE and (packet := read())[0] is not None:
        done += 1
        if see:
            see(packet[1])
    return done


def by_next_batch(reader, see):
    batch = reader.next_batch(AT_ONCE)
    if see:
        see_batch(batch, see)
    return len(batch[1]) // 16


def by_next_block(reader, see):
    with reader.next_block(timeout=0) as batch:
        if see:
            for packet in batch:
                see(packet)
        return len(batch)


def by_batches(reader, see):
    done = 0
    for batch in reader.batches(timeout=0):
        with batch:
            if not len(batch):
                break
            if see:
                for packet in batch:
                    see(packet)
            done += len(batch)
    return done


def by_recv_raw(reader, see):
    done = 0
    while done < AT_ONCE and (data := reader.recv_raw()) is not None:
        done += 1
        if see:
            see(data)
    return done


POLLED = {"dispatch": by_dispatch, "next": by_next, "next_batch": by_next_batch, "next_block": by_next_block,
          "batches": by_batches, "recv_raw": by_recv_raw}


# The ways that return only when the capture is stopped, hugepcap's alone: way(reader, see).

def to_end_loop(reader, see):
    reader.loop(-1, callback(see))


def to_end_iteration(reader, see):
    for _, data in reader:
        see(data)


TO_END = {"loop": to_end_loop, "iteration": to_end_iteration}
