# SPDX-License-Identifier: BSD-3-Clause
"""loop_filtered, loop_to_buffer, filtered_stats: classes and their precedence, over a corpus of odd packets."""

import importlib
import socket
import struct

import pytest

from differences import differ
from helpers import packets
from helpers.packets import CORPUS, WATCHED, ethernet, ipv4, udp, udp4
from helpers.savefile import numbered, write_pcap
from outcomes import collect, ignore, outcome

PACKETS = list(CORPUS.values())
WATCHED_SET = socket.inet_aton(WATCHED)
OTHER, FLOW_HEAD, SET_MATCH = 0, 1, 2
DNS, HTTP, SHED, ADDR, HANDSHAKE, SYN = range(100, 106)


def classes(reader, **settings):
    """What each packet of the corpus is classified as, by name."""
    _, seen = collect(lambda callback: reader.loop_filtered(-1, callback, settings.pop("admit_mask", 0x3F), **settings))
    assert [data for _, data, _ in seen] == PACKETS
    return {name: cls for name, (_, _, cls) in zip(CORPUS, seen)}


# ---- classes of known packets ----

def test_generic_without_settings(lib, offline):
    assert set(classes(offline).values()) == {OTHER}


def test_generic_set(lib, offline):
    found = {name for name, cls in classes(offline, addr_set=WATCHED_SET).items() if cls == SET_MATCH}
    assert found == {name for name in CORPUS if name.endswith("of the watched")}


def test_generic_flows(lib, offline):
    found = classes(offline, flow_cutoff=2)
    assert [found[name] for name in ("udp", "udp again", "udp third", "udp back")] == \
        [FLOW_HEAD, FLOW_HEAD, OTHER, FLOW_HEAD]
    assert {found[name] for name in ("icmp", "arp", "ipv6 udp", "cut before ports", "cut in ports", "sctp",
                                     "header length 0", "empty")} == {OTHER}
    assert {found[name] for name in ("ip options", "cut after ports", "vlan", "qinq")} == {FLOW_HEAD}


def test_set_before_flow(lib, offline):
    found = classes(offline, addr_set=WATCHED_SET, flow_cutoff=1000)
    assert found["syn of the watched"] == SET_MATCH and found["syn"] == FLOW_HEAD


@pytest.mark.parametrize("name, expected", [
    ("dns query", DNS), ("dns answer", DNS), ("dns over tcp", DNS), ("dns syn", DNS), ("dns of the watched", DNS),
    ("other dns port", SHED), ("vlan dns", DNS), ("ip options", DNS), ("cut after ports", DNS),
    ("cut in ports", SHED), ("cut before ports", SHED),
    ("syn", SYN), ("syn to https", SYN), ("syn of the watched", SYN), ("syn with payload", SYN),
    ("syn ack", SHED), ("syn ece", SHED), ("cut before flags", SHED), ("cut after flags", SYN),
    ("http", HTTP), ("http without push", HTTP), ("http on 8080", HTTP), ("http of the watched", HTTP),
    ("http on 8081", SHED), ("ack", SHED), ("http with tcp options", HTTP), ("tcp options only", SHED),
    ("tcp offset too small", SHED), ("cut before payload", SHED), ("cut after one byte", HTTP),
    ("tls", HANDSHAKE), ("tls again", SHED), ("tls back", HANDSHAKE), ("tls of the watched", ADDR),
    ("quic", HANDSHAKE), ("quic again", SHED),
    ("icmp", SHED), ("icmp of the watched", ADDR), ("qinq of the watched", ADDR), ("three tags", SHED),
    ("ipv6 udp", SHED), ("ipv6 tcp", SHED), ("arp", SHED), ("empty", SHED), ("vlan cut in ip", SHED),
])
def test_security_class(lib, offline, name, expected):
    found = classes(offline, profile=1, addr_set=WATCHED_SET, flow_cutoff=1)
    assert found[name] == expected


