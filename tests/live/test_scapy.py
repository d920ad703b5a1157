# SPDX-License-Identifier: BSD-3-Clause
"""scapy's sniff() and AsyncSniffer on our ring."""

import threading
import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from scapy.all import AsyncSniffer, Ether, UDP, conf, sniff

import hugepcap
from hugepcap._generate import sequence_of
from hugepcap.scapy import ListenSocket
from helpers import send, wait_until
from helpers.packets import ethernet, ipv4, udp
from test_links import put


@pytest.fixture(autouse=True)
def listen(monkeypatch):
    monkeypatch.setattr(conf, "L2listen", ListenSocket)


def test_sniff(link):
    packets = sniff(iface=link.far, count=50, timeout=90, started_callback=lambda: send(link.near, 50))
    assert [sequence_of(bytes(packet)) for packet in packets] == list(range(50))
    assert all(isinstance(packet, Ether) and UDP in packet for packet in packets)
    assert all(packet.sniffed_on == link.far for packet in packets)


def test_an_async_sniffer_with_a_filter(link):
    started = threading.Event()
    sniffer = AsyncSniffer(iface=link.far, filter="udp port 53", count=2, started_callback=started.set)
    sniffer.start()
    assert started.wait(20)
    for port in (53, 54, 53):
        put(link.near, ethernet(ipv4(udp(1000, port), 17)))
    sniffer.join(20)
    assert not sniffer.running
    assert [packet[UDP].dport for packet in sniffer.results] == [53, 53]


def test_times_have_nanoseconds(link):
    listening = ListenSocket(iface=link.far, ring_bytes=1 << 20)
    other = hugepcap.open_live(link.far, 65535, 1, 1000)
    send(link.near, 1)
    wait_until(lambda: listening.reader.ring.pending_blocks, "the packet")
    packet, (hdr, _) = listening.recv(), other.next()
    assert abs(int(packet.time * 10**9) - hdr.ts_ns) < 10**9 and packet.time == packet.time.normalize(20)
    assert listening.recv() is None and listening.fileno() >= 0
    with pytest.raises(OSError, match="does not send"):
        listening.send(packet)
    listening.close()
    listening.close()
    other.close()


def test_a_filter_that_does_not_parse(link):
    with pytest.raises(hugepcap.PcapError, match="no filter"):
        sniff(iface=link.far, filter="no filter", count=1)


def test_a_sniffer_stops_on_a_quiet_link(link):
    started = threading.Event()
    sniffer = AsyncSniffer(iface=link.far, started_callback=started.set)
    sniffer.start()
    assert started.wait(20)
    sniffer.stop(join=False)
    sniffer.join(20)
    assert not sniffer.thread.is_alive()


def test_no_monitor_mode(link):
    pytest.raises(ValueError, ListenSocket, link.far, monitor=True).match("no monitor mode: create")
