# SPDX-License-Identifier: BSD-3-Clause
"""Regular files: the same packets as through libpcap, in memory that outlives the reader, while files change."""

import asyncio
import gc
import mmap
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import threading

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hugepcap
from files import all_forms, block, enhanced, interface, pcapng_of_everything, section
from helpers import Background, run_child
from helpers.packets import CORPUS
from helpers.savefile import NANO, Record, numbered, pcap_bytes
from hugepcap.errors import PcapCorruptError

RECORDS = [record._replace(length=len(record.data) + 9) for record in numbered(CORPUS.values())]
FORMS = all_forms(RECORDS)
BYTE_ORDER = b"\x4d\x3c\x2b\x1a"
TWICE = block(1, struct.pack("<HHI", 1, 0, 65535) + 2 * struct.pack("<HHB3x", 9, 1, 6))
THROUGH_PIPE = """
import hugepcap, pickle, sys
reader = hugepcap.open_offline("-")
found = [(hdr.ts_ns, hdr.getlen(), data) for hdr, data in reader]
sys.stdout.buffer.write(pickle.dumps((reader.datalink(), reader.snapshot, found)))
"""


def written(tmp_path, raw, name="file"):
    path = tmp_path / name
    path.write_bytes(raw)
    return path


def descriptor_of(path):
    numbers = os.listdir("/proc/self/fd")
    return next(int(number) for number in numbers if os.path.realpath(f"/proc/self/fd/{number}") == str(path))


MAPPED = pytest.mark.parametrize("mapped", [False, True])


def by_iteration(path, **options):
    with hugepcap.open_offline(path, **options) as reader:
        return [(hdr.ts_ns, hdr.getlen(), data) for hdr, data in reader]


def by_batches(path, max_packets=7, **options):
    with hugepcap.open_offline(path, **options) as reader:
        return [row for batch in reader.batches(max_packets=max_packets)
                for row in zip(batch.ts_ns.tolist(), batch.len.tolist(), map(bytes, batch))]


@pytest.mark.parametrize("form", FORMS)
def test_as_libpcap(tmp_path, form):
    """A pipe is read by libpcap."""
    path = written(tmp_path, FORMS[form])
    raw = subprocess.run([sys.executable, "-c", THROUGH_PIPE], input=FORMS[form], stdout=subprocess.PIPE, check=True)
    datalink, snapshot, found = pickle.loads(raw.stdout)
    assert found and by_iteration(path) == by_batches(path) == found
    with hugepcap.open_offline(path) as reader:
        assert (reader.datalink(), reader.snapshot) == (datalink, snapshot)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=90), st.integers(0, 2**32 - 1), st.integers(0, 10**9 - 1)), max_size=30),
       st.sampled_from("<>"), st.integers(1, 9))
def test_what_was_put_in(tmp_path_factory, packets, order, step):
    records = [Record(*packet) for packet in packets]
    path = written(tmp_path_factory.mktemp("put"), pcap_bytes(records, magic=NANO, order=order))
    expected = [(r.sec * 10**9 + r.fraction, len(r.data), r.data) for r in records]
    assert by_iteration(path) == by_batches(path, step) == expected


# ---- memory ----

@MAPPED
def test_views_outlive_everything(tmp_path, mapped):
    path = written(tmp_path, FORMS["cooked"])
    reader = hugepcap.open_offline(path, mapped=mapped)
    batch = reader.next_block()
    views = list(batch)
    reader.close()
    assert bytes(batch[0]) == RECORDS[0].data
    del reader, batch
    gc.collect()
    assert [bytes(view) for view in views] == [record.data for record in RECORDS]
    assert all(view.readonly for view in views)


@MAPPED
def test_batches_that_are_kept_do_not_change(tmp_path, mapped):
    """More of them than a file keeps chunks, of blocks on both sides of a chunk's size; their memory is given back."""
    comments = struct.pack("<HH", 1, 60_000) + bytes(60_000)
    packets = [bytes([number]) * size for number, size in enumerate([70_000] * 200 + [262_144] * 5 + [60] * 5)]
    blocks = [enhanced(packet, 0) for packet in packets[:-5]]
    blocks += [enhanced(packet, 0, options=comments * 40) for packet in packets[-5:]]
    path = written(tmp_path, section() + interface(snaplen=262_144) + b"".join(blocks))
    with hugepcap.open_offline(path, mapped=mapped) as reader:
        batches = list(reader.batches())
    assert len(batches) > 12
    assert [bytes(view) for batch in batches for view in batch] == packets
    view, expected = batches[7][0], bytes(batches[7][0])
    del batches
    gc.collect()
    assert view == expected


def test_memory_is_used_again(tmp_path):
    """Who lets batches go reads a file of any size in a few chunks."""
    path = written(tmp_path, pcap_bytes([Record(bytes(65_000), 1, 1)] * 64))
    with hugepcap.open_offline(path) as reader:
        places = {numpy.asarray(batch[0]).ctypes.data - batch.offset[0] for batch in reader.batches()}
    assert len(places) <= 4


# ---- what is left to libpcap ----

