# SPDX-License-Identifier: BSD-3-Clause
"""Reading savefiles with every method."""

import struct

import pytest

from differences import differ
from helpers.packets import CORPUS, udp4
from helpers.savefile import NANO, START_S, Record, numbered, pcap_bytes, pcapng_bytes, write_pcap
from outcomes import collect, header, ignore, outcome

PACKETS = list(CORPUS.values())
RECORDS = numbered(PACKETS)
READ = [(((record.sec, record.fraction), len(record.data), len(record.data)), record.data) for record in RECORDS]


def next_of(reader):
    hdr, data = reader.next()
    return header(hdr), data


def unpack(batch):
    packets, records = batch
    assert type(packets) is bytes and type(records) is bytes
    return [((sec, usec), packets[offset:offset + caplen])
            for sec, usec, offset, caplen in struct.iter_unpack("=IIII", records)]


# ---- next ----

def test_next(lib, offline):
    assert [next_of(offline) for _ in READ] == READ


def test_next_at_the_end(lib, offline):
    offline.loop(-1, ignore)
    assert [offline.next() for _ in range(3)] == [(None, b"")] * 3


def test_types_of_a_packet(lib, offline):
    hdr, data = offline.next()
    assert type(data) is bytes
    sec, usec = hdr.getts()
    assert [type(value) for value in (sec, usec, hdr.getcaplen(), hdr.getlen())] == [int] * 4


def test_lengths_of_a_cut_packet(lib, tmp_path):
    path = write_pcap(tmp_path / "cut", [Record(udp4()[:40], 7, 8, length=1500)])
    assert next_of(lib.open_offline(path)) == (((7, 8), 40, 1500), udp4()[:40])


def test_header_outlives_its_reader(lib, corpus_path):
    reader = lib.open_offline(corpus_path)
    hdr, data = reader.next()
    reader.next()
    reader.close()
    assert (header(hdr), data) == READ[0]


@pytest.mark.parametrize("method", ["getts", "getlen", "getcaplen"])
def test_stray_arguments_of_a_header(lib, offline, method):
    hdr, _ = offline.next()
    call = getattr(hdr, method)
    assert outcome(lib, lambda: call(1)) == differ(lib, "stray arguments", call(), "TypeError")


# ---- loop, dispatch ----

@pytest.mark.parametrize("cnt, number", [(0, len(READ)), (-1, len(READ)), (-7, len(READ)), (1, 1), (5, 5),
                                         (10**6, len(READ))])
def test_loop(lib, offline, cnt, number):
    assert collect(lambda callback: offline.loop(cnt, callback)) == (None, READ[:number])


@pytest.mark.parametrize("cnt", [1, 5, len(READ)])
def test_dispatch(lib, offline, cnt):
    assert collect(lambda callback: offline.dispatch(cnt, callback)) == (cnt, READ[:cnt])


@pytest.mark.parametrize("cnt", [0, -1, len(READ) + 1])
def test_dispatch_to_the_end(lib, offline, cnt):
    returned, seen = collect(lambda callback: offline.dispatch(cnt, callback))
    assert seen == READ
    assert returned == differ(lib, "dispatch to the end of a file", 0, len(READ))
    assert offline.dispatch(cnt, ignore) == 0


def test_methods_go_on_where_others_stopped(lib, offline):
    first = next_of(offline)
    _, looped = collect(lambda callback: offline.loop(2, callback))
    _, dispatched = collect(lambda callback: offline.dispatch(2, callback))
    batch = [data for _, data in unpack(offline.next_batch(2))]
    buffer = bytearray(200)
    offline.loop_to_buffer(1, buffer)
    assert [first] + looped + dispatched == READ[:5]
    assert batch == PACKETS[5:7]
    assert buffer[5:5 + len(PACKETS[7])] == PACKETS[7]
    assert next_of(offline) == READ[8]


@pytest.mark.parametrize("method", ["loop", "dispatch", "loop_filtered"])
def test_exception_of_the_callback(lib, offline, method):
    given = []

    def callback(hdr, data, *rest):
        given.append(data)
        if len(given) == 3:
            raise LookupError("third")

    with pytest.raises(LookupError, match="third"):
        getattr(offline, method)(10, callback)
    assert given == PACKETS[:3]


@pytest.mark.parametrize("method", ["dispatch", "loop_filtered"])
def test_exception_on_the_last_packet(lib, offline, method):
    def callback(*packet):
        raise LookupError("last")

    with pytest.raises(LookupError, match="last"):
        getattr(offline, method)(1, callback)


