# SPDX-License-Identifier: BSD-3-Clause
"""Batches of a live capture: their columns, who keeps the ring's blocks and when they go back."""

import asyncio
import gc
import os
import select
import struct
import time
import warnings

import pytest

import hugepcap
from helpers import Background, background_read, run_child, send, sending, wait_until
from helpers.packets import ethernet, ipv4, tagged, udp
from helpers.savefile import write_pcap
from hugepcap._generate import sequence_of
from reading import numbers, take, take_one
from test_links import put

FORMATS = {"ts_ns": "q", "caplen": "I", "len": "I", "offset": "Q", "vlan_tci": "H", "vlan_tpid": "H", "rxhash": "I",
           "status": "I", "direction": "B"}


def rows(batch):
    return [(ts, size, length, bytes(data))
            for ts, size, length, data in zip(batch.ts_ns, batch.caplen, batch.len, batch)]


# ---- columns ----

def test_columns_say_what_the_headers_say(link):
    with hugepcap.open_live(link.far, 90, 1, 20) as reader, hugepcap.open_live(link.far, 90, 1, 20) as other:
        send(link.near, 300, sizes=(60, 200))
        seen = [row for batch in take(reader, 300) for row in rows(batch)]
        headers = []
        other.loop(300, lambda hdr, data: headers.append((hdr.ts_ns, hdr.getcaplen(), hdr.getlen(), data)))
    # each socket takes its own time stamp
    assert [row[1:] for row in seen] == [row[1:] for row in headers]
    assert all(abs(mine[0] - theirs[0]) < 10**9 for mine, theirs in zip(seen, headers))
    assert {row[1] for row in seen} <= set(range(60, 91)) and max(row[2] for row in seen) > max(row[1] for row in seen)


def test_formats(reader, link):
    batch = take_one(reader, link, 3)
    assert batch.wire_bytes == sum(batch.len) == 3 * 60
    for name, form in FORMATS.items():
        column = getattr(batch, name)
        assert (column.format, column.shape, column.readonly) == (form, (3,), True)
        assert column.nbytes == 3 * struct.calcsize(form)
    with pytest.raises(TypeError):
        batch.caplen[0] = 1
    with pytest.raises(TypeError):
        batch[0][0] = 1


def test_tags_in_columns(reader, link):
    packet = ipv4(udp(1, 2), 17)
    frames = tagged(packet, 0xE02A), ethernet(packet), tagged(packet, 7, outer=0x88A8)
    batch = take_one(reader, link, 3, lambda device, _: put(device, *frames))
    assert list(batch.vlan_tci) == [0xE02A, 0, 7]
    assert list(batch.vlan_tpid) == [0x8100, 0, 0x88A8]
    assert [bytes(data) for data in batch] == [tagged(packet, 0xE02A), ethernet(packet),
                                               tagged(packet, 7, outer=0x88A8)]


def test_directions(reader, link):
    put(link.near, ethernet(ipv4(udp(1, 2), 17)))
    put(link.far, ethernet(ipv4(udp(1, 2), 17)))
    directions = [way for batch in take(reader, 2) for way in batch.direction]
    assert sorted(directions) == [hugepcap.PCAP_D_IN, hugepcap.PCAP_D_OUT]


def test_rxhash_is_of_the_flow(reader, link):
    put(link.near, *[ethernet(ipv4(udp(sport, 53), 17)) for sport in (1, 2, 1, 2)])
    first, second, third, fourth = [value for batch in take(reader, 4) for value in batch.rxhash]
    assert (first, second) == (third, fourth) and first != second


# ---- indices and slices ----

def test_indices_and_slices(reader, link):
    batch = take_one(reader, link, 10)
    assert numbers([batch[0], batch[9], batch[-1], batch[-10]]) == [0, 9, 9, 0]
    part = batch[2:7]
    assert len(part) == 5 and numbers(part) == list(range(2, 7)) and list(part.ts_ns) == list(batch.ts_ns)[2:7]
    assert numbers(part[1:3]) == [3, 4] and len(batch[8:2]) == 0 and len(batch[:]) == 10
    assert part.bytes(-1) == bytes(batch[6])
    for wrong in (10, -11):
        with pytest.raises(IndexError, match="batch of 10"):
            batch[wrong]
    with pytest.raises(ValueError, match="step 1"):
        batch[::2]
    with pytest.raises(TypeError):
        batch["1"]


