# SPDX-License-Identifier: BSD-3-Clause
"""Savefiles of every kind, whole and broken, by every way of naming and of reading them."""

import contextlib
import gzip
import os
import struct
import subprocess
import sys

import pytest

import hugepcap
from files import enhanced, interface, section
from helpers import background_read, child_environment
from helpers.packets import CORPUS, udp4
from helpers.savefile import MICRO, NANO, Record, numbered, pcap_bytes, pcapng_bytes
from hugepcap.errors import PcapCorruptError, PcapFileNotFoundError, PcapPermissionError

PACKETS = list(CORPUS.values())
RECORDS = numbered(PACKETS)


def by_next(reader, add):
    while (packet := reader.next())[0] is not None:
        add(*packet)


def by_iteration(reader, add):
    for hdr, data in reader:
        add(hdr, data)


def by_loop(reader, add):
    reader.loop(-1, add)


def by_dispatch(reader, add):
    while reader.dispatch(7, add):
        pass


def by_loop_filtered(reader, add):
    reader.loop_filtered(-1, lambda hdr, data, cls: add(hdr, data))


EVERY_WAY = [by_next, by_iteration, by_loop, by_dispatch, by_loop_filtered]


def read_by(way, reader, found):
    """Puts (ts_ns, bytes) of each packet into `found`, whatever ends the reading."""
    way(reader, lambda hdr, data: found.append((hdr.ts_ns, data)))
    return found


def written(tmp_path, raw, name="file"):
    path = tmp_path / name
    path.write_bytes(raw)
    return str(path)


def times(records, unit_ns):
    return [(record.sec * 10**9 + record.fraction * unit_ns, record.data) for record in records]


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("magic, unit_ns", [(MICRO, 1000), (NANO, 1)])
def test_pcap(tmp_path, way, order, magic, unit_ns):
    path = written(tmp_path, pcap_bytes(RECORDS, magic=magic, order=order))
    with hugepcap.open_offline(path) as reader:
        assert read_by(way, reader, []) == times(RECORDS, unit_ns)
        assert reader.next() == (None, b"")


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("digits", [3, 6, 9])
def test_pcapng(tmp_path, way, digits):
    records = [record._replace(fraction=record.fraction % 1000) for record in RECORDS]
    path = written(tmp_path, pcapng_bytes(records, digits=digits))
    with hugepcap.open_offline(path) as reader:
        assert read_by(way, reader, []) == times(records, 10 ** (9 - digits))


