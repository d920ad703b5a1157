# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of links: VLAN tags, any (SLL and SLL2), lo, tun, tap; and the filters on them."""

import contextlib
import socket
import struct

import pytest

import hugepcap
import netns
from helpers import background_read, packets, run_child, send, wait_until
from helpers.packets import CORPUS, ethernet, ipv4, ipv6, tagged, udp
from hugepcap._generate import build_packet
from reading import METHODS, TIMED, numbers, put, read_packets

ARPHRD_PPP = 512
MARK = udp(9, 9, b"the end")
END = ethernet(ipv4(MARK, 17))
# What a device sends has a whole Ethernet header, and a whole VLAN tag where it has one.
SENDABLE = {name: packet for name, packet in CORPUS.items() if len(packet) >= 18}


def read_to_end(reader, method=METHODS["next"]):
    """Everything up to a packet that has END's payload."""
    seen = []
    while not (seen and seen[-1].endswith(MARK)):
        method(reader, seen.append)
    return seen[:-1]


# ---- VLAN tags ----

TAGS = {
    "tag": tagged(ipv4(udp(1, 2), 17), 42),
    "priority": tagged(ipv4(udp(1, 2), 17), 0xE000 | 42),
    "priority without VLAN": tagged(ipv4(udp(1, 2), 17), 0x6000),
    "VLAN 0": tagged(ipv4(udp(1, 2), 17), 0),
    "VLAN 4095": tagged(ipv4(udp(1, 2), 17), 4095),
    "802.1ad": tagged(ipv4(udp(1, 2), 17), 42, outer=packets.ETH_QINQ),
    "two tags": tagged(ipv4(udp(1, 2), 17), 100, 42, outer=packets.ETH_QINQ),
    "two 802.1Q tags": tagged(ipv4(udp(1, 2), 17), 100, 42),
    "IPv6": tagged(ipv6(udp(1, 2), 17), 42, kind=packets.ETH_IPV6),
    "ARP": tagged(b"\0\1\x08\0\6\4\0\1" + bytes(20), 42, kind=packets.ETH_ARP),
    "large": tagged(ipv4(udp(1, 2, bytes(1400)), 17), 42),
}


@pytest.mark.parametrize("method", TIMED)
def test_tags_are_put_back(reader, link, method):
    put(link.near, *TAGS.values(), END)
    assert dict(zip(TAGS, read_to_end(reader, METHODS[method]))) == TAGS


def test_tags_in_a_buffer(reader, link):
    put(link.near, *TAGS.values())
    buffer = bytearray(10_000)
    used = reader.loop_to_buffer(len(TAGS), buffer)[3]
    assert buffer[:used] == b"".join(struct.pack("<IB", len(data), 0) + data for data in TAGS.values())


def test_lengths_with_a_tag(reader, link):
    put(link.near, TAGS["large"])
    hdr, data = reader.next()
    assert hdr.getlen() == hdr.getcaplen() == len(data) == len(TAGS["large"])


@pytest.mark.parametrize("snaplen", [1, 12, 13, 14, 16, 18, 20, 60])
def test_tags_and_snaplen(link, snaplen):
    with hugepcap.open_live(link.far, snaplen, 1, 10_000) as reader:
        put(link.near, TAGS["tag"])
        hdr, data = reader.next()
    assert data == TAGS["tag"][:snaplen] and hdr.getcaplen() == snaplen
    # cut off before its place, the tag cannot be put back, nor counted: so does libpcap
    assert hdr.getlen() == len(TAGS["tag"]) - (4 if snaplen < 12 else 0)


def test_classes_with_tags(reader, link):
    watched = socket.inet_aton(packets.WATCHED)
    put(link.near, CORPUS["vlan dns"], CORPUS["qinq of the watched"], CORPUS["dns query"])
    seen = []
    reader.loop_filtered(3, lambda hdr, data, cls: seen.append(cls), 0x3F, watched, profile=1)
    assert seen == [100, 103, 100]


