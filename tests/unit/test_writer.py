# SPDX-License-Identifier: BSD-3-Clause
"""Writer: what it writes is read back by our reader, by libpcap, dpkt, tcpdump and capinfos; and what goes wrong."""

import contextlib
import errno
import io
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hugepcap
from helpers.packets import CORPUS
from helpers.savefile import NANO, numbered, write_pcap
from hugepcap.errors import PcapCorruptError

PACKETS = list(CORPUS.values())
FORMATS = ["pcap", "pcapng"]


@pytest.fixture
def path(tmp_path):
    return write_pcap(tmp_path / "source", numbered(PACKETS), magic=NANO)


@pytest.fixture
def source(path):
    with hugepcap.open_offline(path) as reader:
        yield reader


def packets_of(path):
    with hugepcap.open_offline(path) as reader:
        return [(hdr.ts_ns, hdr.getlen(), data) for hdr, data in reader]


def through_libpcap(path):
    """As packets_of(), from a pipe, which libpcap reads: the mapped reader has no part in it."""
    code = "import hugepcap, sys, pickle; sys.stdout.buffer.write(pickle.dumps(" \
           "[(h.ts_ns, h.getlen(), d) for h, d in hugepcap.open_offline('-')]))"
    raw = subprocess.run([sys.executable, "-c", code], input=open(path, "rb").read(), stdout=subprocess.PIPE, check=True)
    return pickle.loads(raw.stdout)


def through_dpkt(path, form):
    with open(path, "rb") as file:
        reader = dpkt.pcap.Reader(file) if form == "pcap" else dpkt.pcapng.Reader(file)
        return [data for _, data in reader]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("nanoseconds, unit_ns", [(True, 1), (False, 1000)])
def test_batches(source, path, tmp_path, form, nanoseconds, unit_ns):
    copy = tmp_path / "copy"
    with hugepcap.Writer(copy, 1, format=form, nanoseconds=nanoseconds) as writer:
        counts = [writer.write(batch) for batch in source.batches(max_packets=5)]
        assert sum(counts) == writer.packets == len(PACKETS)
        assert writer.bytes == copy.stat().st_size    # nothing pends behind write()
    expected = [(ts // unit_ns * unit_ns, length, data) for ts, length, data in packets_of(path)]
    assert packets_of(copy) == through_libpcap(copy) == expected
    assert through_dpkt(copy, form) == PACKETS


@pytest.mark.parametrize("form", FORMATS)
def test_max_bytes(source, path, tmp_path, form):
    """A file ends before the packet that would make it larger; with what is left the next begins."""
    names, expected = [tmp_path / "0"], packets_of(path)
    writer = hugepcap.Writer(names[-1], 1, format=form)
    most = writer.bytes + max(len(data) for data in PACKETS) + 48    # one record's headers and padding are less
    with source.next_block() as batch:
        at = writer.write(batch, max_bytes=most)
        while at < len(batch):
            writer.close()
            assert writer.bytes == names[-1].stat().st_size <= most < writer.bytes + 48 + batch.caplen[at]
            names.append(tmp_path / str(len(names)))
            writer = hugepcap.Writer(names[-1], 1, format=form)
            at += writer.write(batch[at:], max_bytes=most)
        writer.close()
    assert len(names) > 3 and sum(map(packets_of, names), []) == expected


def test_max_bytes_below_the_head_writes_nothing(source, tmp_path):
    with source.next_block() as batch, hugepcap.Writer(tmp_path / "copy", 1) as writer:
        assert writer.write(batch, max_bytes=0) == writer.packets == 0
        with pytest.raises(ValueError, match="max_bytes -1"):
            writer.write(batch, max_bytes=-1)


@pytest.mark.parametrize("form", FORMATS)
def test_what_other_programs_say(source, tmp_path, form):
    copy = tmp_path / "copy"
    with hugepcap.Writer(copy, 1, format=form) as writer:
        for batch in source.batches():
            writer.write(batch)
    listed = subprocess.run(["tcpdump", "-nn", "-r", copy], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) >= len(PACKETS) and "truncated" not in listed.stderr
    told = subprocess.run(["capinfos", "-M", "-c", "-t", "-E", copy], capture_output=True, text=True, check=True).stdout
    assert f"Number of packets:   {len(PACKETS)}" in told and "File encapsulation:  ether" in told


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.binary(max_size=70) | st.binary(min_size=1016, max_size=1032),
                          st.integers(0, 2**32 * 10**9 - 1), st.integers(0, 99)), max_size=40),
       st.sampled_from(FORMATS), st.booleans(), st.integers(1, 7))