@pytest.mark.parametrize("settings, name, expected", [
    ({"dns_port": 5353}, "other dns port", DNS), ({"dns_port": 5353}, "dns query", SHED),
    ({"dns_port": 65536 + 5353}, "other dns port", DNS), ({"dns_port": -1}, "dns query", SHED),
    ({"dpi_ports": [8081]}, "http on 8081", HTTP), ({"dpi_ports": (8081,)}, "http", SHED),
    ({"dpi_ports": []}, "http", SHED), ({"dpi_ports": None}, "http", HTTP),
    ({"dpi_ports": [80 - 65536]}, "http", HTTP),
    ({"tls_ports": [80], "flow_cutoff": 9}, "ack", HANDSHAKE), ({"tls_ports": [], "flow_cutoff": 9}, "tls", SHED),
    ({"flow_cutoff": 2}, "tls again", HANDSHAKE), ({"flow_cutoff": 0}, "tls", SHED),
])
def test_security_settings(lib, offline, settings, name, expected):
    assert classes(offline, profile=1, **settings)[name] == expected


SECOND_FRAGMENT = packets.ethernet(ipv4(b"\x1b\x58\x00\x35" + b"f" * 20, 17, fragment=0x0003))


def test_later_fragments_have_no_ports(lib, tmp_path):
    path = write_pcap(tmp_path / "fragment", numbered([SECOND_FRAGMENT]))
    flows = lib.open_offline(path).loop_filtered(-1, ignore, 0, flow_cutoff=1)[2:]
    security = lib.open_offline(path).loop_filtered(-1, ignore, 0, profile=1)[2:5]
    assert (flows, security) == \
        differ(lib, "later fragments", ((0, 1, 0), (1, 0, 0)), ((1, 0, 0), (0, 0, 1)))


# ---- both libraries on the same packets ----

SETTINGS = {
    "generic": {},
    "generic, set and flows": {"addr_set": WATCHED_SET, "flow_cutoff": 2},
    "generic, at offset 0": {"flow_cutoff": 1, "l2_offset": 0},
    "generic, at offset 64": {"flow_cutoff": 1, "l2_offset": 64},
    "generic, at offset 18": {"flow_cutoff": 1, "l2_offset": 18},
    "generic, every address": {"addr_set": b"".join(socket.inet_aton(f"10.0.0.{i}") for i in range(256))},
    "security": {"profile": 1},
    "security, everything": {"profile": 1, "addr_set": WATCHED_SET, "flow_cutoff": 1},
    "security, at offset 16": {"profile": 1, "l2_offset": 16, "flow_cutoff": 3},
    "security, ports": {"profile": 1, "dns_port": 1111, "dpi_ports": [22, 4001], "tls_ports": [2222], "flow_cutoff": 1},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("mask", [0x3F, 0, 1, 2, 4, 0b111011, -1, -2**31])
def test_same_counts(corpus_path, name, mask):
    def run(lib):
        reader = importlib.import_module(lib).open_offline(corpus_path)
        counts, seen = collect(lambda callback: reader.loop_filtered(-1, callback, mask, **SETTINGS[name]))
        return counts, seen, reader.filtered_stats()

    ours = run("hugepcap")
    assert ours == run("pcapy")
    assert ours[0] == ours[2] and sum(ours[0][2:]) == sum(ours[0][:2]) == len(PACKETS)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("mask", [0x3F, 0b111011])
@pytest.mark.parametrize("size", [0, 4, 5, 64, 1000, 100_000])
def test_same_buffers(corpus_path, name, mask, size):
    def run(lib):
        buffer = bytearray(b"\xee" * size)
        reader = importlib.import_module(lib).open_offline(corpus_path)
        return reader.loop_to_buffer(-1, buffer, mask, **SETTINGS[name]), buffer

    ours = run("hugepcap")
    assert ours == run("pcapy")
    written, dropped, overflow, used = ours[0][:4]
    assert written + dropped + overflow == len(PACKETS) and used <= size


def without_fragments(packet):
    """The packet with offset 0 in what may be an IPv4 header, wherever it starts: see `later fragments`."""
    for start in (14, 16, 18, 22):
        packet[start + 6:start + 8] = bytes(len(packet[start + 6:start + 8]))
    return bytes(packet)


def random_corpus(seed, number=3000):
    """Packets of the corpus with bytes changed and tails cut off."""
    import random

    choose = random.Random(seed)
    for _ in range(number):
        packet = bytearray(choose.choice(PACKETS))
        for _ in range(choose.choice((0, 1, 3))):
            if packet:
                at = choose.randrange(min(len(packet), 60))
                packet[at] = choose.choice((0, 0x40, 0x45, 0x81, 0x88, 6, 17, 53, 255))
        yield without_fragments(packet)[:choose.choice((len(packet), choose.randrange(len(packet) + 1)))]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SETTINGS)