@pytest.mark.parametrize("order, linktype, ours", [
    ("<", 113, True), (">", 113, False), (">", 1, True), (">", 101, True), ("<", 220, False), ("<", 231, False)])
def test_link_types_that_libpcap_mends(tmp_path, order, linktype, ours):
    path = written(tmp_path, pcap_bytes(RECORDS[:1], order=order, linktype=linktype))
    with hugepcap.open_offline(path) as reader:
        assert reader.engine == ("savefile" if ours else "libpcap")
        assert reader.next()[0].getcaplen()


# ---- filters ----

def test_filters_change_on_the_way(tmp_path):
    path = written(tmp_path, pcap_bytes(RECORDS))
    names = list(CORPUS)
    with hugepcap.open_offline(path) as reader:
        reader.setfilter("udp port 53")
        assert reader.next()[1] == CORPUS["dns query"]
        reader.setfilter("arp")
        batch = reader.next_block()
        assert [bytes(packet) for packet in batch] == [CORPUS["arp"]]
        assert reader.next_block() is None
    assert names.index("dns query") < names.index("arp")


READS = {
    "next": lambda reader: reader.next(), "iteration": list, "loop": lambda reader: reader.loop(-1, print),
    "dispatch": lambda reader: reader.dispatch(-1, print), "next_batch": lambda reader: reader.next_batch(10),
    "next_block": lambda reader: reader.next_block(), "batches": lambda reader: list(reader.batches()),
    "loop_filtered": lambda reader: reader.loop_filtered(-1, print),
    "loop_to_buffer": lambda reader: reader.loop_to_buffer(-1, bytearray(100)),
}


@pytest.fixture
def endless(tmp_path):
    """A Reader of a terabyte in which its filter accepts nothing: a record of zeros is an empty packet."""
    path = written(tmp_path, pcap_bytes(RECORDS[:1]))
    os.truncate(path, 1 << 40)
    with hugepcap.open_offline(path) as reader:
        reader.setfilter("tcp port 9999")
        yield reader


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("end", ["breakloop", "close"])
def test_a_search_can_be_ended(endless, read, end):
    searching = Background(READS[read], endless)
    searching.join(0.05)
    assert searching.is_alive()
    getattr(endless, end)()
    searching.result()


@pytest.mark.parametrize("read", READS)
def test_a_search_can_be_interrupted(endless, read):
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        READS[read](endless)
    timer.join()


def test_a_search_has_its_time(endless):
    assert len(endless.next_block(timeout=0.01)) == len(next(endless.batches(timeout=0))) == 0


@pytest.mark.parametrize("step", [lambda reader: reader.__anext__(), lambda reader: reader.batches().__anext__()])
def test_a_search_leaves_the_event_loop_its_turns(endless, step):
    async def main():
        searching = asyncio.ensure_future(step(endless))
        asyncio.get_running_loop().call_later(0.05, searching.cancel)
        with pytest.raises(asyncio.CancelledError):
            await searching

    asyncio.run(main())


def test_a_search_finds_what_is_far_away(tmp_path):
    """Behind many stretches of other packets, each by another way."""
    others = pcap_bytes([Record(bytes(60), 1, 1)] * 20_000)[24:]
    found = pcap_bytes(RECORDS[:1])[24:]
    path = written(tmp_path, pcap_bytes([]) + (others + found) * 5)
    seen = []
    with hugepcap.open_offline(path) as reader:
        reader.setfilter("greater 61")    # of the length on the wire
        seen += [reader.next()[1], reader.next_batch(1)[0], bytes(reader.next_block()[0])]
        assert reader.dispatch(-1, lambda hdr, data: seen.append(data)) == 2
        assert reader.next() == (None, b"") and reader.next_block() is None
    assert seen == [RECORDS[0].data] * 5


# Prints how many pages the kernel had to find for a second reading of the file in calls of 1024 packets.
FAULTS = """
import resource, sys
import hugepcap

def read_all():
    with hugepcap.open_offline(sys.argv[1]) as reader:
        batch = reader.next_batch(1024)
        while batch[0]:
            batch = reader.next_batch(1024)    # while the last one is still there

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

read_all()
before = faults()
read_all()
print(faults() - before)
"""


def test_batches_of_many_sizes_keep_to_the_same_memory(tmp_path):
    sizes = random.Random(1)
    raw = pcap_bytes(numbered(bytes(sizes.randint(700, 1500)) for _ in range(50_000)))
    child = run_child(FAULTS, written(tmp_path, raw))
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) < len(raw) // mmap.PAGESIZE // 4


# ---- files that change ----

@MAPPED
def test_a_file_that_grows(tmp_path, mapped):
    raw = pcap_bytes(RECORDS[:3])
    more = pcap_bytes(RECORDS[3:5])[24:]
    path = written(tmp_path, raw)
    with hugepcap.open_offline(path, mapped=mapped) as reader:
        first = reader.next_block()
        assert len(first) == 3 and reader.next() == (None, b"")
        with open(path, "ab") as file:
            file.write(more)
        assert [data for _, data in reader] == [record.data for record in RECORDS[3:5]]
    assert [bytes(view) for view in first] == [record.data for record in RECORDS[:3]]