def test_round_trip(tmp_path_factory, packets, form, batched, step):
    """Sizes on both sides of what is copied; by write_packet() and by write()."""
    where = tmp_path_factory.mktemp("trip")
    first = where / "first"
    with hugepcap.Writer(first, 1, format=form) as writer:
        for data, ts_ns, more in packets:
            writer.write_packet(hugepcap.Pkthdr(ts_ns=ts_ns, caplen=len(data), len=len(data) + more), data)
    expected = [(ts_ns, len(data) + more, data) for data, ts_ns, more in packets]
    assert packets_of(first) == expected
    assert through_dpkt(first, form) == [data for data, _, _ in packets]
    if batched:
        with hugepcap.open_offline(first) as reader, hugepcap.Writer(where / "second", 1, format=form) as writer:
            for batch in reader.batches(max_packets=step):
                writer.write(batch)
        assert (where / "second").read_bytes() == first.read_bytes()


def test_more_than_fits_at_once(tmp_path):
    """Past the limits of records and of pieces in one writev(), small and large packets mixed."""
    packets = [bytes([i % 251]) * (60 if i % 3 else 3000) for i in range(12000)]
    path = write_pcap(tmp_path / "many", numbered(packets), magic=NANO)
    for form in FORMATS:
        with hugepcap.open_offline(path) as reader, hugepcap.Writer(tmp_path / form, 1, format=form) as writer:
            for batch in reader.batches(max_packets=9000):
                writer.write(batch)
        assert packets_of(tmp_path / form) == packets_of(path)


@pytest.mark.parametrize("linktype", [0, 1, 11, 12, 15, 16, 19, 50, 105, 113, 127, 228, 276])
def test_link_types_are_those_of_libpcap(source, tmp_path, linktype):
    with hugepcap.Writer(tmp_path / "ours", linktype):
        pass
    with hugepcap.open_offline(tmp_path / "ours") as reader:
        assert reader.datalink() == linktype and reader.snapshot == 262144
        reader.dump_open(tmp_path / "theirs", nanoseconds=True).close()
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_snaplen_cuts(source, tmp_path):
    with hugepcap.Writer(tmp_path / "copy", 1, snaplen=20) as writer:
        writer.write(source.next_block())
    assert [(length, data) for _, length, data in packets_of(tmp_path / "copy")] == \
        [(len(packet), packet[:20]) for packet in PACKETS]


def test_no_direction(tmp_path):
    """What is not known is not written: behind the packet come its padding and the block's length."""
    with hugepcap.Writer(tmp_path / "file", 1, format="pcapng") as writer:
        writer.write_packet(hugepcap.Pkthdr(ts_ns=1, caplen=2, len=2), b"xy")
    assert (tmp_path / "file").read_bytes()[-(4 + 4):] == b"xy\0\0" + struct.pack("=I", 36)


# ---- append ----

@pytest.mark.parametrize("form", FORMATS)
def test_append(source, path, tmp_path, form):
    copy = tmp_path / "copy"
    for _ in range(2):
        with hugepcap.Writer(copy, 1, format=form, append=True) as writer:
            writer.write(source.take_batch(5, None))
            assert writer.packets == 5 and writer.bytes == copy.stat().st_size
    assert packets_of(copy) == through_libpcap(copy) == packets_of(path)[:10]


