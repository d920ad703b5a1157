# SPDX-License-Identifier: BSD-3-Clause
"""Every method of reading, reduced to: give each packet to `take`, wait as the method waits."""

from __future__ import annotations

import asyncio
import socket
import struct

from arrowarray import stream_of
from hugepcap._generate import sequence_of
from helpers import send

BUFFER = bytearray(64 << 20)


def by_next(reader, take):
    hdr, data = reader.next()
    if hdr is not None:
        take(data)


def by_loop(reader, take):
    reader.loop(-1, lambda hdr, data: take(data))


def by_dispatch(reader, take):
    reader.dispatch(-1, lambda hdr, data: take(data))


def by_next_batch(reader, take):
    packets, records = reader.next_batch(4096)
    for _, _, offset, caplen in struct.iter_unpack("=IIII", records):
        take(packets[offset:offset + caplen])


def by_loop_filtered(reader, take):
    reader.loop_filtered(-1, lambda hdr, data, cls: take(data))


def by_loop_to_buffer(reader, take, cnt=-1):
    used = reader.loop_to_buffer(cnt, BUFFER)[3]
    at = 0
    while at < used:
        caplen, _ = struct.unpack_from("<IB", BUFFER, at)
        take(bytes(BUFFER[at + 5:at + 5 + caplen]))
        at += 5 + caplen


def by_iteration(reader, take):
    for _, data in reader:
        take(data)


def by_batches(reader, take):
    for batch in reader.batches():
        with batch:
            for packet in batch:
                take(bytes(packet))


def by_next_block(reader, take):
    batch = reader.next_block()
    for i in range(len(batch) if batch is not None else 0):
        take(batch.bytes(i))


METHODS = {
    "next": by_next, "loop": by_loop, "dispatch": by_dispatch, "next_batch": by_next_batch,
    "loop_filtered": by_loop_filtered, "loop_to_buffer": by_loop_to_buffer, "iteration": by_iteration,
    "batches": by_batches, "next_block": by_next_block,
}
# These go on until they are told to end; those return by themselves after a timeout.
ENDLESS = ("loop", "loop_filtered", "loop_to_buffer", "iteration", "batches")
TIMED = tuple(name for name in METHODS if name not in ENDLESS)


def by_async_iteration(reader, take):
    async def read():
        async for _, data in reader:
            take(data)

    asyncio.run(read())


def by_async_batches(reader, take):
    async def read():
        async for batch in reader.batches():
            with batch:
                for packet in batch:
                    take(bytes(packet))

    asyncio.run(read())


def by_arrow_stream(reader, take):
    stream = stream_of(reader.__arrow_c_stream__())
    for array in iter(stream.next, None):
        for packet in array.packets():
            take(packet)
        array.release()
    stream.release()


# Endless, too. What is raised within them comes out in other ways.
THROUGH_OTHERS = {
    "async iteration": by_async_iteration, "async batches": by_async_batches, "Arrow stream": by_arrow_stream,
}


def numbers(datas):
    return [sequence_of(data) for data in datas]


def read_packets(reader, count):
    """The next `count` packets' data."""
    seen = []
    reader.loop(count, lambda hdr, data: seen.append(data))
    return seen


def put(device, *datas):
    """Sends packets as they are."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((device, 0))
        for data in datas:
            sock.send(data)


# ---- batches ----

def take(reader, count):
    """The next packets, as Batches of which none is empty."""
    batches = []
    while sum(map(len, batches)) < count:
        batch = reader.next_block(timeout=30)
        assert len(batch), "no packet came"
        batches.append(batch)
    return batches


def take_one(reader, link, count, sending=send):
    """So many packets in one Batch; again where the block's timer ended it in the midst of them."""
    for _ in range(5):
        sending(link.near, count)
        batches = take(reader, count)
        if len(batches) == 1:
            return batches[0]
        for batch in batches:
            batch.release()
    raise AssertionError(f"{count} packets never came in one block")
