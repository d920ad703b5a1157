# SPDX-License-Identifier: BSD-3-Clause
"""Whatever a file has, every way of reading delivers it: the same bytes, times and lengths in the same order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hugepcap
from files import MODIFIED, interface, old_pcap, section, simple
from files import enhanced as block_of
from helpers.packets import CORPUS
from helpers.savefile import MICRO, NANO, Record, pcap_bytes, pcapng_bytes
from helpers.ways import WAYS, read, shown_by

# The end of a file is nothing to wait for: this many more are asked for than there are.
BEYOND = 5

datas = st.binary(max_size=200) | st.sampled_from(list(CORPUS.values())) | \
    st.builds(lambda size, byte: bytes([byte]) * size, st.integers(0, 1500), st.integers(0, 255))
seconds = st.integers(0, 2**31 - 1)
records = st.lists(st.builds(lambda data, sec, usec, cut: Record(data, sec, usec, len(data) + cut), datas, seconds,
                             st.integers(0, 999_999), st.integers(0, 9)), max_size=40)
steps = st.lists(st.integers(1, 50), min_size=1, max_size=4)
orders = st.sampled_from("<>")


def pcap(records, magic, order):
    """(bytes of a file, rows that are in it)."""
    unit = 1 if magic == NANO else 1000
    return pcap_bytes(records, magic=magic, order=order), rows_of(records, unit)


def pcapng(records, digits):
    return pcapng_bytes(records, digits=digits), rows_of(records, 10 ** (9 - digits))


def mixed_pcapng(records, order):
    """Two sections; enhanced blocks, and simple ones, which have no time."""
    half, raw, rows = len(records) // 2, b"", []
    for part in (records[:half], records[half:]):
        raw += section(order) + interface(order)
        for i, record in enumerate(part):
            ticks = record.sec * 10**6 + record.fraction
            timed = i % 3 != 2
            raw += block_of(record.data, ticks, order) if timed else simple(record.data, order)
            rows.append((ticks * 1000, len(record.data) + 3, record.data) if timed else (0, len(record.data), record.data))
    return raw, rows


def old(records, version, magic, order):
    return old_pcap(records, version, magic, order), rows_of(records, 1000)


def rows_of(records, unit):
    return [(r.sec * 10**9 + r.fraction * unit, r.length, r.data) for r in records]


files = st.builds(pcap, records, st.sampled_from([MICRO, NANO]), orders) | \
    st.builds(pcapng, records, st.sampled_from([6, 9])) | st.builds(mixed_pcapng, records, orders) | \
    st.builds(old, records, st.just((2, 4)), st.just(MODIFIED), orders)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("property") / "file"


@settings(max_examples=100, deadline=None)
@given(files, steps)
def test_every_way_delivers_the_same(path, file, mosts):
    raw, rows = file
    path.write_bytes(raw)
    for way, step in WAYS.items():
        with hugepcap.open_offline(path) as reader:
            assert read(reader, step, len(rows), mosts) == shown_by(way, rows), way
            assert step(reader, BEYOND) == [], f"{way}: more than the file has"


@settings(max_examples=60, deadline=None)
@given(files, st.lists(st.tuples(st.sampled_from(sorted(WAYS)), st.integers(1, 9)), min_size=1, max_size=12))
def test_ways_can_take_turns(path, file, turns):
    """One reader, each step by another way: no packet twice, none left out."""
    raw, rows = file
    path.write_bytes(raw)
    seen = []
    with hugepcap.open_offline(path) as reader:
        for way, most in turns:
            here = WAYS[way](reader, most)
            assert here == shown_by(way, rows[len(seen):len(seen) + len(here)]), way
            seen += here
        assert len(seen) <= len(rows)
        assert read(reader, WAYS["loop"], len(rows) - len(seen), [50]) == rows[len(seen):]
