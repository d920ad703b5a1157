# SPDX-License-Identifier: BSD-3-Clause
"""Batches as Arrow arrays and streams, as pyarrow, Polars and DuckDB take them."""

import gc
import os
import runpy
from functools import partial
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pytest

import hugepcap
from helpers import Background, run_child, send, sending, wait_until
from helpers.savefile import Record, pcap_bytes, write_pcap
from hugepcap._generate import sequence_of
from arrowarray import DATA, Schema, moved
from reading import take_one
from test_batches import captures_all

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
NAMES = ["ts", "caplen", "len", "vlan_tci", "vlan_tpid", "rxhash", "status", "direction", "data"]


def settled(reader, device, count, **settings):
    """Sends packets and waits until they can be read."""
    send(device, count, **settings)
    reader.stop()
    return reader


def numbers(column):
    return [sequence_of(value.as_py()) for value in column]


def test_an_array_is_the_batch(reader, link):
    batch = take_one(reader, link, 500, partial(send, sizes=(60, 300)))
    array = pa.record_batch(batch)
    array.validate(full=True)
    assert array.schema.names == NAMES and array.num_rows == 500
    assert array.schema.field("ts").type == pa.timestamp("ns", "UTC")
    assert array.column("ts").cast(pa.int64()).to_pylist() == list(batch.ts_ns)
    for name in NAMES[1:-1]:
        assert array.column(name).to_pylist() == list(getattr(batch, name)), name
    assert array.column("data").type == pa.binary_view()
    assert array.column("data").to_pylist() == [bytes(packet) for packet in batch]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_the_kind_that_was_asked_for(reader, link, kind):
    batch = take_one(reader, link, 50)
    wanted = pa.schema([field if field.name != "data" else pa.field("data", kind, False)
                        for field in pa.record_batch(batch).schema])
    array = pa.record_batch(batch, schema=wanted)
    array.validate(full=True)
    assert array.schema.field("data").type == kind and numbers(array.column("data")) == list(range(50))


@pytest.mark.parametrize("name, buffers", [(b"data", 3), (b"other", 4), (None, 4)])
def test_a_requested_field_may_have_no_name(reader, link, name, buffers):
    """Validity, offsets and bytes of binary where `data` was asked for so; else validity, views, a span and its size."""
    wanted = Schema().with_child(Schema(format=b"z", name=name))
    array = moved(take_one(reader, link, 5).__arrow_c_array__(wanted.capsule())[1])
    assert array.children[DATA].contents.n_buffers == buffers
    array.release()


@pytest.mark.parametrize("snaplen", [12, 13])
def test_short_packets_stand_in_their_views(link, snaplen):
    """Up to 12 bytes; the rest point into the ring."""
    with hugepcap.open_live(link.far, snaplen, 1, 20) as short:
        batch = take_one(short, link, 5)
        array = pa.record_batch(batch)
        array.validate(full=True)
        assert array.column("data").to_pylist() == [bytes(packet) for packet in batch]


def test_arrays_keep_the_ring(link):
    reader = hugepcap.open_live(link.far, 65535, 1, 20)
    batch = take_one(reader, link, 20)
    ring, array = reader.ring, pa.record_batch(batch)
    data = array.column("data")
    batch.release()
    reader.close()
    del array, reader, batch
    gc.collect()
    assert ring.held_blocks == 1 and numbers(data) == list(range(20))
    del data
    assert ring.held_blocks == 0


def test_slices_and_empty_batches(reader, link):
    batch = take_one(reader, link, 20)
    part = pa.record_batch(batch[5:9])
    part.validate(full=True)
    assert numbers(part.column("data")) == [5, 6, 7, 8]
    nothing = pa.record_batch(batch[3:3])
    nothing.validate(full=True)
    assert nothing.num_rows == 0


def test_a_stream(reader, link):
    with sending(link.near, 3000):
        table = pa.table(reader.batches(max_packets=200, limit=3000))
    assert numbers(table.column("data")) == list(range(3000))


def test_a_reader_is_a_stream(reader, link):
    assert numbers(pa.table(settled(reader, link.near, 100)).column("data")) == list(range(100))


def test_what_ends_a_stream_badly_comes_out(link):
    reader = hugepcap.open_live(link.far, 65535, 1, 20)
    stream = pa.RecordBatchReader.from_stream(reader.batches(timeout=0.01))
    assert stream.read_next_batch().num_rows == 0
    other = hugepcap.open_live(link.far, 65535, 1, 20)
    other.batches()
    reader.close()
    with pytest.raises(StopIteration):
        stream.read_next_batch()
    broken = pa.RecordBatchReader.from_stream(Broken())
    with pytest.raises(OSError, match="ZeroDivisionError"):
        broken.read_next_batch()
    other.close()