@MAPPED
def test_a_record_that_is_being_written(tmp_path, mapped):
    """It is an error as long as it is not whole, as with libpcap; then it is a packet."""
    raw = pcap_bytes(RECORDS[:2])
    path = written(tmp_path, raw[:-1])
    with hugepcap.open_offline(path, mapped=mapped) as reader:
        assert reader.next()[1] == RECORDS[0].data
        with pytest.raises(PcapCorruptError, match=f"after 1 packets, at byte {len(raw) - 1}: truncated"):
            reader.next()
        with open(path, "ab") as file:
            file.write(raw[-1:])
        assert reader.next()[1] == RECORDS[1].data


@pytest.mark.parametrize("cut", [24, 24 + 5])
def test_a_file_that_is_cut_off(tmp_path, cut):
    """What was read before is given; where more is needed, there is an error, and not SIGBUS."""
    path = written(tmp_path, pcap_bytes([Record(bytes([number]) * (16384 - 16), 1, 1) for number in range(200)]))
    with hugepcap.open_offline(path) as reader:
        first = reader.next_block()
        os.truncate(path, cut)
        with pytest.raises(PcapCorruptError, match=f"cut off to {cut} bytes while"):
            reader.next()
    assert [view[-1] for view in first] == list(range(len(first))) and 10 < len(first) < 200


@pytest.mark.parametrize("cut, reason", [(24, "cut off to 24 bytes while"), (1 << 16, "truncated"), (0, "cut off to 0")])
def test_a_mapped_file_that_is_cut_off(tmp_path, cut, reason):
    """Seen by the next batch; what batches have of it already must not be touched any more."""
    path = written(tmp_path, pcap_bytes([Record(bytes([number]) * (16384 - 16), 1, 1) for number in range(200)]))
    with hugepcap.open_offline(path, mapped=True) as reader:
        assert len(next(reader.batches(max_packets=2))) == 2
        os.truncate(path, cut)
        with pytest.raises(PcapCorruptError, match=reason):
            list(reader.batches(max_packets=2))


def test_packets_of_a_mapped_file_that_is_cut_off(tmp_path):
    """One by one they are seen every MiB."""
    path = written(tmp_path, pcap_bytes([Record(bytes(16384 - 16), 1, 1)] * 200))
    with hugepcap.open_offline(path, mapped=True) as reader:
        for _ in range(63):
            assert reader.next()[0]
        os.truncate(path, 24 + 63 * 16384 + 20)
        with pytest.raises(PcapCorruptError, match="truncated dump file: 20 of the 16384"):
            reader.next()


def test_what_cannot_be_mapped(tmp_path):
    path = written(tmp_path, pcap_bytes(RECORDS[:1], linktype=220))
    with pytest.raises(hugepcap.PcapError, match="cannot be mapped: libpcap reads it; leave out"):
        hugepcap.open_offline(path, mapped=True)


def test_a_file_that_cannot_be_read(tmp_path):
    """The descriptor taken away under the reader stands in for a disk that fails."""
    path = written(tmp_path, pcap_bytes([Record(bytes(16384 - 16), 1, 1)] * 200))
    with hugepcap.open_offline(path) as reader, open(os.devnull, "w") as other:
        assert reader.next_block()
        os.dup2(other.fileno(), descriptor_of(path))
        with pytest.raises(hugepcap.PcapError, match=f"read {path}: after .* packets, at byte"):
            reader.next()


# ---- errors ----

@pytest.mark.parametrize("blocks, reason", [
    (enhanced(b"x", 1, number=7), "interface 7"), (interface(snaplen=99), "snapshot length 99"),
    (interface(linktype=113), "type 113"), (section().replace(BYTE_ORDER, BYTE_ORDER[::-1]), "byte orders"),
    (struct.pack("<III", 9, 13, 13), "length of 13"), (struct.pack("<III", 9, 12, 16), "length of 12"),
    (struct.pack("<II", 9, 1 << 30), "block size"),
    (interface(resolution=20), "if_tsresol"), (TWICE, "option 9 twice"), (section() + enhanced(b"x", 1), "interface 0"),
    (struct.pack("<IIII", 6, 16, 0, 16), "too short")])
def test_broken_pcapng(tmp_path, blocks, reason):
    path = written(tmp_path, pcapng_of_everything() + interface() + blocks)
    packets = len(by_iteration(written(tmp_path, pcapng_of_everything(), "whole")))
    with hugepcap.open_offline(path) as reader, pytest.raises(PcapCorruptError) as caught:
        reader.loop(-1, lambda *packet: None)
    assert f"read {path}: after {packets} packets, at byte" in str(caught.value) and reason in str(caught.value)


@pytest.mark.parametrize("caplen, snaplen, reason",
                         [(262145, 65535, "snaplen of 65535"), (262145, 2**31 - 1, "maximum of 262144")])
def test_lengths_that_cannot_be(tmp_path, caplen, snaplen, reason):
    raw = pcap_bytes([Record(bytes(caplen), 1, 2)], snaplen=snaplen)
    with hugepcap.open_offline(written(tmp_path, raw)) as reader, pytest.raises(PcapCorruptError, match=reason):
        reader.next()
