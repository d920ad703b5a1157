# SPDX-License-Identifier: BSD-3-Clause
"""Batches' decoded columns and filters over their rows, beside what is said of one packet after the other."""

import gc
import re
from collections import Counter
from ipaddress import IPv6Address
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

import hugepcap
from helpers.packets import CORPUS
from helpers.savefile import numbered, write_pcap
from test_classifier import packets
from test_decode import IPV4, IPV6, LINKS, columns, row

PAGE = Path(__file__).parents[2] / "docs" / "flows.md"
ETHERNET, NULL, WLAN, RAW_FILE = 1, 0, 105, 101


def batch_of(tmp_path, data, linktype=ETHERNET, **kind):
    path = write_pcap(tmp_path / "rows.pcap", numbered(data), linktype=linktype, **kind)
    with hugepcap.open_offline(path) as reader:
        batch = reader.next_block()
    assert len(batch) == len(data)
    return batch


def check_mask(batch, expression):
    program = hugepcap.compile(batch.datalink, 65535, expression, 1, 0)
    mask = batch.mask(program)
    assert (mask.format, mask.readonly, mask.shape) == ("B", True, (len(batch),))
    assert mask.tolist() == [int(program.filter(bytes(packet)) > 0) for packet in batch]
    return sum(mask)


@pytest.mark.parametrize("expression", ["udp", "tcp[tcpflags] & tcp-syn != 0", "vlan", "ip6", "host 203.0.113.7",
                                        "port 53", "not ip", "greater 60", "less 100 and udp"])
def test_mask(tmp_path, expression):
    batch = batch_of(tmp_path, CORPUS.values())
    assert 0 < check_mask(batch, expression) < len(batch)


@pytest.mark.parametrize("linktype", [113, 276, RAW_FILE, NULL])
def test_mask_on_other_links(tmp_path, linktype):
    four, six = LINKS[linktype]
    batch = batch_of(tmp_path, [four + IPV4, six + IPV6, four + IPV4[:22]], linktype)
    assert check_mask(batch, "ip and udp port 53") == 1


def test_mask_asks_for_the_length_on_the_wire(tmp_path):
    records = [record._replace(data=record.data[:40], length=length)
               for record, length in zip(numbered([CORPUS["udp"]] * 2), (60, 1500))]
    path = write_pcap(tmp_path / "cut.pcap", records)
    with hugepcap.open_offline(path) as reader:
        batch = reader.next_block()
    assert batch.mask(hugepcap.compile(ETHERNET, 65535, "greater 1000", 1, 0)).tolist() == [0, 1]


@settings(max_examples=60, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.lists(packets(), min_size=1, max_size=40))
def test_generated_packets(tmp_path, data):
    batch = batch_of(tmp_path, data)
    for expression in ("udp port 53", "ip6", "tcp dst port 80 or vlan"):
        check_mask(batch, expression)
    flows, alone = batch.flows(), [columns([packet]) for packet in data]
    assert [row(flows, i) for i in range(len(data))] == [row(one) for one in alone]


def test_parts_and_copies(tmp_path):
    batch = batch_of(tmp_path, CORPUS.values())
    rows = [row(columns([packet])) for packet in CORPUS.values()]
    program = hugepcap.compile(ETHERNET, 65535, "udp", 1, 0)
    for part in (batch[7:30], batch[7:30].copy()):
        flows = part.flows()
        assert len(flows) == 23 and [row(flows, i) for i in range(23)] == rows[7:30]
        assert part.mask(program).tolist() == batch.mask(program).tolist()[7:30]
    assert len(batch[5:5].flows()) == 0 and batch[5:5].mask(program).tolist() == []


def test_flows_outlive_everything(tmp_path):
    batch = batch_of(tmp_path, CORPUS.values())
    source, ports = batch.flows().src, batch.flows().sport
    batch.release()
    gc.collect()
    assert IPv6Address(source[0:1].tobytes()).ipv4_mapped == IPv6Address("::ffff:10.0.0.1").ipv4_mapped
    assert source.shape == (len(CORPUS), 16) and ports[0] == 1111 and ports.readonly and source.readonly


def test_an_address_set_over_a_column(tmp_path):
    flows = batch_of(tmp_path, CORPUS.values()).flows()
    watched = hugepcap.AddressSet(["203.0.113.0/29", "2001:db8::1"])
    addresses = [IPv6Address(bytes(address)) for address in flows.src.tolist()]
    expected = [address in map(IPv6Address, ("::ffff:203.0.113.7", "2001:db8::1")) for address in addresses]
    assert watched.mask(flows.src).tolist() == expected and 0 < sum(expected) < len(expected)


def test_the_example_in_the_documentation(tmp_path):
    pytest.importorskip("numpy")
    names: dict = {"__name__": "example"}
    exec(re.search("```python\n(.*?)```", PAGE.read_text(), re.S).group(1), names)
    data = [packet for packet in CORPUS.values() for _ in range(len(packet) % 3)]
    sent = Counter()
    for packet in data:
        version, source = row(columns([packet]))[:2]
        if version:
            sent[str(source.ipv4_mapped or source)] += len(packet)
    path = write_pcap(tmp_path / "talk.pcap", numbered(data))
    with hugepcap.open_offline(path) as reader:
        found = names["top_talkers"](reader.batches(max_packets=7), 3)
    assert found == sent.most_common(3) and len(found) == 3


def test_what_is_refused(tmp_path):
    batch = batch_of(tmp_path, CORPUS.values())
    with pytest.raises(hugepcap.PcapError, match="compiled for link type 113, packets here are of type 1"):
        batch.mask(hugepcap.compile(113, 65535, "udp", 1, 0))
    with pytest.raises(TypeError):
        batch.mask("udp")
    with pytest.raises(ValueError, match="link type 105 is none of"):
        batch_of(tmp_path, [b"x" * 40], WLAN).flows()
    with pytest.raises(ValueError, match="never compiled"):
        batch_of(tmp_path, [b"x" * 40], NULL).mask(hugepcap.BPFProgram.__new__(hugepcap.BPFProgram))
    batch.release()
    with pytest.raises(ValueError, match="released"):
        batch.flows()
    with pytest.raises(ValueError, match="released"):
        batch.mask(hugepcap.compile(ETHERNET, 65535, "udp", 1, 0))
