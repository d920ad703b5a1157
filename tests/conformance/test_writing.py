# SPDX-License-Identifier: BSD-3-Clause
"""Dumper: the files it writes, and what it refuses."""

import pytest

from differences import differ
from helpers.packets import CORPUS, udp4
from helpers.savefile import MICRO, NANO, START_S, Record, numbered, read_pcap, write_pcap
from outcomes import collect, header, outcome

PACKETS = list(CORPUS.values())


def test_copy_of_a_file(lib, offline, tmp_path):
    path = tmp_path / "copy"
    dumper = offline.dump_open(str(path))
    assert offline.loop(-1, dumper.dump) is None
    assert dumper.close() is None
    head, records = read_pcap(path)
    assert head == {"magic": MICRO, "version": 204, "snaplen": 65535, "linktype": 1}
    assert [record[:3] for record in records] == [record[:3] for record in numbered(PACKETS)]


def test_link_type_and_snaplen_of_the_source(lib, tmp_path):
    source = write_pcap(tmp_path / "source", numbered([udp4()]), linktype=113, snaplen=77)
    lib.open_offline(source).dump_open(str(tmp_path / "copy")).close()
    head, records = read_pcap(tmp_path / "copy")
    assert (head["linktype"], head["snaplen"], records) == (113, 77, [])


def test_length_on_the_wire(lib, tmp_path):
    source = write_pcap(tmp_path / "source", [Record(udp4()[:30], 5, 6, length=1400)])
    reader = lib.open_offline(source)
    dumper = reader.dump_open(str(tmp_path / "copy"))
    assert dumper.dump(*reader.next()) is None
    dumper.close()
    assert read_pcap(tmp_path / "copy")[1] == [Record(udp4()[:30], 5, 6, length=1400)]


def test_dumper_outlives_its_reader(lib, offline, tmp_path):
    dumper = offline.dump_open(str(tmp_path / "copy"))
    hdr, data = offline.next()
    offline.close()
    dumper.dump(hdr, data)
    dumper.close()
    assert read_pcap(tmp_path / "copy")[1][0].data == data


def test_dumper_is_closed_when_it_dies(lib, offline, tmp_path):
    dumper = offline.dump_open(str(tmp_path / "copy"))
    dumper.dump(*offline.next())
    del dumper
    assert len(read_pcap(tmp_path / "copy")[1]) == 1


def test_the_file_is_overwritten(lib, offline, tmp_path):
    path = tmp_path / "copy"
    path.write_bytes(b"old" * 1000)
    offline.dump_open(str(path)).close()
    assert path.stat().st_size == 24


def test_nanoseconds_are_kept(lib, tmp_path):
    record = Record(udp4(), START_S, 123_456_789)
    reader = lib.open_offline(write_pcap(tmp_path / "source", [record], magic=NANO))
    dumper = reader.dump_open(str(tmp_path / "copy"))
    dumper.dump(*reader.next())
    dumper.close()
    head, records = read_pcap(tmp_path / "copy")
    written = head["magic"], records[0].fraction
    assert written == differ(lib, "nanosecond files", (MICRO, 123_456), (NANO, 123_456_789))


def test_dump_of_longer_data(lib, offline, tmp_path):
    hdr, data = offline.next()
    dumper = offline.dump_open(str(tmp_path / "copy"))
    dumper.dump(hdr, data + b"more")
    dumper.close()
    assert read_pcap(tmp_path / "copy")[1][0].data == data


@pytest.mark.parametrize("arguments, expected", [
    (lambda hdr: (None, b""), "PcapError"), (lambda hdr: (object(), b""), "PcapError"),
    (lambda hdr: (hdr, "x"), "TypeError"), (lambda hdr: (hdr, None), "TypeError"), (lambda hdr: (hdr,), "TypeError"),
    (lambda hdr: (), "TypeError"), (lambda hdr: (hdr, b"", b""), "TypeError"),
])
def test_wrong_arguments(lib, offline, tmp_path, arguments, expected):
    dumper = offline.dump_open(str(tmp_path / "copy"))
    hdr, _ = offline.next()
    assert outcome(lib, lambda: dumper.dump(*arguments(hdr))) == expected


def test_closed_dumper(lib, offline, tmp_path):
    dumper = offline.dump_open(str(tmp_path / "copy"))
    packet = offline.next()
    assert [dumper.close(), dumper.close()] == [None, None]
    with pytest.raises(lib.PcapError, match="Dumper is already closed."):
        dumper.dump(*packet)
    assert outcome(lib, lambda: dumper.dump(packet[0], None)) == "TypeError"


def test_dumper_as_context_manager(lib, offline, tmp_path):
    def use():
        with offline.dump_open(str(tmp_path / "copy")) as dumper:
            dumper.dump(*offline.next())
        return len(read_pcap(tmp_path / "copy")[1])

    # Python 3.11 made the missing protocol a TypeError
    used = outcome(lib, use)
    assert ("Error" if used in ("AttributeError", "TypeError") else used) == \
        differ(lib, "context managers", "Error", 1)


@pytest.mark.parametrize("path", ["/nonexistent/out", "/"])
def test_dump_open_refuses(lib, offline, path):
    with pytest.raises(lib.PcapError) as caught:
        offline.dump_open(path)
    assert path in str(caught.value)


def test_dump_open_with_nul(lib, offline):
    assert outcome(lib, lambda: offline.dump_open("/tmp/\0")) == "ValueError"


def test_dump_takes_buffers(lib, offline, tmp_path):
    dumper = offline.dump_open(str(tmp_path / "copy"))
    hdr, data = offline.next()
    assert outcome(lib, lambda: dumper.dump(hdr, bytearray(data))) == differ(lib, "buffers", "TypeError", None)


SHORT_DUMP = """
import importlib, sys
lib = importlib.import_module(sys.argv[1])
reader = lib.open_offline(sys.argv[2])
hdr, data = reader.next()
dumper = reader.dump_open(sys.argv[3])
try:
    dumper.dump(hdr, data[:-1])
    dumper.close()
    print("written")
except ValueError:
    print("ValueError")
"""


def test_dump_of_short_data(lib, corpus_path, tmp_path):
    from helpers import run_child

    said = run_child(SHORT_DUMP, lib.__name__, corpus_path, tmp_path / "copy").stdout.strip()
    assert said == differ(lib, "short data in dump", "written", "ValueError")


def test_headers_by_hand(lib, offline):
    hdr, _ = offline.next()
    made = outcome(lib, lambda: header(type(hdr)(ts_ns=1_000_002_999, caplen=3, len=4)))
    assert made == differ(lib, "types", "TypeError", ((1, 2), 3, 4))


def test_iteration(lib, offline):
    given = outcome(lib, lambda: [data for _, data in offline])
    assert given == differ(lib, "types", "TypeError", PACKETS)


def test_copies_by_both_are_the_same(corpus_path, tmp_path):
    import hugepcap
    import pcapy

    for lib in (hugepcap, pcapy):
        reader = lib.open_offline(corpus_path)
        dumper = reader.dump_open(str(tmp_path / lib.__name__))
        _, seen = collect(lambda callback: reader.loop(-1, lambda *packet: (dumper.dump(*packet), callback(*packet))))
        dumper.close()
        assert len(seen) == len(PACKETS)
    assert (tmp_path / "hugepcap").read_bytes() == (tmp_path / "pcapy").read_bytes()