def test_max_packets_and_limit(reader, link):
    send(link.near, 1000)
    sizes = [len(batch) for batch in reader.batches(max_packets=300, limit=1000)]
    assert max(sizes) == 300 and sum(sizes) == 1000
    for wrong in ({"max_packets": 0}, {"max_packets": 1 << 25}, {"limit": -1}):
        with pytest.raises(ValueError):
            reader.batches(**wrong)
    with pytest.raises(ValueError, match="seconds"):
        reader.next_block(timeout=-1)


def test_an_empty_batch_when_nothing_comes(reader):
    batch = reader.next_block(timeout=0.01)
    assert len(batch) == 0 and not batch and list(batch) == [] and batch.ts_ns.shape == (0,)
    assert len(next(reader.batches(timeout=0.01))) == 0


def test_a_batch_spans_blocks(link):
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=8 << 20) as reader:
        send(link.near, 8000)
        wait_until(lambda: reader.ring.pending_blocks >= 4, "four blocks")
        batch = next(reader.batches())
        assert numbers(batch) == list(range(len(batch))) and len(batch) > 4000
        assert reader.ring.held_blocks >= 3


# ---- who keeps what ----

def test_release_gives_the_block_back(reader, link):
    batch = take_one(reader, link, 5)
    assert reader.ring.held_blocks == 1 and not batch.released
    times = batch.ts_ns
    batch.release()
    batch.release()
    assert reader.ring.held_blocks == 0 and batch.released and len(times) == 5
    for use in (lambda: batch[0], lambda: batch.bytes(0), lambda: batch.caplen, batch.copy, lambda: list(batch),
                lambda: batch[0:1], batch.__enter__, batch.__arrow_c_array__):
        with pytest.raises(ValueError, match="released"):
            use()


@pytest.mark.parametrize("kept", [lambda batch: batch[2], lambda batch: batch[1:3], lambda batch: iter(batch[2:3]),
                                  lambda batch: memoryview(batch[2])[4:]])
def test_a_view_keeps_its_block(reader, link, kept):
    batch = take_one(reader, link, 5)
    view = kept(batch)
    batch.release()
    assert reader.ring.held_blocks == 1
    del view
    assert reader.ring.held_blocks == 0


def three_of_one_block(reader, link):
    """Batches of 4, 4 and 2 packets; again where the block's timer ended it in the midst of them."""
    for _ in range(5):
        send(link.near, 10)
        wait_until(lambda: reader.ring.pending_blocks, "a block")
        parts, batches = [], reader.batches(max_packets=4)
        while sum(map(len, parts)) < 10:
            parts.append(next(batches))
        if [len(part) for part in parts] == [4, 4, 2] and reader.ring.held_blocks == 1:
            return parts
        for part in parts:
            part.release()
    raise AssertionError("10 packets never came in one block")


def test_a_block_shared_by_two_batches(reader, link):
    parts = three_of_one_block(reader, link)
    for part in parts[:2]:
        part.release()
        assert reader.ring.held_blocks == 1
    parts[2].release()
    assert reader.ring.held_blocks == 0


def test_views_outlive_the_reader(link):
    reader = hugepcap.open_live(link.far, 65535, 1, 20)
    batch = take_one(reader, link, 5)
    view, ring = batch[3], reader.ring
    reader.close()
    assert numbers(batch) == list(range(5))
    batch.release()
    del reader
    gc.collect()
    assert numbers([view]) == [3] and ring.held_blocks == 1
    del view
    assert ring.held_blocks == 0


def test_a_closed_capture_takes_no_more_packets(link):
    """Though a view keeps the ring mapped, and with it the kernel's socket."""
    reader = hugepcap.open_live(link.far, 65535, 1, 20)
    batch = take_one(reader, link, 5)
    assert captures_all()
    reader.close()
    assert not captures_all()
    send(link.near, 5000)
    assert numbers(batch) == list(range(5))


def captures_all():
    """Whether this network namespace has a packet socket of ETH_P_ALL."""
    with open("/proc/thread-self/net/packet") as lines:
        return any(line.split()[3] == "0003" for line in lines)


def test_a_copy_is_its_own(reader, link):
    batch = take_one(reader, link, 5)
    copy, before = batch[1:4].copy(), rows(batch[1:4])
    batch.release()
    assert reader.ring.held_blocks == 0
    reader.close()
    assert rows(copy) == before and rows(copy[1:].copy()) == before[1:]


# ---- a reader that holds everything ----