def test_same_on_random_packets(tmp_path, seed, name):
    path = write_pcap(tmp_path / "random", numbered(random_corpus(seed)))

    def run(lib):
        reader = importlib.import_module(lib).open_offline(path)
        return collect(lambda callback: reader.loop_filtered(-1, callback, 0x3F, **SETTINGS[name]))

    assert run("hugepcap") == run("pcapy")


# ---- address sets ----

def count_matches(lib, corpus_path, addresses):
    return lib.open_offline(corpus_path).loop_filtered(-1, ignore, 0, addresses)[4]


def test_large_set(lib, tmp_path):
    inside = [f"172.{16 + i // 65536}.{i // 256 % 256}.{i % 256}" for i in range(0, 100_000)]
    watched = b"".join(map(socket.inet_aton, inside))
    sources = ["172.16.0.0", "172.16.0.1", inside[-1], "172.17.134.160", "172.15.255.255"]
    path = write_pcap(tmp_path / "file", numbered([udp4(src=source) for source in sources]))
    assert count_matches(lib, path, watched) == 3


@pytest.mark.parametrize("addresses, expected", [
    (b"", 0), (b"abc", 0), (WATCHED_SET, 6), (WATCHED_SET * 3, 6), (WATCHED_SET + b"abc", 6), (bytes(4), 0),
    (socket.inet_aton("255.255.255.255"), 1),
])
def test_set_sizes(lib, corpus_path, addresses, expected):
    assert count_matches(lib, corpus_path, addresses) == expected


def test_set_from_a_buffer(lib, corpus_path):
    matched = outcome(lib, lambda: count_matches(lib, corpus_path, bytearray(WATCHED_SET)))
    assert matched == differ(lib, "buffers", "TypeError", 6)


# ---- counts, masks, cnt ----

@pytest.mark.parametrize("cnt, number", [(0, len(PACKETS)), (-1, len(PACKETS)), (1, 1), (7, 7), (10**6, len(PACKETS))])
def test_cnt_is_of_packets_looked_at(lib, corpus_path, cnt, number):
    assert lib.open_offline(corpus_path).loop_filtered(cnt, ignore, 0) == (0, number, number, 0, 0)
    assert lib.open_offline(corpus_path).loop_to_buffer(cnt, bytearray(), 0)[:2] == (0, number)


def test_defaults(lib, corpus_path):
    def open_it():
        return lib.open_offline(corpus_path)

    assert open_it().loop_filtered(-1, ignore) == (len(PACKETS), 0, len(PACKETS), 0, 0)
    security = open_it().loop_filtered(-1, ignore, profile=1)
    assert len(security) == 8 and security[0] == sum(security[2:5])
    assert len(open_it().loop_to_buffer(-1, bytearray(10), profile=1)) == 10


def test_positional_and_keyword_forms(lib, corpus_path):
    values = {"admit_mask": 0b111001, "addr_set": WATCHED_SET, "flow_cutoff": 1, "dpi_ports": [80], "tls_ports": [443],
              "dns_port": 53, "l2_offset": 14, "profile": 1}

    def open_it():
        return lib.open_offline(corpus_path)

    by_name = open_it().loop_filtered(cnt=-1, cb=ignore, **values)
    assert by_name == open_it().loop_filtered(-1, ignore, *values.values())
    assert by_name == open_it().loop_filtered(-1, ignore, *list(values.values())[:3], **dict(list(values.items())[3:]))
    filled = open_it().loop_to_buffer(cnt=-1, writable_buf=bytearray(9999), **values)
    assert filled == open_it().loop_to_buffer(-1, bytearray(9999), *values.values())
    assert filled[4:] == by_name[2:]


