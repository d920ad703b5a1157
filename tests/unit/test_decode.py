# SPDX-License-Identifier: BSD-3-Clause
"""Decoded columns say of each packet what dpkt says, and never read beyond what was captured."""

import socket
from array import array
from ipaddress import IPv6Address

import dpkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugepcap._decode import Flows, decode
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
    frag = draw(st.sampled_from([0, 0, 0x4000, 0x2000, 0x2010, 0x0010]))
    header = bytes((0x45 + len(options) // 4, 0)) + (20 + len(options) + len(data)).to_bytes(2, "big")
    return 0x0800, header + b"\0\1" + frag.to_bytes(2, "big") + bytes((64, proto, 0, 0)) + draw(
        st.binary(min_size=8, max_size=8)) + options + data


@st.composite
def ipv6(draw):
    proto, data = draw(transports)
    for kind in draw(st.lists(st.sampled_from([0, 43, 60, 51]), max_size=4, unique=True)):
        room = draw(st.integers(0, 3))
        body = bytes(4 * (room + 2) - 2 if kind == 51 else 8 * (room + 1) - 2)
        if kind == 51:
            room, body = 2 * room, bytes(4 * (2 * room + 2) - 2)
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


@settings(max_examples=1500, deadline=None)
@given(frames())
def test_agrees_with_dpkt(raw):
    assert said_here(raw) == said_by_dpkt(raw)


UDP = bytes.fromhex("1388003500120000") + b"0123456789"
IPV4 = bytes.fromhex("4500002600010000401100000a0000010a000002") + UDP
IPV6 = bytes.fromhex("6000000000121140"[:8]) + b"\0\x12\x11\x40" + bytes(15) + b"\1" + bytes(15) + b"\2" + UDP
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


def test_every_truncation_stays_inside():
    for raw in (LINKS[1][0] + IPV4, LINKS[1][1] + IPV6):
        for cut in range(len(raw)):
            found = row(columns([raw[:cut]]))
            assert found[7] + found[8] <= cut
            assert bool(found[0]) == (cut >= (34 if raw[12] == 8 else 54))


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
    frag = IPV6[:6] + b"\x2c" + IPV6[7:40] + bytes((60, 0, 0, 1, 0, 0, 0, 0, 17, 0)) + bytes(6) + UDP
    given_packets = [four + IPV4, six + IPV6, six + frag, four + b"\x46" + IPV4[1:20] + b"\1\1\1\1" + UDP]
    given_bytes = words(linktype, len(given_packets)) + b"".join(map(blob, given_packets))
    (ip, ports, payload), = harness("decode")(given_bytes, 4711 + linktype, 200_000)
    assert int(ip) > 50_000 and int(ports) > 10_000 and int(payload) > 10_000