def test_holding_starves_politely_and_recovers(link):
    """Packets that find no block are counted as dropped; those held stay as they were.

    The kernel drops one or two, too, when a block's timer ends it under load, long before the ring is full.
    """
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=4 << 20) as reader:
        held, sent = [], 0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            while not reader.stats()[1] or reader.ring.held_blocks < reader.ring.block_nr:
                send(link.near, 2000, first_seq=sent)
                sent += 2000
                while len(batch := reader.next_block(timeout=0.05)):
                    held.append(batch)
        assert [str(warning.message).count("release()") for warning in caught] == [1]
        kept = [number for batch in held for number in numbers(batch)]
        send(link.near, 2000, first_seq=sent)
        sent += 2000
        assert reader.ring.held_blocks == reader.ring.block_nr and len(reader.next_block(timeout=0)) == 0
        assert kept == [number for batch in held for number in numbers(batch)]
        held.clear()
        while len(batch := reader.next_block(timeout=0.2)):
            kept += numbers(batch)
        batch = None
        assert reader.ring.held_blocks == 0
        received, dropped, _ = reader.stats()
        assert (received, len(kept)) == (sent, sent - dropped) and kept == sorted(set(kept))
        send(link.near, 100, first_seq=sent)
        assert numbers(data for batch in take(reader, 100) for data in batch) == list(range(sent, sent + 100))


@pytest.mark.parametrize("take_next", [lambda reader: next(reader.batches(timeout=0.1)),
                                       lambda reader: reader.next_block(timeout=0.1)])
@pytest.mark.parametrize("block_nr, least", [(2, 2), (3, 2), (4, 3), (8, 6), (64, 48)])
def test_the_warning_comes_before_the_ring_starves(link, block_nr, least, take_next):
    """As an error it takes no packet with it."""
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=block_nr << 16, block_bytes=1 << 16) as reader, \
            warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert reader.ring.block_nr == block_nr
        held, sent, warned_at = [], 0, []
        while not warned_at:
            send(link.near, 50 * block_nr, first_seq=sent)
            sent += 50 * block_nr
            try:
                held.append(take_next(reader))
            except RuntimeWarning:
                warned_at.append(reader.ring.held_blocks)
        assert least <= warned_at[0] < max(block_nr, 3)
        seen = [number for batch in held for number in numbers(batch)]
        held.clear()
        while len(batch := take_next(reader)):
            seen += numbers(batch)
        received, dropped, _ = reader.stats()
        assert (received, len(seen)) == (sent, sent - dropped) and seen == sorted(set(seen))


def test_waiting_with_the_last_block_held(link):
    """poll(2) would call such a ring readable for ever; the reader sleeps, and wakes for the next block."""
    with hugepcap.open_live(link.far, 65535, 1, 0) as reader:
        batch = take_one(reader, link, 5)
        reading = background_read(lambda: numbers(reader.next_block()))
        ticks = os.times()
        reading.join(0.5)
        spent = os.times()
        assert reading.is_alive()
        assert spent.user + spent.system - ticks.user - ticks.system < 0.25, "it polls instead of sleeping"
        send(link.near, 5, first_seq=5)
        assert reading.result() == list(range(5, 10)) and numbers(batch) == list(range(5))


def test_two_threads_release(link):
    """Batches die in another thread while this one reads on."""
    sent = 60_000
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=8 << 20) as reader:
        passed, seen = [], []

        def release():
            while len(seen) < sent - reader.stats()[1] or passed:
                if passed:
                    passed.pop().release()

        releasing = Background(release)
        with sending(link.near, sent, rate_pps=200_000):
            while len(seen) < sent - reader.stats()[1]:
                batch = reader.next_block(timeout=1)
                seen += numbers(batch)
                passed.append(batch)
        releasing.result()
        del batch
        assert seen == sorted(set(seen)) and reader.ring.held_blocks == 0


FORKED = """
import gc, os, sys
import hugepcap
from helpers import send
from reading import numbers
reader = hugepcap.open_live("far", 65535, 1, 1000)
send("near", 5)
batch = reader.next_block()
child = os.fork()
if child == 0:
    assert numbers(batch) == list(range(5))
    batch.release()
    gc.collect()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(reader.ring.held_blocks, numbers(batch))
batch.release()
print(reader.ring.held_blocks)
"""


def test_a_child_leaves_the_parents_blocks(link, monkeypatch):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    ended = run_child(FORKED)
    assert ended.stdout == "1 [0, 1, 2, 3, 4]\n0\n", ended.stderr