def test_records_of_loop_to_buffer(lib, offline):
    buffer = bytearray(100_000)
    written, _, overflow, used, *_ = offline.loop_to_buffer(-1, buffer, profile=1, admit_mask=0x3F)
    at, found = 0, []
    while at < used:
        caplen, cls = struct.unpack_from("<IB", buffer, at)
        found.append((bytes(buffer[at + 5:at + 5 + caplen]), cls))
        at += 5 + caplen
    assert (written, overflow, at) == (len(PACKETS), 0, used)
    assert [data for data, _ in found] == PACKETS
    assert found[list(CORPUS).index("dns query")][1] == DNS
    assert not any(buffer[used:])


def test_overflow_goes_on_with_what_fits(lib, tmp_path):
    large, small = udp4(payload=bytes(500)), udp4(payload=b"")
    path = write_pcap(tmp_path / "file", numbered([small, large, small]))
    buffer = bytearray(100)
    assert lib.open_offline(path).loop_to_buffer(-1, buffer)[:4] == (2, 0, 1, 2 * (5 + len(small)))


@pytest.mark.parametrize("number", [1, 2, 5])
def test_flows_are_directional(lib, tmp_path, number):
    there, back = udp4(1, 2), udp4(2, 1, src="10.0.0.2", dst="10.0.0.1")
    other_protocol = packets.tcp4(1, 2, packets.ACK)
    path = write_pcap(tmp_path / "file", numbered([there, back, other_protocol] * 10))
    assert lib.open_offline(path).loop_filtered(-1, ignore, 0, flow_cutoff=number)[3] == 3 * number


def test_flow_state_starts_anew_with_each_call(lib, tmp_path):
    path = write_pcap(tmp_path / "file", numbered([udp4()] * 10))
    reader = lib.open_offline(path)
    assert [reader.loop_filtered(5, ignore, 0, flow_cutoff=1)[3] for _ in range(2)] == [1, 1]