# ---- filters ----

VLAN_FILTERS = ["vlan", "vlan 42", "vlan 100", "vlan 42 and udp", "vlan 42 and udp port 53", "not vlan", "vlan 0",
                "vlan 42 or arp", "vlan and vlan", "vlan 100 and vlan 42", "vlan 100 and vlan 42 and udp",
                "udp or vlan 42", "arp or (vlan 42 and arp)", "not (vlan 42)", "vlan and ip6", "ip or (vlan and ip)"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("filter", VLAN_FILTERS)
def test_vlan_filters_are_as_offline(link, filter, late):
    """On live packets, tagged in metadata, the filter chooses what it chooses on the same packets in a file."""
    sent = {**SENDABLE, **TAGS}
    offline = hugepcap.BPFProgram(filter)
    with hugepcap.open_live(link.far, 65535, 1, 20, filter=None if late else filter) as reader:
        if late:
            reader.setfilter(filter)
        put(link.near, *sent.values())
        expected = [name for name, data in sent.items() if offline.filter(data)]
        names = {data: name for name, data in reversed(sent.items())}
        seen = [names.get(data, data) for data in read_packets(reader, len(expected))]
        reader.setnonblock(1)
        assert reader.next() == (None, b"")
    assert seen == [names[sent[name]] for name in expected]


@pytest.mark.parametrize("filter", ["arp", "udp port 53", "tcp[tcpflags] & tcp-syn != 0", "ip6", "greater 70",
                                    "less 50", "icmp", "net 203.0.113.0/24", "ip[8] = 64", "len = 60"])
def test_filters_without_tags_are_as_offline(link, filter):
    sent = {name: data for name, data in SENDABLE.items() if data[12:14] not in (b"\x81\0", b"\x88\xa8")}
    offline = hugepcap.BPFProgram(filter)
    expected = [data for data in sent.values() if offline.filter(data)]
    with hugepcap.open_live(link.far, 65535, 1, 20, filter=filter) as reader:
        put(link.near, *sent.values())
        assert expected and read_packets(reader, len(expected)) == expected
        assert reader.stats()[0] == len(expected)


# ---- any ----

@pytest.mark.parametrize("linktype, cooked", [(113, 16), (276, 20)])
def test_any(link, linktype, cooked):
    with hugepcap.open_live("any", 65535, 0, 20) as reader:
        assert set(reader.list_datalinks()) == {113, 276} and reader.datalink() == 113
        reader.set_datalink(linktype)
        assert reader.datalink() == linktype
        reader.setfilter("udp")
        send(link.near, 1, first_seq=8)
        send("lo", 1, first_seq=9)
        hdr, first = reader.next()
        _, second = reader.next()
    assert numbers([first, second]) == [8, 9]
    assert first[cooked:] == build_packet(8)[14:] and hdr.getlen() == len(first) == 60 - 14 + cooked
    index = socket.if_nametoindex(link.far)
    if linktype == 113:
        assert struct.unpack("!HHH8sH", first[:16]) == (3, 1, 6, build_packet(8)[6:12] + bytes(2), 0x0800)
        assert struct.unpack("!HHH", second[:6])[1] == 772
    else:
        assert struct.unpack("!HHIHBB8s", first[:20]) == \
            (0x0800, 0, index, 1, 3, 6, build_packet(8)[6:12] + bytes(2))


def test_any_sees_what_goes_out(link):
    with hugepcap.open_live("any", 65535, 0, 20) as reader:
        reader.setfilter("udp")
        send(link.near, 1, qdisc_bypass=False)
        kinds = sorted(struct.unpack("!H", data[:2])[0] for data in read_packets(reader, 2))
    assert kinds == [3, 4]


def test_any_has_loopback_once(link):
    """Of a packet on lo, what goes out is what comes in: one of the two is left out."""
    with hugepcap.open_live("any", 65535, 0, 20) as reader:
        send("lo", 100, qdisc_bypass=False)
        assert numbers(read_packets(reader, 100)) == list(range(100))
        reader.setnonblock(1)
        assert reader.next() == (None, b"")


@pytest.mark.parametrize("linktype", [113, 276])
def test_any_with_tags(link, linktype):
    with hugepcap.open_live("any", 65535, 0, 20) as reader:
        reader.set_datalink(linktype)
        send(link.near, 1, vlan=42, sizes=(80, 80))
        data = read_packets(reader, 1)[0]
    whole = build_packet(0, vlan=42, sizes=(80, 80))
    cooked = {113: 16, 276: 20}[linktype]
    assert data[cooked:] == whole[14:]
    assert data[14:16] == b"\x81\0" if linktype == 113 else data[:2] == b"\x81\0"


def test_filter_of_any_from_the_first_packet(link):
    with hugepcap.open_live("any", 65535, 0, 20, filter="udp and greater 100") as reader:
        send(link.near, 5)
        send(link.near, 1, sizes=(200, 200), first_seq=5)
        assert numbers(read_packets(reader, 1)) == [5]


# ---- lo ----

@pytest.mark.parametrize("bypass", [True, False])
def test_loopback(network, bypass):
    with hugepcap.open_live("lo", 65535, 0, 20) as reader:
        assert reader.datalink() == 1 and reader.engine == "ring"
        send("lo", 1000, qdisc_bypass=bypass)
        assert numbers(read_packets(reader, 1000)) == list(range(1000))
        reader.setnonblock(1)
        assert reader.next() == (None, b"") and reader.stats()[:2] == (1000, 0)


# ---- tun, tap ----

@pytest.fixture
def tunnels(root):
    with netns.namespace():
        try:
            yield
        except FileNotFoundError:
            pytest.skip("needs /dev/net/tun")


def test_tun(tunnels):
    datas = [ipv4(udp(1, 2), 17), ipv6(udp(3, 4), 17), ipv4(b"\x08\0\0\0\0\1\0\1", 1)]
    with netns.tun() as tunnel, hugepcap.open_live(tunnel.name, 65535, 0, 20) as reader:
        assert (reader.datalink(), reader.engine) == (hugepcap.DLT_RAW, "ring")
        for data in datas:
            tunnel.write(data)
        assert read_packets(reader, 3) == datas
        reader.setfilter("ip6")
        for data in datas:
            tunnel.write(data)
        assert read_packets(reader, 1) == datas[1:2]
        tunnel.write(datas[1])
        assert reader.loop_filtered(1, lambda *packet: None, l2_offset=0, flow_cutoff=1, ipv6=True)[3] == 1


def test_tun_outgoing(tunnels):
    with netns.tun() as tunnel, hugepcap.open_live(tunnel.name, 65535, 0, 20) as reader:
        send(tunnel.name, 10, qdisc_bypass=False)
        assert numbers(read_packets(reader, 10)) == list(range(10))


def test_tap(tunnels):
    with netns.tap() as tunnel, hugepcap.open_live(tunnel.name, 65535, 0, 20) as reader:
        assert (reader.datalink(), reader.engine) == (hugepcap.DLT_EN10MB, "ring")
        tunnel.write(build_packet(3))
        tunnel.write(tagged(ipv4(MARK, 17), 42))
        assert read_to_end(reader) == [build_packet(3)]


# ---- directions ----

@pytest.mark.parametrize("direction, expected", [(0, [1, 2, 3]), (1, [1, 3]), (2, [2])])
def test_setdirection(reader, link, direction, expected):
    reader.setdirection(direction)
    send(link.near, 1, first_seq=1)
    send(link.far, 1, first_seq=2, qdisc_bypass=False)
    send(link.near, 1, first_seq=3)
    assert numbers(read_packets(reader, len(expected))) == expected
    reader.setnonblock(1)
    assert reader.next() == (None, b"")


# ---- other engines ----

def test_devices_of_libpcap(network):
    """A device that is no network device is libpcap's, behind the same Reader."""
    with hugepcap.open_live("nflog", 65535, 0, 20) as reader:
        assert (reader.engine, reader.ring) == ("libpcap", None)
        assert reader.datalink() == 239
        assert reader.next() == (None, b"") and reader.dispatch(-1, print) == 0


SMALL, LARGE = ipv4(udp(1, 2), 17), ipv4(udp(1, 2, bytes(200)), 17)
# More instructions than the kernel takes: libpcap then runs it itself.
LONG = hugepcap.compile(hugepcap.DLT_LINUX_SLL, 65535, "greater 200 or " + " or ".join(
    f"host 10.9.{i}.1" for i in range(150)), 0, 0)


@pytest.fixture
def ppp(tunnels):
    """A network device that libpcap serves."""
    with netns.tun() as tunnel:
        tunnel.set_kind(ARPHRD_PPP)
        with hugepcap.open_live(tunnel.name, 65535, 0, 20) as reader:
            assert (reader.engine, reader.datalink()) == ("libpcap", hugepcap.DLT_LINUX_SLL)
            yield tunnel, reader


@pytest.mark.parametrize("filter", ["greater 200", LONG])
def test_filters_of_libpcap(ppp, filter):
    tunnel, reader = ppp
    reader.setfilter(filter)
    for packet in (SMALL, LARGE, SMALL, LARGE):
        tunnel.write(packet)
    assert [data[16:] for data in read_packets(reader, 2)] == [LARGE, LARGE]


# loop_to_buffer gives its packets only when it ends: test_filters_of_libpcap_under_a_scan has it
@pytest.mark.parametrize("method", [name for name in METHODS if name != "loop_to_buffer"])
def test_filters_of_libpcap_come_while_a_thread_waits(ppp, method):
    """Each from another thread; the reader puts it in force when it wakes."""
    tunnel, reader = ppp
    seen = []

    def take(data):
        seen.append(data[16:])

    def read():
        while not reader.closed:
            METHODS[method](reader, take)

    def only(packet):
        for each in (SMALL, LARGE):
            tunnel.write(each)
        return seen[-4:] == [packet] * 4

    reading = background_read(read)
    for filter, packet in (("greater 200", LARGE), ("less 200", SMALL), (LONG, LARGE)):
        reader.setfilter(filter)
        wait_until(lambda: only(packet), f"none but {len(packet)} bytes")
    reader.breakloop()
    reader.close()
    with contextlib.suppress(ValueError):    # closed between two calls
        reading.result()


UNDER_A_SCAN = """
import ctypes
import hugepcap, netns
from helpers import Background
from helpers.packets import ipv4, udp
LARGE = ipv4(udp(1, 2, bytes(200)), 17)
M_MMAP_THRESHOLD = -3
ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 14)    # what is freed is not there any more
texts = [" or ".join(f"host 10.{n}.{i}.1" for i in range(1, 250)) + " or greater 200" for n in range(1, 4)]
programs = [hugepcap.compile(hugepcap.DLT_LINUX_SLL, 65535, text, 0, 0) for text in texts]
with netns.namespace(), netns.tun() as tunnel:
    tunnel.set_kind(512)
    with hugepcap.open_live(tunnel.name, 65535, 0, 20) as reader:
        reading = Background(reader.loop_to_buffer, 3000, bytearray(1))
        left = 4000
        while reading.is_alive() and left:
            reader.setfilter(programs[left % 3])
            for _ in range(10):
                tunnel.write(LARGE)
            left -= 1
        print(sum(reading.result()[:3]))
"""


def test_filters_of_libpcap_under_a_scan(tunnels):
    """Reading lets other threads run, and libpcap frees the program of the filter before."""
    done = run_child(UNDER_A_SCAN)
    assert (done.stdout.strip(), done.returncode) == ("3000", 0), done.stderr
