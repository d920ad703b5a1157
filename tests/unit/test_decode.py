# SPDX-License-Identifier: BSD-3-Clause
"""Decoded columns say of each packet what dpkt says, and never read beyond what was captured."""

import socket
from array import array
from ipaddress import IPv6Address

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.packets import CORPUS
from hugepcap import Flows, decode
from native import blob, words

PORTS = (dpkt.tcp.TCP, dpkt.udp.UDP, dpkt.sctp.SCTP)


def columns(packets, linktype=1):
    at, offsets = 0, array("Q")
    for packet in packets:
        offsets.append(at)
        at += len(packet)
    return decode(b"".join(packets), offsets, array("I", map(len, packets)), linktype)


def row(flows, i=0):
    address = [IPv6Address(bytes(column[i])) for column in map(memoryview.tolist, (flows.src, flows.dst))]
    return (flows.ip_version[i], *address, flows.proto[i], flows.sport[i], flows.dport[i], flows.tcp_flags[i],
            flows.payload_offset[i], flows.payload_len[i], flows.fragment[i])


def address_of(packed):
    return IPv6Address(packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed)


def said_by_dpkt(raw):
    ip = dpkt.ethernet.Ethernet(raw).data
    if isinstance(ip, dpkt.ip.IP):
        version, later, more, proto = 4, ip.offset > 0, ip.mf, ip.p
    else:
        frag = ip.extension_hdrs.get(dpkt.ip.IP_PROTO_FRAGMENT)
        version, later, more = 6, bool(frag and frag.frag_off), frag and frag.m_flag
        proto = ip.p
    whole = not later and isinstance(ip.data, PORTS)
    sport, dport = (ip.data.sport, ip.data.dport) if whole else (0, 0)
    flags = ip.data.flags if whole and isinstance(ip.data, dpkt.tcp.TCP) else 0
    payload = bytes(ip.data.data) if whole and proto != 132 else bytes(ip.data)
    return (version, address_of(ip.src), address_of(ip.dst), proto, sport, dport, flags & 0xff, payload,
            2 if later else 1 if more else 0)


def said_here(raw):
    found = row(columns([raw]))
    return (*found[:7], raw[found[7]:found[7] + found[8]], found[9])


numbers = st.integers(1, 65535)
payloads = st.binary(max_size=60)


def with_header(proto, made):
    return st.tuples(st.just(proto), made)


transports = st.one_of(
    with_header(17, st.builds(lambda s, d, p: bytes(dpkt.udp.UDP(sport=s, dport=d, ulen=8 + len(p), data=p)),
                              numbers, numbers, payloads)),
    with_header(6, st.builds(lambda s, d, f, o, p: bytes(dpkt.tcp.TCP(sport=s, dport=d, flags=f, opts=o * 4,
                                                                      off=5 + len(o), data=p)),
                             numbers, numbers, st.integers(0, 255), st.binary(max_size=10), payloads)),
    with_header(1, st.builds(lambda p: bytes(dpkt.icmp.ICMP(data=dpkt.icmp.ICMP.Echo(data=p))), payloads)),
    with_header(253, payloads))