def test_many_flows(lib, tmp_path):
    """Flows that share a slot of the table may count as new again, and only that."""
    flows = [ethernet(ipv4(udp(1000 + i % 50_000, i // 50_000 + 1), 17)) for i in range(60_000)]
    path = write_pcap(tmp_path / "file", numbered(flows * 2))
    assert 60_000 <= lib.open_offline(path).loop_filtered(-1, ignore, 0, flow_cutoff=1)[3] < 66_000


# ---- filtered_stats ----

def test_stats_follow_the_run(lib, offline):
    snapshots = []
    total = offline.loop_filtered(3, lambda *packet: snapshots.append(offline.filtered_stats()))
    assert snapshots == [(1, 0, 1, 0, 0), (2, 0, 2, 0, 0), (3, 0, 3, 0, 0)]
    assert offline.filtered_stats() == total


def test_stats_have_the_shape_of_the_last_profile(lib, offline):
    assert [len(offline.loop_filtered(1, ignore, profile=profile)) for profile in (1, 0)] == [8, 5]
    assert len(offline.filtered_stats()) == 5
    offline.loop_filtered(1, ignore, profile=1)
    assert len(offline.filtered_stats()) == 8


def test_stats_of_loop_to_buffer(lib, offline):
    offline.loop_filtered(10, ignore, 0)
    offline.loop_to_buffer(5, bytearray(10_000), 7)
    assert offline.filtered_stats() == differ(lib, "counts of loop_to_buffer", (0, 10, 10, 0, 0), (5, 0, 5, 0, 0))


# pcapy-ng allocates a Reader over memory that it does not clear: this makes that memory a file's old buffer.
STATS_BEFORE = """
import importlib, sys
lib = importlib.import_module(sys.argv[1])
def dirty():
    blocks = [b"\\xff" * size for size in range(64, 512, 8) for _ in range(50)]
    return len(blocks)
seen = set()
for _ in range(50):
    dirty()
    seen.add(lib.open_offline(sys.argv[2]).filtered_stats())
print("zeros" if seen == {(0, 0, 0, 0, 0)} else "garbage")
"""


def test_stats_before_a_run(lib, corpus_path):
    from helpers import run_child

    said = run_child(STATS_BEFORE, lib.__name__, corpus_path).stdout.strip()
    assert said == differ(lib, "filtered_stats before a run", "garbage", "zeros")


# ---- wrong arguments ----

WRONG = {
    "no callback": ((1,), {}, "TypeError"),
    "no argument": ((), {}, "TypeError"),
    "cnt a str": (("1", ignore), {}, "TypeError"),
    "cnt 2^31": ((2**31, ignore), {}, "OverflowError"),
    "callback None": ((2, None), {}, "TypeError"),
    "callback of two": ((2, lambda hdr, data: None), {}, "TypeError"),
    "mask 2^32": ((1, ignore, 2**32), {}, "OverflowError"),
    "mask None": ((1, ignore, None), {}, "TypeError"),
    "l2_offset -1": ((1, ignore), {"l2_offset": -1}, "ValueError"),
    "l2_offset 65": ((1, ignore), {"l2_offset": 65}, "ValueError"),
    "profile 2": ((1, ignore), {"profile": 2}, "ValueError"),
    "profile -1": ((1, ignore), {"profile": -1}, "ValueError"),
    "ports a number": ((1, ignore), {"dpi_ports": 80}, "TypeError"),
    "ports of str": ((1, ignore), {"tls_ports": ["443"]}, "TypeError"),
    "ports a str": ((1, ignore), {"tls_ports": "443"}, "TypeError"),
    "ports beyond a long": ((1, ignore), {"dpi_ports": [2**64]}, "OverflowError"),
    "set None": ((1, ignore), {"addr_set": None}, "TypeError"),
    "set a str": ((1, ignore), {"addr_set": "1.2.3.4"}, "TypeError"),
    "cutoff 2^31": ((1, ignore), {"flow_cutoff": 2**31}, "OverflowError"),
    "cutoff None": ((1, ignore), {"flow_cutoff": None}, "TypeError"),
    "dns_port a str": ((1, ignore), {"dns_port": "53"}, "TypeError"),
    "unknown keyword": ((1, ignore), {"cut_off": 1}, "TypeError"),
    "twice": ((1, ignore, 7), {"admit_mask": 7}, "TypeError"),
    "eleven": ((1, ignore, 7, b"", 0, None, None, 53, 14, 0, 0), {}, "TypeError"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_of_loop_filtered(lib, offline, name):
    arguments, keywords, expected = WRONG[name]
    assert outcome(lib, lambda: offline.loop_filtered(*arguments, **keywords)) == expected


@pytest.mark.parametrize("name", [name for name in WRONG if "callback" not in name])
def test_wrong_arguments_of_loop_to_buffer(lib, offline, name):
    arguments, keywords, expected = WRONG[name]
    arguments = tuple(bytearray(9) if value is ignore else value for value in arguments)
    assert outcome(lib, lambda: offline.loop_to_buffer(*arguments, **keywords)) == expected


@pytest.mark.parametrize("buffer", [b"read-only", None, "text", memoryview(b"read-only"),
                                    memoryview(bytearray(100))[::2], 100])
def test_wrong_buffers(lib, offline, buffer):
    assert outcome(lib, lambda: offline.loop_to_buffer(1, buffer)) == "TypeError"


@pytest.mark.parametrize("buffer", [bytearray(500), memoryview(bytearray(500)), memoryview(bytearray(1000))[100:600]])
def test_buffers(lib, offline, buffer):
    assert offline.loop_to_buffer(1, buffer)[:4] == (1, 0, 0, 5 + len(PACKETS[0]))
    assert bytes(buffer[5:5 + len(PACKETS[0])]) == PACKETS[0]


@pytest.mark.parametrize("callback", [None, 7])
def test_callback_without_need(lib, offline, callback):
    assert offline.loop_filtered(-1, callback, 0)[1] == len(PACKETS)


def test_refused_call_reads_nothing(lib, offline):
    assert outcome(lib, lambda: offline.loop_filtered(1, ignore, profile=5)) == "ValueError"
    assert offline.next()[1] == PACKETS[0]