@pytest.mark.parametrize("order", ["del reader, batch, view", "del view, reader, batch", "pass",
                                   "sys.modules['kept'] = (view, batch, reader)", "sys.kept = view; del batch"])
def test_interpreters_end_in_any_order(link, order):
    ended = run_child(f"""
import sys
import hugepcap
from helpers import send
reader = hugepcap.open_live("far", 65535, 1, 1000)
send("near", 5)
batch = reader.next_block()
view = batch[1]
{order}
""")
    assert ended.returncode == 0, ended.stderr


def test_a_thousand_readers_with_views_leave_nothing(link):
    def once():
        reader = hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=1 << 20)
        batch = reader.next_block(timeout=0)
        reader.close()
        return batch

    def state():
        gc.collect()
        with open("/proc/self/maps") as maps:
            return len(os.listdir("/proc/self/fd")), sum("socket:" in line for line in maps)

    once()
    before = state()
    for _ in range(100):
        once()
    assert state() == before


# ---- asyncio ----

def test_async_packets_and_batches(reader, link):
    async def capture():
        seen = []
        async for _, data in reader:
            seen.append(sequence_of(data))
            if len(seen) == 50:
                break
        async for batch in reader.batches(limit=50):
            seen += numbers(batch)
        return seen

    async def main():
        capturing = asyncio.ensure_future(capture())
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, lambda: send(link.near, 100))
        return await asyncio.wait_for(capturing, 30)

    assert asyncio.run(main()) == list(range(100))


def test_async_timeout(reader):
    async def main():
        async for batch in reader.batches(timeout=0.01):
            return len(batch)

    assert asyncio.run(main()) == 0


def test_cancelling_loses_nothing(reader, link):
    async def main():
        seen = []
        waiting = asyncio.ensure_future(reader.__anext__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert waiting.cancelled()
        send(link.near, 10)
        while len(seen) < 10:
            step = asyncio.ensure_future(reader.__anext__())
            for _ in range(1 + len(seen) % 3):
                await asyncio.sleep(0)
            step.cancel()
            await asyncio.gather(step, return_exceptions=True)
            if not step.cancelled():
                seen.append(sequence_of(step.result()[1]))
        return seen

    assert asyncio.run(asyncio.wait_for(main(), 60)) == list(range(10))


async def packet_by_packet(reader):
    async for _ in reader:
        pass


async def batch_by_batch(reader):
    async for _ in reader.batches(max_packets=1):
        pass


@pytest.mark.parametrize("read", [packet_by_packet, batch_by_batch])
def test_a_task_that_never_waits_can_be_cancelled(tmp_path, read):
    """A terabyte of empty packets, which are there all the time."""
    path = write_pcap(tmp_path / "endless", [])
    os.truncate(path, 1 << 40)

    async def main():
        with hugepcap.open_offline(path) as endless:
            reading = asyncio.ensure_future(read(endless))
            asyncio.get_running_loop().call_later(0.05, reading.cancel)
            with pytest.raises(asyncio.CancelledError):
                await reading

    asyncio.run(main())


@pytest.mark.parametrize("read", [packet_by_packet, batch_by_batch])
def test_two_tasks_cannot_share_a_reader(reader, link, read):
    async def main():
        first = asyncio.ensure_future(reader.__anext__())
        await asyncio.sleep(0.01)
        with pytest.raises(hugepcap.PcapError, match="reading from this Reader already"):
            await asyncio.wait_for(read(reader), 30)
        send(link.near, 1, first_seq=7)
        return sequence_of((await asyncio.wait_for(first, 30))[1])

    assert asyncio.run(main()) == 7


@pytest.mark.parametrize("end", [lambda reader: reader.breakloop(), lambda reader: reader.close()])
def test_async_loops_end(link, end):
    async def main():
        async def packets():
            return [packet async for packet in reader]

        reading = asyncio.ensure_future(packets())
        await asyncio.sleep(0.05)
        end(reader)
        return await asyncio.wait_for(reading, 30)

    with hugepcap.open_live(link.far, 65535, 1, 0) as reader:
        assert asyncio.run(main()) == []


async def sequence_by_packets(reader):
    return [sequence_of(data) async for _, data in reader]


async def sequence_by_batches(reader):
    return [number async for batch in reader.batches() for number in numbers(batch)]


@pytest.mark.parametrize("read", [sequence_by_packets, sequence_by_batches])
def test_async_loops_read_out_and_end_after_stop(reader, link, read):
    async def main():
        reading = asyncio.ensure_future(read(reader))
        await asyncio.sleep(0.05)
        send(link.near, 50)
        reader.stop()
        send(link.near, 50, first_seq=50)
        return await asyncio.wait_for(reading, 30)

    assert asyncio.run(main()) == list(range(50))


def test_reads_that_never_wait_end_after_stop(reader, link):
    send(link.near, 5)
    reader.stop()
    seen = []
    wait_until(lambda: (batch := reader.next_block(timeout=0)) is None or seen.extend(numbers(batch)), "the end")
    assert seen == list(range(5))


def test_reads_that_never_wait_leave_the_descriptor_quiet(reader, link):
    """While the ring's last block is held: an event loop would read without pause."""
    send(link.near, 3)
    held = reader.next_block()
    while len(reader.next_block(timeout=0)):
        pass
    assert select.select([reader.wait_fd()], [], [], 0)[0] == [] and len(held) == 3


# ---- the collector ----

def test_a_view_in_a_cycle_gives_its_block_back(link):
    gc.disable()
    try:
        with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=1 << 20) as reader:
            for turn in range(2 * reader.ring.block_nr):
                batch = take_one(reader, link, 3)
                cycle = {"view": batch[0]}
                cycle["itself"] = cycle
                del batch, cycle
                assert reader.ring.held_blocks, turn
                gc.collect()
                assert reader.ring.held_blocks == 0, turn
    finally:
        gc.enable()


