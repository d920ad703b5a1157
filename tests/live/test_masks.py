# SPDX-License-Identifier: BSD-3-Clause
"""Filters and decoding over batches that lie in a ring."""

import pytest

import hugepcap
from helpers.packets import ETH_QINQ, ethernet, ipv4, tagged, udp
from reading import take
from test_links import put

PACKET = ethernet(ipv4(udp(1111, 2222), 17))


@pytest.mark.parametrize("expression, ways", [("inbound", [hugepcap.PCAP_D_IN]), ("outbound", [hugepcap.PCAP_D_OUT]),
                                              ("udp", [hugepcap.PCAP_D_IN, hugepcap.PCAP_D_OUT])])
def test_directions(reader, link, expression, ways):
    program = hugepcap.compile(reader.datalink(), 65535, expression, 1, 0)
    put(link.near, PACKET)
    put(link.far, PACKET)
    for batch in take(reader, 2):
        assert batch.mask(program).tolist() == [int(way in ways) for way in batch.direction]


def test_tags_that_were_put_back(reader, link):
    sent = [PACKET, tagged(ipv4(udp(1112, 2222), 17), 42), tagged(ipv4(udp(1113, 2222), 17), 7, 8, outer=ETH_QINQ)]
    for packet in sent:
        put(link.near, packet)
    batches = take(reader, len(sent))
    program = hugepcap.compile(reader.datalink(), 65535, "vlan", 1, 0)
    assert [row for batch in batches for row in batch.mask(program)] == [0, 1, 1]
    assert [port for batch in batches for port in batch.flows().sport] == [1111, 1112, 1113]
    assert [at for batch in batches for at in batch.flows().payload_offset] == [42, 46, 50]


def test_flows_stay_when_the_ring_is_gone(link):
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        put(link.near, PACKET)
        batch, = take(reader, 1)
        flows = batch.flows()
        batch.release()
    del batch, reader
    assert bytes(flows.dst.tolist()[0])[12:] == bytes((10, 0, 0, 2)) and flows.payload_len[0] == 18