def test_exception_on_the_last_packet_of_loop(lib, offline):
    def callback(*packet):
        raise LookupError("last")

    raised = outcome(lib, lambda: offline.loop(1, callback))
    assert raised == differ(lib, "exception on the last packet", "SystemError", "LookupError")


def test_call_after_an_exception(lib, offline):
    def callback(*packet):
        raise LookupError

    assert outcome(lib, lambda: offline.dispatch(1, callback)) == "LookupError"
    after = collect(lambda callback: outcome(lib, lambda: offline.loop(1, callback)))
    assert after == differ(lib, "call after an exception", ("SystemError", []), (None, READ[1:2]))


def test_what_a_callback_returns_is_ignored(lib, offline):
    assert offline.loop(3, lambda hdr, data: "stop") is None
    assert next_of(offline) == READ[3]


@pytest.mark.parametrize("method", ["loop", "dispatch"])
@pytest.mark.parametrize("arguments, expected", [
    ((), "TypeError"), ((1,), "TypeError"), ((1, ignore, 2), "TypeError"), (("1", ignore), "TypeError"),
    ((1.0, ignore), "TypeError"), ((None, ignore), "TypeError"), ((2**31, ignore), "OverflowError"),
    ((-2**31 - 1, ignore), "OverflowError"), ((2, None), "TypeError"), ((2, "print"), "TypeError"),
    ((2, lambda hdr: None), "TypeError"),
])
def test_wrong_arguments(lib, offline, method, arguments, expected):
    assert outcome(lib, lambda: getattr(offline, method)(*arguments)) == expected


@pytest.mark.parametrize("method", ["loop", "dispatch"])
def test_keywords_are_refused(lib, offline, method):
    assert outcome(lib, lambda: getattr(offline, method)(cnt=1, callback=ignore)) == "TypeError"


@pytest.mark.parametrize("method, at_the_end", [("loop", None), ("dispatch", 0)])
def test_callback_that_is_none(lib, offline, method, at_the_end):
    offline.loop(-1, ignore)
    assert outcome(lib, lambda: getattr(offline, method)(1, None)) == differ(lib, "callbacks", at_the_end, "TypeError")


# ---- next_batch ----

@pytest.mark.parametrize("max_n", [1, 5, len(READ), 10**6])
def test_next_batch(lib, offline, max_n):
    assert unpack(offline.next_batch(max_n)) == [(ts, data) for (ts, _, _), data in READ[:max_n]]


@pytest.mark.parametrize("max_n", [0, -1, -2**31])
def test_next_batch_default(lib, tmp_path, max_n):
    path = write_pcap(tmp_path / "many", numbered([udp4()] * 300))
    assert len(unpack(lib.open_offline(path).next_batch(max_n))) == 256


def test_next_batch_is_contiguous(lib, offline):
    packets, records = offline.next_batch(10)
    offsets = [offset for _, _, offset, _ in struct.iter_unpack("=IIII", records)]
    assert packets == b"".join(PACKETS[:10])
    assert offsets == [len(b"".join(PACKETS[:i])) for i in range(10)]


def test_next_batch_at_the_end(lib, offline):
    offline.loop(-1, ignore)
    assert offline.next_batch(5) == (b"", b"")


def test_next_batch_of_large_packets(lib, tmp_path):
    records = numbered([bytes([i]) * 60_000 for i in range(20)])
    reader = lib.open_offline(write_pcap(tmp_path / "large", records))
    assert [data for _, data in unpack(reader.next_batch(20))] == [record.data for record in records]


@pytest.mark.parametrize("arguments, expected", [
    ((), "TypeError"), (("5",), "TypeError"), ((5.0,), "TypeError"), ((None,), "TypeError"), ((1, 2), "TypeError"),
    ((2**31,), "OverflowError"),
])
def test_next_batch_arguments(lib, offline, arguments, expected):
    assert outcome(lib, lambda: offline.next_batch(*arguments)) == expected


# ---- kinds of files ----

@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("linktype", [1, 12, 113])
def test_byte_orders_and_link_types(lib, tmp_path, order, linktype):
    path = write_pcap(tmp_path / "file", RECORDS, order=order, linktype={12: 101}.get(linktype, linktype))
    reader = lib.open_offline(path)
    assert reader.datalink() == linktype
    assert collect(lambda callback: reader.loop(-1, callback)) == (None, READ)