@pytest.mark.parametrize("other", [{"snaplen": 99}, {"nanoseconds": False}, {"format": "pcapng"}])
def test_append_to_another_kind(tmp_path, other):
    hugepcap.Writer(tmp_path / "file", 1).close()
    before = (tmp_path / "file").read_bytes()
    with pytest.raises(hugepcap.PcapError, match="append .*file: it is not"):
        hugepcap.Writer(tmp_path / "file", 1, append=True, **other)
    assert (tmp_path / "file").read_bytes() == before


@pytest.mark.parametrize("first, second", [((1, {}), (113, {})), ((1, {"snaplen": 99}), (1, {})), ((12, {}), (1, {}))])
def test_append_another_interface(tmp_path, first, second):
    """No reader of libpcap's takes a pcapng file of both."""
    path = tmp_path / "file"
    linktype, options = first
    for append in (False, True):    # the same is taken: 12 is 101 in files
        hugepcap.Writer(path, linktype, format="pcapng", append=append, **options).close()
    before = path.read_bytes()
    with pytest.raises(hugepcap.PcapError, match=f"append .*are of link type {linktype} and cut at"):
        hugepcap.Writer(path, second[0], format="pcapng", append=True, **second[1])
    assert path.read_bytes() == before


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kept", [5, 12, 20, -1])
def test_append_behind_a_record_that_is_not_whole(source, tmp_path, form, kept):
    """Refused, with the byte to cut at, and after that it goes on."""
    copy = tmp_path / "copy"
    with hugepcap.Writer(copy, 1, format=form) as writer:
        batch = source.take_batch(3, None)
        writer.write(batch[:2])
        whole = writer.bytes
        writer.write(batch[2:])
        os.truncate(copy, whole + kept if kept > 0 else writer.bytes - 1)
    before = copy.read_bytes()
    with pytest.raises(PcapCorruptError, match=f"from byte {whole} of {len(before)} on .*truncate -s {whole}"):
        hugepcap.Writer(copy, 1, format=form, append=True)
    assert copy.read_bytes() == before
    os.truncate(copy, whole)
    with hugepcap.Writer(copy, 1, format=form, append=True) as writer:
        writer.write(batch[2:])
    assert [data for _, _, data in packets_of(copy)] == PACKETS[:3]


@pytest.mark.parametrize("form", FORMATS)
def test_append_to_many_records(tmp_path, form):
    """More than are looked at in one call."""
    copy = tmp_path / "copy"
    for _ in range(2):
        with hugepcap.Writer(copy, 1, format=form, append=True) as writer:
            for _ in range(70_000):
                writer.write_packet(hugepcap.Pkthdr(ts_ns=1, caplen=0, len=0), b"")
    with hugepcap.open_offline(copy) as reader:
        assert sum(map(len, reader.batches())) == 140_000


# ---- what goes wrong ----

