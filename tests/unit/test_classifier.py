# SPDX-License-Identifier: BSD-3-Clause
"""The classifier beside a plain model of it, under sanitizers, and beside pcapy-ng over files."""

import random
import socket
import struct

import hypothesis.strategies as st
import pcapy
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

import hugepcap
from helpers.packets import CORPUS, ETH_IPV6, ethernet, ipv4, ipv6, tagged, tcp, tcp4, udp, udp4
from helpers.savefile import numbered, write_pcap
from model import AH, FRAGMENT, GENERIC, SECURITY, Model
from native import blob, words

ADDRESSES4 = [socket.inet_aton(text) for text in ("10.0.0.1", "203.0.113.7", "0.0.0.0", "255.255.255.255")]
ADDRESSES6 = [socket.inet_pton(socket.AF_INET6, text) for text in ("2001:db8::1", "2001:db8::7", "::", "ff02::1")]
PORTS = [53, 80, 443, 8080, 22, 4001, 0, 65535]


# ---- packets ----

def extension(kind, next_header, body):
    """One IPv6 extension header with a body of any length, padded as the header's own length field counts."""
    if kind == FRAGMENT:
        return struct.pack("!BBHI", next_header, 0, body[0] << 3 if body else 0, 7)
    unit, less = (4, 2) if kind == AH else (8, 1)
    whole = 2 + len(body)
    size = max(-(-whole // unit) * unit, 8)
    return bytes([next_header, size // unit - less]) + body + bytes(size - whole)


def with_extensions(proto, l4, extensions):
    """(first header's number, everything behind the IPv6 header)"""
    for kind, body in reversed(extensions):
        l4, proto = extension(kind, proto, body) + l4, kind
    return proto, l4


ports = st.sampled_from(PORTS)
payloads = st.binary(max_size=6)
layer4 = st.one_of(
    st.tuples(st.just(17), st.builds(udp, ports, ports, payloads)),
    st.tuples(st.just(6), st.builds(tcp, ports, ports, st.sampled_from([2, 16, 18, 24]), payloads,
                                    words=st.sampled_from([4, 5, 8]))),
    st.tuples(st.sampled_from([1, 58, 132, 255]), st.binary(max_size=24)))
extensions = st.lists(st.tuples(st.sampled_from([0, 43, 44, 51, 60]), st.binary(max_size=13)), max_size=10)


@st.composite
def ip_packets(draw):
    proto, l4 = draw(layer4)
    if draw(st.booleans()):
        ends = [socket.inet_ntoa(draw(st.sampled_from(ADDRESSES4))) for _ in "sd"]
        raw = bytearray(ipv4(l4, proto, *ends, fragment=draw(st.sampled_from([0, 0, 0, 0x2000, 0x2001, 1, 0x1FFF])),
                             options=bytes(draw(st.sampled_from([0, 0, 4, 40])))))
        if draw(st.integers(0, 9)) == 0:
            raw[0] = 0x40 + draw(st.integers(0, 15))
        return 0x0800, bytes(raw)
    proto, l4 = with_extensions(proto, l4, draw(extensions))
    ends = [socket.inet_ntop(socket.AF_INET6, draw(st.sampled_from(ADDRESSES6))) for _ in "sd"]
    return ETH_IPV6, ipv6(l4, proto, *ends)


@st.composite
def packets(draw):
    kind, payload = draw(ip_packets())
    tags = draw(st.lists(st.integers(0, 0xFFFF), max_size=3))
    whole = tagged(payload, *tags, kind=kind, outer=draw(st.sampled_from([0x8100, 0x88A8, 0x9100]))) if tags \
        else ethernet(payload, kind)
    return whole[:draw(st.integers(0, len(whole)))] if draw(st.integers(0, 4)) == 0 else whole


models = st.builds(
    Model, profile=st.sampled_from([GENERIC, SECURITY]), flow_cutoff=st.sampled_from([0, 1, 3]), ipv6=st.booleans(),
    dns_port=st.sampled_from([53, 0, 22]), l2_offset=st.sampled_from([14, 14, 14, 0, 1, 18]),
    http=st.sampled_from([(80, 8080), ()]), tls=st.sampled_from([(443,), (), (443, 80)]),
    addresses=st.frozensets(st.sampled_from(ADDRESSES4 + ADDRESSES6)))


def config(model, repeat=1):
    """The model's settings, as csrc/classify.c reads them."""
    sets = [b"".join(sorted(a for a in model.addresses if len(a) == size)) * repeat for size in (4, 16)]
    return words(model.profile, model.l2_offset, model.dns_port, model.flow_cutoff, model.ipv6, len(model.http),
                 *model.http, len(model.tls), *model.tls) + b"".join(map(blob, sets))


def classes_of(harness, model, data, repeat=1):
    lines = harness("classify")(config(model, repeat) + words(len(data)) + b"".join(map(blob, data)))
    return [int(line) for line, in lines]


# ---- beside the model ----

@settings(max_examples=100, deadline=None, derandomize=True,
          phases=[Phase.explicit, Phase.generate],
          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large,
                                 HealthCheck.function_scoped_fixture])
@given(model=models, data=st.lists(packets(), min_size=1, max_size=40))
@example(model=Model(profile=SECURITY, flow_cutoff=2, ipv6=True, addresses=frozenset(ADDRESSES4 + ADDRESSES6)),
         data=list(CORPUS.values()))
def test_the_model(harness, model, data):
    assert classes_of(harness, model, data) == [model.classify(packet) for packet in data]


@pytest.mark.parametrize("profile", [GENERIC, SECURITY])
def test_every_class_is_met(harness, profile):
    model = Model(profile=profile, flow_cutoff=2, ipv6=True, addresses=frozenset([ADDRESSES4[1], ADDRESSES6[1]]))
    data = list(CORPUS.values())
    found = classes_of(harness, model, data)
    assert found == [model.classify(packet) for packet in data]
    assert set(found) == set(range(6 if profile else 3))


EXTENDED = {
    "none": ([], True), "hop by hop": ([(0, b"")], True), "long options": ([(60, bytes(70))], True),
    "authenticated": ([(AH, bytes(10))], True), "first fragment": ([(FRAGMENT, b"\0")], True),
    "later fragment": ([(FRAGMENT, b"\1")], False), "all": ([(0, b""), (43, b"x"), (60, b""), (AH, b"")], True),
    "eight": ([(60, b"")] * 8, True), "nine": ([(60, b"")] * 9, False),
}


@pytest.mark.parametrize("name", EXTENDED)
def test_ports_behind_ipv6_extensions(harness, name):
    chain, found = EXTENDED[name]
    proto, l4 = with_extensions(17, udp(4000, 53), chain)
    packet = ethernet(ipv6(l4, proto), ETH_IPV6)
    assert classes_of(harness, Model(profile=SECURITY, ipv6=True), [packet]) == [0 if found else 2]
    assert classes_of(harness, Model(profile=SECURITY), [packet]) == [2]    # IPv6 is asked for
    cuts = [packet[:cut] for cut in range(len(packet))]
    model = Model(profile=SECURITY, ipv6=True)
    assert classes_of(harness, model, cuts) == [model.classify(cut) for cut in cuts]


def test_flow_heads(harness):
    one, back, other = udp4(1, 2), udp4(2, 1, src="10.0.0.2", dst="10.0.0.1"), tcp4(1, 2, 16)
    data = [one, one, other, one, back, one, back]
    assert classes_of(harness, Model(flow_cutoff=2), data) == [1, 1, 1, 0, 1, 0, 1]
    assert classes_of(harness, Model(flow_cutoff=1), data) == [1, 0, 1, 0, 1, 0, 0]
    assert classes_of(harness, Model(), data) == [0] * 7


def test_many_flows_keep_their_heads(harness):
    """More flows than the table has slots: none of them loses its head."""
    data = [udp4(1 + i % 60000, 1 + i // 60000, b"") for i in range(100_000)]
    assert classes_of(harness, Model(flow_cutoff=1), data) == [1] * len(data)


# ---- address sets ----

def sequential(count):
    return [struct.pack("!I", 0x0A000000 + i) for i in range(count)]


def scattered(count):
    source = random.Random(7)
    return [source.randbytes(4) for _ in range(count)]


@pytest.mark.parametrize("make, count, repeat", [
    (sequential, 1_000_000, 1), (scattered, 1_000_000, 2), (sequential, 1, 3), (scattered, 7, 1), (scattered, 8, 2)])
def test_large_sets(harness, make, count, repeat):
    """Members are found, strangers are not; each address stands in the list once or twice."""
    members = frozenset(make(count))
    source = random.Random(8)
    probes = source.sample(sorted(members), min(count, 300)) + [source.randbytes(4) for _ in range(300)]
    data = [udp4(src=socket.inet_ntoa(probe)) for probe in probes]
    data += [udp4(dst=socket.inet_ntoa(probe), src="192.0.2.1") for probe in probes]
    model = Model(addresses=members)
    assert classes_of(harness, model, data, repeat) == [model.classify(packet) for packet in data]


def test_large_set_of_ipv6(harness):
    base = ADDRESSES6[0][:12]
    members = frozenset(base + struct.pack("!I", i) for i in range(200_000))
    probes = [base + struct.pack("!I", i) for i in (0, 1, 199_999, 200_000, 1 << 31)] + [bytes(16)]
    data = [ethernet(ipv6(udp(1, 2), 17, src=socket.inet_ntop(socket.AF_INET6, probe), dst="::"), ETH_IPV6)
            for probe in probes]
    model = Model(addresses=members, ipv6=True)
    assert classes_of(harness, model, data) == [2, 2, 2, 0, 0, 0] == [model.classify(packet) for packet in data]


def test_the_address_of_zeros_matches_nothing(harness):
    data = [udp4(src="0.0.0.0"), udp4(dst="0.0.0.0"), udp4(src="0.0.0.0", dst="10.0.0.1")]
    model = Model(addresses=frozenset([bytes(4), ADDRESSES4[0]]))
    assert classes_of(harness, model, data) == [0, 2, 2]
    assert classes_of(harness, Model(addresses=frozenset([bytes(4)])), data) == [0, 0, 0]


# ---- spoilt ----

@pytest.mark.parametrize("profile", [GENERIC, SECURITY])
@pytest.mark.parametrize("l2_offset", [14, 0, 64])
def test_spoilt_packets(harness, profile, l2_offset):
    chains = [with_extensions(17, udp(1, 53), chain) for chain, _ in EXTENDED.values()]
    front = bytes(max(l2_offset - 14, 0))
    data = [front + packet for packet in [*CORPUS.values(), *(ethernet(ipv6(l4, p), ETH_IPV6) for p, l4 in chains)]]
    model = Model(profile=profile, flow_cutoff=2, ipv6=True, l2_offset=l2_offset,
                  addresses=frozenset(ADDRESSES4 + ADDRESSES6))
    lines = harness("classify")(config(model) + words(len(data)) + b"".join(map(blob, data)), 99, 200_000)
    counts = [int(line) for line, in lines]
    assert sum(counts) == 200_000
    if l2_offset:
        assert all(count > 100 for count in counts[:6 if profile else 3])


# ---- beside pcapy-ng ----

def is_later_fragment(packet):
    """The one intended difference: pcapy-ng takes what stands in a later fragment for ports."""
    at = 14
    while packet[at - 2:at] in (b"\x81\0", b"\x88\xa8") and at < 22:
        at += 4
    return len(packet) >= at + 20 and packet[at] >> 4 == 4 and int.from_bytes(packet[at + 6:at + 8], "big") & 0x1FFF


def generated(seed, count):
    """Valid and nearly valid IPv4 traffic: few hosts and ports, so that flows, sets and port lists are met."""
    source = random.Random(seed)
    choose = source.choice
    for _ in range(count):
        l4, proto = choose([
            (udp(choose(PORTS), choose(PORTS), source.randbytes(source.randrange(9))), 17),
            (tcp(choose(PORTS), choose(PORTS), choose([2, 16, 18, 24, 66]), source.randbytes(source.randrange(3)),
                 words=choose([4, 5, 5, 8])), 6),
            (source.randbytes(source.randrange(20)), choose([1, 47, 132]))])
        ends = [socket.inet_ntoa(choose(ADDRESSES4)) for _ in "sd"]
        payload = ipv4(l4, proto, *ends, fragment=choose([0, 0, 0, 0x2000, 0x4000]), options=bytes(choose([0, 0, 8])))
        whole = choose([ethernet(payload), tagged(payload, 42), tagged(payload, 7, 42, outer=0x88A8)])
        yield whole[:source.randrange(len(whole) + 1)] if source.random() < 0.2 else whole


def filtered(lib, path, profile, **given):
    found = []
    reader = lib.open_offline(path)
    counts = reader.loop_filtered(-1, lambda hdr, data, cls: found.append((cls, data)), 0x3F, profile=profile, **given)
    reader.close()
    return found, counts


def buffered(lib, path, profile, **given):
    buffer = bytearray(1 << 20)
    reader = lib.open_offline(path)
    counts = reader.loop_to_buffer(-1, buffer, 0x3F, profile=profile, **given)
    reader.close()
    return bytes(buffer), counts


@pytest.mark.parametrize("profile", [GENERIC, SECURITY])
@pytest.mark.parametrize("options", [
    {}, {"flow_cutoff": 1}, {"flow_cutoff": 3, "addr_set": ADDRESSES4[1]},
    {"addr_set": b"".join(ADDRESSES4[:3]), "flow_cutoff": 2, "dns_port": 22, "tls_ports": [443, 4001],
     "dpi_ports": [22, 80]}, {"l2_offset": 18, "flow_cutoff": 2}])
def test_beside_pcapy_ng(tmp_path, profile, options):
    data = [packet for packet in [*CORPUS.values(), *generated(5, 4000)] if not is_later_fragment(packet)]
    path = write_pcap(tmp_path / "traffic.pcap", numbered(data))
    theirs, ours = (filtered(lib, path, profile, **options) for lib in (pcapy, hugepcap))
    assert ours == theirs
    assert len(ours[0]) == len(data) > 3900
    assert buffered(hugepcap, path, profile, **options) == buffered(pcapy, path, profile, **options)


def test_later_fragments_have_no_ports(tmp_path):
    fragment = ethernet(ipv4(udp(4000, 53), 17, fragment=100))
    assert is_later_fragment(fragment)
    path = write_pcap(tmp_path / "fragment.pcap", numbered([fragment]))
    assert [cls for cls, _ in filtered(pcapy, path, SECURITY)[0]] == [100]
    assert [cls for cls, _ in filtered(hugepcap, path, SECURITY)[0]] == [102]