def test_times_at_the_ends(tmp_path):
    records = [Record(b"x", 0, 0), Record(b"x", 0, 999_999_999), Record(b"x", 2**31 - 1, 1)]
    with hugepcap.open_offline(written(tmp_path, pcap_bytes(records, magic=NANO))) as reader:
        headers = [hdr for hdr, _ in reader]
    assert [(hdr.getts(), hdr.ts_ns) for hdr in headers] == \
        [((r.sec, r.fraction // 1000), r.sec * 10**9 + r.fraction) for r in records]


@pytest.mark.parametrize("form", [pcapng_bytes, pcap_bytes])
def test_times_after_2038(tmp_path, form):
    with hugepcap.open_offline(written(tmp_path, form([Record(b"x", 2**32 - 1, 1)]))) as reader:
        assert reader.next()[0].getts() == (2**32 - 1, 1)


def test_batches(tmp_path):
    with hugepcap.open_offline(written(tmp_path, pcap_bytes(RECORDS, magic=NANO))) as reader:
        packets, records = reader.next_batch(5)
        rest, rest_records = reader.next_batch(10**6)
        assert reader.next_batch(5) == (b"", b"")
    rows = list(struct.iter_unpack("=IIII", records)) + list(struct.iter_unpack("=IIII", rest_records))
    assert len(records) == 5 * 16 and len(rows) == len(RECORDS)
    assert [row[:2] for row in rows] == [(record.sec, record.fraction // 1000) for record in RECORDS]
    assert [packets[at:at + size] for _, _, at, size in rows[:5]] == PACKETS[:5]
    assert [rest[at:at + size] for _, _, at, size in rows[5:]] == PACKETS[5:]


@pytest.mark.parametrize("make", [bytearray, lambda size: memoryview(bytearray(size))])
def test_buffers(tmp_path, make):
    whole = b"".join(struct.pack("<IB", len(packet), 0) + packet for packet in PACKETS)
    buffer = make(len(whole) + 3)
    with hugepcap.open_offline(written(tmp_path, pcap_bytes(RECORDS))) as reader:
        counts = reader.loop_to_buffer(-1, buffer)
    assert counts == (len(PACKETS), 0, 0, len(whole), len(PACKETS), 0, 0)
    assert bytes(buffer) == whole + bytes(3)


@pytest.mark.parametrize("name", [os.fsencode, str, lambda path: path, lambda path: path.relative_to(os.getcwd())])
def test_names(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "käse\udcff.pcap"
    path.write_bytes(pcap_bytes(RECORDS))
    with hugepcap.open_offline(name(path)) as reader:
        assert len(list(reader)) == len(RECORDS)


def test_filters(tmp_path):
    with hugepcap.open_offline(written(tmp_path, pcap_bytes(RECORDS))) as reader:
        reader.setfilter(hugepcap.BPFProgram("udp port 53"))
        first = reader.next()[1]
        reader.setfilter("arp")
        rest = [data for _, data in reader]
    assert first == CORPUS["dns query"] and rest == [CORPUS["arp"]]


# ---- broken ----

CUTS = {"in the header": 3, "in the packet": 16 + 5, "behind the header": 16}


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("cut", CUTS)
def test_truncated(tmp_path, way, cut):
    """What comes before is delivered, then the error says after how many packets and at which byte."""
    raw = pcap_bytes(RECORDS[:3])
    path = written(tmp_path, raw + pcap_bytes(RECORDS[3:4])[24:24 + CUTS[cut]])
    found = []
    with hugepcap.open_offline(path) as reader, pytest.raises(PcapCorruptError) as caught:
        read_by(way, reader, found)
    assert found == times(RECORDS[:3], 1000)
    assert f"read {path}: after 3 packets, at byte {len(raw) + CUTS[cut]}: truncated" in str(caught.value)


def test_batch_before_the_cut(tmp_path):
    path = written(tmp_path, pcap_bytes(RECORDS)[:-1])
    with hugepcap.open_offline(path) as reader:
        assert len(reader.next_batch(10**6)[1]) == 16 * (len(RECORDS) - 1)
        with pytest.raises(PcapCorruptError, match=f"after {len(RECORDS) - 1} packets"):
            reader.next_batch(1)


def test_every_cut_of_a_pcapng_file(tmp_path):
    raw = pcapng_bytes(RECORDS[:2])
    whole = times(RECORDS[:2], 1000)
    for cut in range(len(raw)):
        path = written(tmp_path, raw[:cut])
        found = []
        try:
            with hugepcap.open_offline(path) as reader:
                read_by(by_next, reader, found)
        except PcapCorruptError as error:
            assert path in str(error)
        assert found == whole[:len(found)] and len(found) < 2


@pytest.mark.parametrize("content, reason", [
    (b"", "truncated"), (b"\xd4\xc3\xb2", "truncated"), (b"\xd4\xc3\xb2\xa1", "truncated"),
    (b"GET / HTTP/1.1\r\n\r\n" + bytes(30), "unknown file format"), (bytes(100), "unknown file format"),
    (b"\xd4\xc3\xb2\xa1" + struct.pack("<HHiIII", 99, 4, 0, 0, 65535, 1), "version")])
def test_foreign_files(tmp_path, content, reason):
    path = written(tmp_path, content)
    with pytest.raises(PcapCorruptError) as caught:
        hugepcap.open_offline(path)
    assert path in str(caught.value) and reason in str(caught.value)
    assert "gzip" not in str(caught.value)


def test_gzip(tmp_path):
    path = written(tmp_path, gzip.compress(pcap_bytes(RECORDS)))
    with pytest.raises(PcapCorruptError, match="gzip-compressed: unpack it with gunzip"):
        hugepcap.open_offline(path)


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("through", ["pipe", "file"])
def test_gzip_on_standard_input(tmp_path, name, through):
    raw = gzip.compress(pcap_bytes(RECORDS))
    given = {"input": raw} if through == "pipe" else {"stdin": open(written(tmp_path, raw), "rb")}
    code = f"import hugepcap; hugepcap.open_offline({name!r})"
    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=60, env=child_environment(),
                           **given)
    assert b"gzip-compressed: unpack it with gunzip" in ended.stderr


@pytest.mark.parametrize("order", "<>")
def test_interfaces_of_a_pcapng_pipe_are_counted_once(order):
    """breakloop() behind a block that describes an interface, within the next block: libpcap knows that interface."""
    packets = [enhanced(b"data", ticks, order, number) for number, ticks in enumerate((10**6, 2 * 10**9, 3 * 10**3))]
    source, into = os.pipe()
    os.write(into, section(order) + interface(order, resolution=6))
    with hugepcap.open_offline(f"/dev/fd/{source}") as reader:
        os.close(source)
        os.write(into, interface(order, resolution=9) + packets[0][:9])
        reading = background_read(reader.next)
        reader.breakloop()
        assert reading.result() == (None, b"")
        os.write(into, packets[0][9:] + packets[1] + interface(order, resolution=3) + packets[2])
        assert [reader.next()[0].ts_ns for _ in range(3)] == [10**9, 2 * 10**9, 3 * 10**9]
    os.close(into)


def test_standard_input_goes_on_where_it_stands(tmp_path):
    """Two captures in one file: a program before this one has read the first."""
    first, second = pcap_bytes(RECORDS), pcap_bytes(RECORDS[-1:])
    code = "import hugepcap; print(len(list(hugepcap.open_offline('-'))))"
    with open(written(tmp_path, first + second), "rb", buffering=0) as given:
        given.seek(len(first))
        done = subprocess.run([sys.executable, "-c", code], stdin=given, capture_output=True, timeout=60,
                              env=child_environment())
    assert len(RECORDS) > 1 and done.stdout == b"1\n", done.stderr


def test_no_such_file(tmp_path):
    with pytest.raises(PcapFileNotFoundError) as caught:
        hugepcap.open_offline(tmp_path / "none")
    assert "none" in str(caught.value) and "No such file" in str(caught.value)


def test_directory(tmp_path):
    with pytest.raises(hugepcap.PcapError, match="[Dd]irectory"):
        hugepcap.open_offline(tmp_path)


@contextlib.contextmanager
def unprivileged():
    """Root may read every file: it is another user for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_unreadable_file(tmp_path):
    (tmp_path / "locked").touch(0)
    with unprivileged(), pytest.raises(PcapPermissionError, match="Permission denied") as caught:
        hugepcap.open_offline(tmp_path / "locked")
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("given, error", [(None, TypeError), (7, TypeError), ("a\0b", ValueError), (b"a\0b", ValueError),
                                          (bytearray(b"x"), TypeError)])
def test_what_is_no_path(given, error):
    pytest.raises(error, hugepcap.open_offline, given)


def test_closed(tmp_path):
    reader = hugepcap.open_offline(written(tmp_path, pcap_bytes(RECORDS)))
    reader.close()
    reader.close()
    for call in (reader.next, reader.datalink, reader.getfd, lambda: reader.setfilter("ip")):
        with pytest.raises(ValueError, match="pcap is closed"):
            call()
    pytest.raises(ValueError, iter, reader)


def test_files_are_not_left_open(tmp_path):
    path = written(tmp_path, pcap_bytes(RECORDS))
    broken = written(tmp_path, b"nonsense" * 9, "broken")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(50):
        hugepcap.open_offline(path).close()
        hugepcap.open_offline(path).next()    # dies open
        pytest.raises(hugepcap.PcapError, hugepcap.open_offline, broken)
    assert set(os.listdir("/proc/self/fd")) == before


def test_packet_longer_than_the_snaplen(tmp_path):
    raw = pcap_bytes([Record(udp4() * 5, 1, 2)], snaplen=64)
    with hugepcap.open_offline(written(tmp_path, raw)) as reader:
        hdr, data = reader.next()
    assert hdr.getcaplen() == len(data) == 64 and data == (udp4() * 5)[:64]


def test_loop_to_buffer_gives_what_comes_before_the_fault(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(pcap_bytes(RECORDS[:3])[:-1])
    buffer = bytearray(1 << 16)
    with hugepcap.open_offline(path) as reader:
        written, dropped, overflow, used, *_ = reader.loop_to_buffer(-1, buffer)
        assert (written, dropped, overflow) == (2, 0, 0) and used == sum(5 + len(record.data) for record in RECORDS[:2])
        pytest.raises(PcapCorruptError, reader.loop_to_buffer, -1, buffer)