@contextlib.contextmanager
def disk_of(limit):
    """A file size limit stands for a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("form, already", [("pcap", 0), ("pcapng", 0), ("pcapng", 3)])
def test_a_disk_that_is_full_with_the_head(source, tmp_path, form, already):
    """A part of a file's or section's head is taken back."""
    copy = tmp_path / "copy"
    if already:
        with hugepcap.Writer(copy, 1, format=form) as writer:
            writer.write(source.take_batch(already, None))
    before = copy.read_bytes() if already else b""
    with disk_of(len(before) + 20), pytest.raises(hugepcap.PcapError) as caught:
        hugepcap.Writer(copy, 1, format=form, append=True)
    assert caught.value.errno == errno.EFBIG and copy.read_bytes() == before

def test_full_disk(source, tmp_path):
    """What is there is whole, counted, and can be gone on with."""
    limit = 2000
    with hugepcap.Writer(tmp_path / "copy", 1) as writer:
        batch = source.next_block()
        with disk_of(limit), pytest.raises(hugepcap.PcapError) as caught:
            for _ in range(40):
                writer.write(batch)
        assert caught.value.errno == errno.EFBIG and "copy" in str(caught.value)
        size = (tmp_path / "copy").stat().st_size
        assert limit - 1600 < size <= limit and writer.bytes == size
        kept = writer.packets
        writer.write(batch)
    found = packets_of(tmp_path / "copy")
    assert [data for _, _, data in found] == (PACKETS * 40)[:kept] + PACKETS


def test_device_that_is_full():
    with pytest.raises(hugepcap.PcapError) as caught:
        hugepcap.Writer("/dev/full", 1)
    assert caught.value.errno == errno.ENOSPC


def test_signal_during_a_wait_for_a_pipe(tmp_path):
    """The reader of the pipe does nothing: write() waits until the handler raises."""
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    big = hugepcap.Pkthdr(ts_ns=1, caplen=200_000, len=200_000)

    def stop(*_):
        raise InterruptedError("enough")

    handler = signal.signal(signal.SIGALRM, stop)
    try:
        writer = hugepcap.Writer(tmp_path / "pipe", 1)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        with pytest.raises(InterruptedError):
            for _ in range(10):
                writer.write_packet(big, bytes(200_000))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert writer.packets == 0
    with pytest.raises(hugepcap.PcapError, match="middle of a packet"):
        writer.flush()
    writer.close()
    os.close(reading)


@pytest.mark.parametrize("form, ts_ns, word", [("pcap", 2**32 * 10**9, "pcapng"), ("pcap", -1, "1970"), ("pcapng", -1, "1970")])
def test_times_that_do_not_fit(tmp_path, form, ts_ns, word):
    with hugepcap.Writer(tmp_path / "file", 1, format=form) as writer:
        with pytest.raises(hugepcap.PcapError, match=word):
            writer.write_packet(hugepcap.Pkthdr(ts_ns=ts_ns, caplen=1, len=1), b"x")
        writer.write_packet(hugepcap.Pkthdr(ts_ns=5, caplen=1, len=1), b"y")
    assert packets_of(tmp_path / "file") == [(5, 1, b"y")]


def test_wrong_calls(source, tmp_path):
    batch = source.next_block()
    with hugepcap.Writer(tmp_path / "file", 113) as writer:
        with pytest.raises(hugepcap.PcapError, match="link type 1 into a file of 113"):
            writer.write(batch)
        with pytest.raises(ValueError, match="caplen|says 3 bytes"):
            writer.write_packet(hugepcap.Pkthdr(caplen=3, len=3), b"ab")
        pytest.raises(TypeError, writer.write, b"bytes")
        batch.release()
        pytest.raises(ValueError, writer.write, batch)
    for call in (writer.flush, writer.fileno, writer.__enter__):
        pytest.raises(ValueError, call)
    writer.close()
    for given_ in ({"format": "gzip"}, {"snaplen": 0}, {"snaplen": 262145}):
        pytest.raises(ValueError, hugepcap.Writer, tmp_path / "other", 1, **given_)
    with pytest.raises(FileNotFoundError):
        hugepcap.Writer(tmp_path / "none" / "file", 1)


def test_unclosed(tmp_path):
    writer = hugepcap.Writer(tmp_path / "file", 1)
    writer.write_packet(hugepcap.Pkthdr(caplen=1, len=1), b"x")
    with pytest.warns(ResourceWarning, match="unclosed"):
        del writer
    assert len(packets_of(tmp_path / "file")) == 1


def test_standard_output(path):
    code = "import hugepcap, sys\nwith hugepcap.open_offline(sys.argv[1]) as r, hugepcap.Writer('-', 1) as w:\n" \
           "    for batch in r.batches(): w.write(batch)"
    ended = subprocess.run([sys.executable, "-c", code, path], stdout=subprocess.PIPE, check=True)
    assert [data for _, data in dpkt.pcap.Reader(io.BytesIO(ended.stdout))] == PACKETS


def test_released_by_another_thread_while_it_is_written(tmp_path):
    path = write_pcap(tmp_path / "source", numbered([bytes(1500)] * 3000), magic=NANO)
    with hugepcap.open_offline(path) as reader, hugepcap.Writer(tmp_path / "copy", 1) as writer:
        batch = reader.next_block()
        thread = threading.Thread(target=batch.release)
        thread.start()
        try:
            writer.write(batch)
        except ValueError:    # the thread was first
            pass
        thread.join()
    assert len(packets_of(tmp_path / "copy")) in (0, 3000)