# What a finalizer does to the batch of which a view is just being made.
AMID_A_VIEW = """
import gc, sys
import hugepcap
from helpers import send

near, far, way, deed = sys.argv[1:]
WAYS = {"index": lambda batch: batch[0], "iteration": lambda batch: next(iter(batch)), "column": lambda batch: batch.ts_ns}
DEEDS = {"release": lambda batch: batch.release(), "view": lambda batch: batch[-1]}

class Garbage:
    def __init__(self, batch):
        self.batch, self.me = batch, self

    def __del__(self):
        DEEDS[deed](self.batch)
        done.append(deed)

gc.disable()
gc.set_threshold(1, 1, 1)
done = []
with hugepcap.open_live(far, 65535, 1, 20, ring_bytes=1 << 20) as reader:
    for _ in range(50):
        send(near, 3)
        batch = reader.next_block(timeout=20)
        wanted = batch.bytes(0) if way != "column" else batch.ts_ns.tobytes()
        Garbage(batch)
        gc.enable()
        try:
            assert bytes(WAYS[way](batch)) == wanted
        except ValueError as error:    # released before
            assert "was released" in str(error)
        gc.disable()
        gc.collect()
        del batch
    assert len(done) == 50 and reader.ring.held_blocks == 0
"""


@pytest.mark.parametrize("deed", ["release", "view"])
@pytest.mark.parametrize("way", ["index", "iteration", "column"])
def test_finalizers_amid_a_view(link, way, deed):
    child = run_child(AMID_A_VIEW, link.near, link.far, way, deed)
    assert child.returncode == 0, child.stderr


# ---- time-outs ----

@pytest.mark.parametrize("timeout, error, words", [
    (-1, ValueError, "timeout -1: seconds"), (float("nan"), ValueError, "timeout nan: seconds"),
    ("x", TypeError, "timeout: seconds are a number, not str")])
def test_timeouts_that_are_none(reader, timeout, error, words):
    for read in (reader.batches, reader.next_block):
        pytest.raises(error, read, timeout=timeout).match(words)


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 10**400])
def test_timeouts_beyond_all_bounds_are_for_ever(reader, link, timeout):
    first = Background(reader.next_block, timeout=timeout)
    send(link.near, 3)
    assert len(first.result())

    async def one():
        return await reader.batches(timeout=timeout).__anext__()

    send(link.near, 3)
    assert len(asyncio.run(one()))


@pytest.mark.parametrize("timeout", [None, 0.5, 10.0])
def test_a_cancel_that_comes_with_the_packets(reader, link, timeout):
    """Both in one turn of the loop: the task is cancelled, and the packets are there for the next."""
    async def capture():
        task = asyncio.ensure_future(reader.batches(timeout=timeout).__anext__())
        await asyncio.sleep(0.05)
        asyncio.get_running_loop().call_later(0.01, task.cancel)
        send(link.near, 10)
        select.select([reader.wait_fd()], [], [], 20)
        time.sleep(0.02)
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(capture())
    assert [number for batch in take(reader, 10) for number in numbers(batch)] == list(range(10))