class Broken:
    """An iterator that fails, as a stream."""

    def __arrow_c_stream__(self, requested_schema=None):
        from hugepcap._arrow import stream_capsule
        return stream_capsule(1 // 0 for _ in range(1))


def test_polars(reader, link):
    frame = polars.DataFrame(settled(reader, link.near, 100).batches())
    assert [sequence_of(data) for data in frame["data"]] == list(range(100))
    assert frame.select(polars.col("caplen").sum()).item() == 6000


def test_duckdb(reader, link):
    packets = pa.RecordBatchReader.from_stream(settled(reader, link.near, 100).batches())  # noqa: F841 in the SQL
    rows = duckdb.sql("select caplen, octet_length(data), data from packets").fetchall()
    assert [sequence_of(data) for _, _, data in rows] == list(range(100))
    assert {(caplen, size) for caplen, size, _ in rows} == {(60, 60)}


PAYLOADS = [b"%3d" % number * 20 for number in range(100)]


@pytest.fixture(params=[False, True])
def saved(request, tmp_path):
    """Opens a file of a hundred packets; mapped or not."""
    path = write_pcap(tmp_path / "file.pcap", [Record(data, second, 0) for second, data in enumerate(PAYLOADS)])
    return lambda: hugepcap.open_offline(path, mapped=request.param)

@pytest.mark.parametrize("as_batches", [False, True])
def test_files_directly(saved, as_batches):
    def packets():
        return saved().batches(max_packets=30) if as_batches else saved()

    assert pa.table(packets()).column("data").to_pylist() == PAYLOADS
    assert polars.DataFrame(packets())["data"].to_list() == PAYLOADS
    source = packets()  # noqa: F841 in the SQL
    rows = duckdb.sql("select epoch(ts), caplen, data from source order by ts").fetchall()
    assert rows == [(number, 60, payload) for number, payload in enumerate(PAYLOADS)]


def test_an_error_that_names_a_file_that_is_not_utf8(tmp_path):
    path = os.fsencode(tmp_path / "x") + b"\xff.pcap"
    with open(path, "wb") as file:
        file.write(pcap_bytes([Record(data, 1, 0) for data in PAYLOADS])[:-1])
    with hugepcap.open_offline(path) as reader:
        with pytest.raises(OSError, match=r"PcapCorruptError: read .*x\\udcff.pcap: after 99 packets"):
            pa.table(reader.batches())


# A consumer makes an error of its own of what a stream raises.
INTERRUPTED = """
import os, signal, sys, threading
import hugepcap, pyarrow

with hugepcap.open_live(sys.argv[1], 65535, 1, 20) as reader:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        pyarrow.table(reader.batches())
    except OSError:
        for _ in range(1000):
            pass
"""


def test_ctrl_c_comes_out_of_a_stream(link):
    assert run_child(INTERRUPTED, link.far).stderr.endswith("KeyboardInterrupt\n")


def test_top_talkers(link, capsys):
    """The example of the documentation, over a running capture."""
    example = runpy.run_path(str(EXAMPLES / "top_talkers.py"))
    running = Background(example["main"], link.far, 1000)
    wait_until(captures_all, "the capture")
    send(link.near, 1000, flows=4)
    running.result()
    lines = capsys.readouterr().out.splitlines()
    assert lines and sum(int(line.split()[1].replace(",", "")) for line in lines) == 1000


def test_exports_leave_nothing(reader, link):
    batch = take_one(reader, link, 150, partial(send, sizes=(1400, 1400)))

    def export(rounds):
        for _ in range(rounds):
            pa.record_batch(batch)
            pa.record_batch(batch, schema=wanted)
            batch.__arrow_c_array__()
        gc.collect()
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    wanted = pa.schema([field if field.name != "data" else pa.field("data", pa.binary(), False)
                        for field in pa.record_batch(batch).schema])
    before = export(50)
    assert export(200) - before < 20 << 20, "each round leaves something: 200 copies are 42 MB"
    batch.release()
    assert reader.ring.held_blocks == 0


def test_an_interpreter_that_ends_with_arrays(link):
    ended = run_child("""
import pyarrow
import hugepcap
from helpers import send
reader = hugepcap.open_live("far", 65535, 1, 1000)
send("near", 5)
kept = pyarrow.record_batch(reader.next_block())
stream = pyarrow.RecordBatchReader.from_stream(reader)
""")
    assert ended.returncode == 0, ended.stderr