def test_pcapng(lib, tmp_path):
    path = tmp_path / "file.pcapng"
    path.write_bytes(pcapng_bytes(RECORDS))
    assert collect(lambda callback: lib.open_offline(str(path)).loop(-1, callback)) == (None, READ)


NANOSECONDS = [Record(udp4(), START_S + i, 123_456_789 + i) for i in range(3)]


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_nanosecond_files(lib, tmp_path, kind):
    make = {"pcap": lambda: pcap_bytes(NANOSECONDS, magic=NANO), "pcapng": lambda: pcapng_bytes(NANOSECONDS, digits=9)}
    path = tmp_path / "nano"
    path.write_bytes(make[kind]())
    hdr, _ = lib.open_offline(str(path)).next()
    assert hdr.getts() == (START_S, 123_456)
    full = START_S * 10**9 + 123_456_789
    assert getattr(hdr, "ts_ns", None) == differ(lib, "nanosecond files", None, full)


def test_batches_of_nanosecond_files(lib, tmp_path):
    reader = lib.open_offline(write_pcap(tmp_path / "nano", NANOSECONDS, magic=NANO))
    assert [ts for ts, _ in unpack(reader.next_batch(9))] == [(START_S + i, 123_456) for i in range(3)]


def test_a_file_without_packets(lib, tmp_path):
    reader = lib.open_offline(write_pcap(tmp_path / "none", []))
    assert reader.next() == (None, b"")
    assert reader.loop(-1, ignore) is None
    assert reader.dispatch(-1, ignore) == 0
    assert reader.next_batch(5) == (b"", b"")
    assert reader.loop_filtered(-1, ignore) == (0, 0, 0, 0, 0)
    assert reader.loop_to_buffer(-1, bytearray(10)) == (0, 0, 0, 0, 0, 0, 0)


# ---- damaged files ----

GOOD = 5


@pytest.fixture(params=["in the packet", "in the header"])
def truncated(request, tmp_path):
    """A file with GOOD packets, and a piece of one more."""
    whole = pcap_bytes(numbered([udp4()] * (GOOD + 1)))
    path = tmp_path / "truncated"
    path.write_bytes(whole[:-9] if request.param == "in the packet" else whole[:-len(udp4()) - 5])
    return str(path)


def test_next_on_a_truncated_file(lib, truncated):
    reader = lib.open_offline(truncated)
    assert [next_of(reader)[1] for _ in range(GOOD)] == [udp4()] * GOOD
    assert outcome(lib, reader.next) == "PcapError"


@pytest.mark.parametrize("method", ["loop", "dispatch", "loop_filtered"])
@pytest.mark.parametrize("cnt", [-1, GOOD + 1])
def test_loops_on_a_truncated_file(lib, truncated, method, cnt):
    reader = lib.open_offline(truncated)
    ended, seen = collect(lambda callback: outcome(lib, lambda: getattr(reader, method)(cnt, callback)))
    assert (ended, len(seen)) == ("PcapError", GOOD)


def test_batch_on_a_truncated_file(lib, truncated):
    reader = lib.open_offline(truncated)
    batches = [outcome(lib, lambda: len(unpack(reader.next_batch(100)))) for _ in range(2)]
    assert batches == differ(lib, "batch before a fault in a file", ["PcapError", 0], [GOOD, "PcapError"])


def test_loop_to_buffer_on_a_truncated_file(lib, truncated):
    reader = lib.open_offline(truncated)
    written = [outcome(lib, lambda: reader.loop_to_buffer(-1, bytearray(1000))[0]) for _ in range(2)]
    assert written == differ(lib, "loop_to_buffer on a truncated file", [GOOD, 0], [GOOD, "PcapError"])


def test_absurd_length(lib, tmp_path):
    path = tmp_path / "absurd"
    path.write_bytes(pcap_bytes(numbered([udp4()])) + struct.pack("<IIII", 1, 1, 2**31, 2**31))
    reader = lib.open_offline(str(path))
    assert next_of(reader)[1] == udp4()
    assert outcome(lib, reader.next) == "PcapError"


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\0" + bytes(60), b"\xd4\xc3\xb2\xa1", bytes(24),
                                     b"GET / HTTP/1.1\r\n\r\n"])
def test_foreign_files(lib, tmp_path, content):
    path = tmp_path / "foreign"
    path.write_bytes(content)
    assert outcome(lib, lambda: lib.open_offline(str(path))) == "PcapError"