@st.composite
def ipv4(draw):
    proto, data = draw(transports)
    options = draw(st.integers(0, 10)) * b"\x01\x01\x01\x01"
    frag = draw(st.sampled_from([0, 0, 0x4000, 0x2000, 0x2010, 0x0010, 0x1000]))
    header = bytes((0x45 + len(options) // 4, 0)) + (20 + len(options) + len(data)).to_bytes(2, "big")
    return 0x0800, header + b"\0\1" + frag.to_bytes(2, "big") + bytes((64, proto, 0, 0)) + draw(
        st.binary(min_size=8, max_size=8)) + options + data


@st.composite
def ipv6(draw):
    proto, data = draw(transports)
    for kind in draw(st.lists(st.sampled_from([0, 43, 60, 51]), max_size=4, unique=True)):
        room = draw(st.integers(0, 3))
        body = bytes(8 * (room + 1) - 2)
        if kind == 51:    # counts by four bytes, and has twelve at least
            room, body = 2 * room + 2, bytes(4 * (2 * room + 4) - 2)
        data, proto = bytes((proto, room)) + body + data, kind
    header = b"\x60\0\0\0" + len(data).to_bytes(2, "big") + bytes((proto, 64))
    return 0x86DD, header + draw(st.binary(min_size=32, max_size=32)) + data


@st.composite
def frames(draw):
    kind, data = draw(st.one_of(ipv4(), ipv6()))
    for tpid in draw(st.lists(st.sampled_from([0x8100, 0x88A8]), max_size=2)):
        kind, data = tpid, b"\0\x2a" + kind.to_bytes(2, "big") + data
    raw = bytes(12) + kind.to_bytes(2, "big") + data
    return raw + bytes(draw(st.integers(0, 40)))


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(frames())
def test_agrees_with_dpkt(raw):
    assert said_here(raw) == said_by_dpkt(raw)


# What dpkt refuses (a header that was cut or lies), counts otherwise, or is no IP: version, protocol, ports, flags,
# bytes of payload.
BY_HAND = {
    "tcp offset too small": (4, 6, 4001, 80, 24, 5),
    "sctp": (4, 132, 4096, 4097, 0, 4),
    "header length 0": (4, 17, 0, 0, 0, 0), "header length 16": (4, 17, 0, 0, 0, 0),
    "cut after ports": (4, 17, 4000, 53, 0, 0),
    "cut before flags": (4, 6, 4001, 22, 0, 0), "cut after flags": (4, 6, 4001, 22, 2, 0),
} | dict.fromkeys(["arp", "vlan arp", "empty", "one byte", "cut in ethernet", "cut in ip", "vlan cut in tag",
                   "vlan cut in ip"], (0,) * 6)


def with_length(said):
    return (*said[:7], len(said[7]), said[8])    # dpkt puts checksums into its payloads


@pytest.mark.parametrize("name", CORPUS)
def test_hand_made_packets(name):
    found = with_length(said_here(CORPUS[name]))
    if name in BY_HAND:
        assert (found[0], *found[3:8]) == BY_HAND[name]
    else:
        assert found == with_length(said_by_dpkt(CORPUS[name]))


UDP = bytes.fromhex("1388003500120000") + b"0123456789"
IPV4 = bytes.fromhex("4500002600010000401100000a0000010a000002") + UDP
IPV6 = bytes.fromhex("6000000000121140"[:8]) + b"\0\x12\x11\x40" + bytes(15) + b"\1" + bytes(15) + b"\2" + UDP
# A fragment header, destination options, 24 bytes of authentication.
CHAINED = IPV6[:4] + b"\0\x3a\x2c" + IPV6[7:40] + bytes((60, 0, 0, 1, 0, 0, 0, 0, 51, 0)) + bytes(6) + \
    bytes((17, 4)) + bytes(22) + UDP
LINKS = {
    0: (socket.AF_INET.to_bytes(4, "little"), (30).to_bytes(4, "little")),
    108: (b"\0\0\0\2", b"\0\0\0\x18"),
    12: (b"", b""), 101: (b"", b""), 228: (b"", b""), 229: (b"", b""),
    1: (bytes(12) + b"\x08\0", bytes(12) + b"\x86\xdd"),
    113: (bytes(14) + b"\x08\0", bytes(14) + b"\x86\xdd"),
    276: (b"\x08\0" + bytes(18), b"\x86\xdd" + bytes(18)),
}


@pytest.mark.parametrize("linktype", LINKS)
def test_each_link_type(linktype):
    four, six = LINKS[linktype]
    flows = columns([four + IPV4, six + IPV6], linktype)
    assert row(flows)[3:] == (17, 5000, 53, 0, len(four) + 28, 10, 0)
    assert row(flows, 1) == (6, IPv6Address("::1"), IPv6Address("::2"), 17, 5000, 53, 0, len(six) + 48, 10, 0)


@pytest.mark.parametrize("tags", [b"\x91\0\0\1\x81\0\0\2", b"\x88\xa8\0\1" * 4])
def test_stacked_tags(tags):
    assert row(columns([bytes(12) + tags + b"\x08\0" + IPV4]))[3:6] == (17, 5000, 53)


@pytest.mark.parametrize("later, fragment, ports", [(0, 1, (5000, 53)), (8, 2, (0, 0))])
def test_ipv6_fragments(later, fragment, ports):
    frag = bytes((17, 0)) + (later | (1 if fragment == 1 else 0)).to_bytes(2, "big") + bytes(4)
    raw = IPV6[:4] + (8 + len(UDP)).to_bytes(2, "big") + bytes((44,)) + IPV6[7:40] + frag + UDP
    found = row(columns([raw], 12))
    assert found[3] == 17 and found[4:6] == ports and found[9] == fragment


def test_no_next_header():
    assert row(columns([IPV6[:4] + b"\0\0\x3b" + IPV6[7:40] + bytes(6)], 12))[7:9] == (40, 0)


def test_a_chain_of_extension_headers():
    assert row(columns([CHAINED], 12))[3:] == (17, 5000, 53, 0, 88, 10, 1)
    short = CHAINED[:4] + b"\0\x20" + CHAINED[6:]    # IP ends within the authentication header
    assert row(columns([short], 12))[3:] == (51, 0, 0, 0, 56, 16, 1)


def cut_everywhere(raw, behind, linktype):
    """A row for every caplen, with other bytes behind what was captured."""
    packets = [raw[:cut] + behind for cut in range(len(raw) + 1)]
    offsets = array("Q", (sum(map(len, packets[:i])) for i in range(len(packets))))
    flows = decode(b"".join(packets), offsets, array("I", range(len(packets))), linktype)
    return [row(flows, i) for i in range(len(packets))]


@pytest.mark.parametrize("linktype, raw", [(link, head + ip) for link, heads in LINKS.items()
                                           for head, ip in zip(heads, (IPV4, IPV6))] +
                         [(12, CHAINED)] + [(1, raw) for raw in dict.fromkeys(CORPUS.values())])
def test_every_truncation(linktype, raw):
    rows = cut_everywhere(raw, b"\xff" * 64, linktype)
    assert rows == cut_everywhere(raw, bytes(64), linktype)    # what is behind is not read
    whole = rows[-1]
    for cut, found in enumerate(rows):
        assert found[0] in (0, whole[0])
        if found[0]:
            assert found[1:3] == whole[1:3]
            assert found[4:6] in ((0, 0), whole[4:6]) and found[6] in (0, whole[6])
            assert found[7] + found[8] == min(cut, whole[7] + whole[8])


def test_where_a_truncated_row_begins_to_be_one():
    for raw, ip, ports in ((LINKS[1][0] + IPV4, 34, 38), (LINKS[1][1] + IPV6, 54, 58)):
        rows = cut_everywhere(raw, b"", 1)
        assert [cut for cut, found in enumerate(rows) if found[0]] == list(range(ip, len(raw) + 1))
        assert [cut for cut, found in enumerate(rows) if found[4]] == list(range(ports, len(raw) + 1))


def test_what_decode_refuses():
    one = array("I", [4])
    with pytest.raises(ValueError, match="packet 0 is 4 bytes at 1, of 4 bytes"):
        decode(b"abcd", array("Q", [1]), one)
    with pytest.raises(ValueError, match="packet 0"):
        decode(b"abcd", array("Q", [2**64 - 2]), one)
    with pytest.raises(ValueError, match="2 offsets for 1 lengths"):
        decode(b"abcd", array("Q", [0, 0]), one)
    with pytest.raises(ValueError, match="link type 105"):
        decode(b"abcd", array("Q", [0]), one, 105)
    assert len(decode(b"", array("Q"), array("I"))) == 0
    with pytest.raises(TypeError):
        Flows()


@pytest.mark.parametrize("linktype", [1, 12, 0, 113, 276])
def test_mutated_packets_under_sanitizers(harness, linktype):
    four, six = LINKS[linktype]
    given_packets = [four + IPV4, six + IPV6, six + CHAINED, four + b"\x46" + IPV4[1:20] + b"\1\1\1\1" + UDP]
    given_bytes = words(linktype, len(given_packets)) + b"".join(map(blob, given_packets))
    (ip, ports, payload), = harness("decode")(given_bytes, 4711 + linktype, 200_000)
    assert int(ip) > 50_000 and int(ports) > 10_000 and int(payload) > 10_000
