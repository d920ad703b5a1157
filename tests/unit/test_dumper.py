# SPDX-License-Identifier: BSD-3-Clause
"""Dumper beyond pcapy's: appending, flushing, nanoseconds, `with`, disks that are full."""

import errno
import os
import subprocess
import sys

import pytest

import hugepcap
from helpers import child_environment
from helpers.packets import CORPUS, udp4
from helpers.savefile import MICRO, NANO, numbered, read_pcap, write_pcap

PACKETS = list(CORPUS.values())
RECORDS = numbered(PACKETS)


@pytest.fixture
def reader(tmp_path):
    with hugepcap.open_offline(write_pcap(tmp_path / "source", RECORDS, magic=NANO)) as opened:
        yield opened


@pytest.mark.parametrize("nanoseconds, magic, unit_ns", [(None, NANO, 1), (True, NANO, 1), (False, MICRO, 1000)])
def test_time_units(reader, tmp_path, nanoseconds, magic, unit_ns):
    with reader.dump_open(tmp_path / "copy", nanoseconds=nanoseconds) as dumper:
        reader.loop(-1, dumper.dump)
    head, records = read_pcap(tmp_path / "copy")
    assert head["magic"] == magic
    assert [(record.data, record.sec, record.fraction) for record in records] == \
        [(record.data, record.sec, record.fraction // unit_ns) for record in RECORDS]


def test_append(reader, tmp_path):
    for _ in range(3):
        with reader.dump_open(tmp_path / "copy", append=True) as dumper:
            dumper.dump(*reader.next())
    assert [record.data for record in read_pcap(tmp_path / "copy")[1]] == PACKETS[:3]


@pytest.mark.parametrize("kind", [{"linktype": 113}, {"magic": MICRO}, {"snaplen": 77}])
def test_append_to_a_file_of_another_kind(reader, tmp_path, kind):
    path = write_pcap(tmp_path / "other", [], **{"magic": NANO, **kind})
    before = os.stat(path).st_size
    with pytest.raises(hugepcap.PcapError) as caught:
        reader.dump_open(path, append=True)
    assert path in str(caught.value) and os.stat(path).st_size == before


def test_append_to_a_foreign_file(reader, tmp_path):
    (tmp_path / "text").write_bytes(b"no pcap file at all, but long enough for a header")
    pytest.raises(hugepcap.PcapError, reader.dump_open, tmp_path / "text", append=True)
    assert (tmp_path / "text").read_bytes().startswith(b"no pcap")


def test_flush(reader, tmp_path):
    dumper = reader.dump_open(tmp_path / "copy")
    dumper.dump(*reader.next())
    dumper.flush()
    assert len(read_pcap(tmp_path / "copy")[1]) == 1
    dumper.close()
    pytest.raises(hugepcap.PcapError, dumper.flush)


def test_with_closes_after_an_exception(reader, tmp_path):
    with pytest.raises(LookupError), reader.dump_open(tmp_path / "copy") as dumper:
        dumper.dump(*reader.next())
        raise LookupError
    assert len(read_pcap(tmp_path / "copy")[1]) == 1
    pytest.raises(hugepcap.PcapError, dumper.dump, hugepcap.Pkthdr(), b"")
    pytest.raises(hugepcap.PcapError, dumper.__enter__)


def out_of_space(error):
    assert isinstance(error, hugepcap.PcapError) and error.errno == errno.ENOSPC
    assert "/dev/full" in str(error) and os.strerror(errno.ENOSPC) in str(error)


def test_full_disk_on_flush(reader):
    dumper = reader.dump_open("/dev/full")
    dumper.dump(*reader.next())
    with pytest.raises(hugepcap.PcapError) as caught:
        dumper.flush()
    out_of_space(caught.value)


def test_full_disk_on_close(reader):
    dumper = reader.dump_open("/dev/full")
    dumper.dump(*reader.next())
    with pytest.raises(hugepcap.PcapError) as caught:
        dumper.close()
    out_of_space(caught.value)
    dumper.close()


def test_full_disk_while_dumping(reader):
    dumper = reader.dump_open("/dev/full")
    packet = bytes(60000)
    with pytest.raises(hugepcap.PcapError) as caught:
        for _ in range(100):
            dumper.dump(hugepcap.Pkthdr(caplen=len(packet), len=len(packet)), packet)
    out_of_space(caught.value)


@pytest.mark.parametrize("missing", [1, 20, len(udp4())])
def test_data_shorter_than_its_header_says(reader, tmp_path, missing):
    hdr = hugepcap.Pkthdr(caplen=len(udp4()), len=1400)
    with reader.dump_open(tmp_path / "copy") as dumper:
        with pytest.raises(ValueError, match=f"says {len(udp4())} bytes, the packet has {len(udp4()) - missing}"):
            dumper.dump(hdr, udp4()[missing:])
        dumper.dump(hdr, udp4() + b"more than it says")
    assert [(record.data, record.length) for record in read_pcap(tmp_path / "copy")[1]] == [(udp4(), 1400)]


@pytest.mark.parametrize("name", [os.fsencode, str, lambda path: path])
def test_names(reader, tmp_path, name):
    with reader.dump_open(name(tmp_path / "copy")) as dumper:
        dumper.dump(*reader.next())
    assert len(read_pcap(tmp_path / "copy")[1]) == 1


def test_headers_by_hand(reader, tmp_path):
    with reader.dump_open(tmp_path / "copy") as dumper:
        for ts_ns in (0, 1, 999_999_999, 2_000_000_123, (2**32 - 1) * 10**9):
            dumper.dump(hugepcap.Pkthdr(ts_ns=ts_ns, caplen=1, len=2), b"x")
    assert [(record.sec * 10**9 + record.fraction) for record in read_pcap(tmp_path / "copy")[1]] == \
        [0, 1, 999_999_999, 2_000_000_123, (2**32 - 1) * 10**9]


def test_standard_output(tmp_path):
    source = write_pcap(tmp_path / "source", RECORDS)
    code = f"import hugepcap\nr = hugepcap.open_offline({source!r})\nd = r.dump_open('-')\nr.loop(-1, d.dump)\nd.close()"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, env=child_environment(), timeout=60,
                         check=True).stdout
    assert out == (tmp_path / "source").read_bytes()


def test_directory(reader, tmp_path):
    with pytest.raises(hugepcap.PcapError) as caught:
        reader.dump_open(tmp_path)
    assert str(tmp_path) in str(caught.value)
