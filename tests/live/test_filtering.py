# SPDX-License-Identifier: BSD-3-Clause
"""When a filter takes effect, where it runs, and what it does to counters and snapshot lengths."""

import threading

import pytest

import hugepcap
from helpers import Background, send, wait_until
from helpers.packets import ipv4, tagged, udp
from reading import METHODS, by_loop_to_buffer, numbers, put, read_packets

# More instructions than the kernel takes (4096); it lets through what has at least 100 bytes.
LONG = hugepcap.compile(hugepcap.DLT_EN10MB, 65535, "udp and (" + " or ".join(
    f"host 10.0.{i}.1" for i in range(150)) + " or greater 100)", 0, 0)


def traffic_of(device, stop, burst=200, **settings):
    while not stop.is_set():
        send(device, burst, **settings)


@pytest.fixture
def noise(link):
    """Packets of 60 bytes, without pause."""
    stop = threading.Event()
    sender = Background(traffic_of, link.near, stop, rate_pps=50_000)
    yield
    stop.set()
    sender.result()


def test_no_unfiltered_packet_at_the_start(link, noise):
    for number in range(20):
        with hugepcap.open_live(link.far, 65535, 1, 20, filter="greater 100", ring_bytes=1 << 20) as reader:
            send(link.near, 1, sizes=(100, 100), first_seq=10_000 + number)
            assert numbers(read_packets(reader, 1)) == [10_000 + number]
            assert reader.stats()[:2] == (1, 0)


def test_no_unfiltered_packet_after_setfilter(link, noise, method):
    """Between two setfilter calls, under traffic, reads give only what the last filter lets through."""
    seen = []
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=8 << 20) as reader:
        read_packets(reader, 100)
        reader.setfilter("greater 100")
        send(link.near, 50, sizes=(100, 100), first_seq=1000)

        def take(data):
            seen.append(data)
            if len(seen) == 50:
                reader.breakloop()

        while len(seen) < 50:
            if method == "loop_to_buffer":
                by_loop_to_buffer(reader, take, 50)
            else:
                METHODS[method](reader, take)
    assert numbers(seen) == list(range(1000, 1050))


@pytest.mark.parametrize("filter", ["greater 100", LONG])
def test_queued_packets_are_filtered(reader, link, filter):
    """Small and large packets wait in the ring, in whole blocks, when the filter comes."""
    for start in range(0, 10_000, 1000):
        size = 100 if start % 2000 else 60
        send(link.near, 1000, sizes=(size, size), first_seq=start)
    reader.setfilter(filter)
    send(link.near, 10, sizes=(60, 60), first_seq=20_000)
    send(link.near, 1, sizes=(100, 100), first_seq=30_000)
    expected = [number for number in range(10_000) if number // 1000 % 2] + [30_000]
    assert numbers(read_packets(reader, len(expected))) == expected


LONG_VLAN = hugepcap.compile(hugepcap.DLT_EN10MB, 65535, " or ".join(
    [f"host 10.0.{i}.1" for i in range(200)] + ["vlan 5"]), 0, 0)


@pytest.mark.parametrize("place", ["open_live", "setfilter"])
def test_tags_are_seen_behind_what_the_kernel_takes(link, place):
    """The question for the tag stands beyond 4096 instructions."""
    with hugepcap.open_live(link.far, 65535, 1, 20, filter=LONG_VLAN if place == "open_live" else None) as reader:
        if place == "setfilter":
            reader.setfilter(LONG_VLAN)
        packet = tagged(ipv4(udp(1, 2), 17), 5)
        put(link.near, tagged(ipv4(udp(1, 2), 17), 6), ipv4(udp(1, 2), 17), packet)
        assert read_packets(reader, 1) == [packet]


# ---- held captures ----

@pytest.mark.parametrize("filter", ["greater 100", LONG])
@pytest.mark.parametrize("when", ["opened", "before admit", "both"])
def test_the_filter_of_a_held_capture(link, filter, when):
    options = {} if when == "before admit" else {"filter": filter if when == "opened" else LONG}
    with hugepcap.open_live(link.far, 65535, 1, 20, held=True, **options) as reader:
        if when != "opened":
            reader.setfilter(filter)
        send(link.near, 1, sizes=(100, 100))
        reader.admit()
        send(link.near, 5, first_seq=1)
        send(link.near, 1, sizes=(100, 100), first_seq=6)
        assert numbers(read_packets(reader, 1)) == [6]


def test_a_held_capture_stays_so_when_its_link_type_changes(network):
    with hugepcap.open_live("any", 65535, 0, 20, held=True) as reader:
        reader.set_datalink(hugepcap.DLT_LINUX_SLL2)
        send("lo", 3)
        assert reader.next() == (None, b"") and reader.stats() == (0, 0, 0)
        reader.admit()
        send("lo", 1)
        assert len(read_packets(reader, 1)[0]) == 20 + 60 - 14


def test_filters_in_turn(reader, link):
    for number, (filter, size) in enumerate([("less 80", 60), ("greater 200", 200), ("ip", 100), ("less 80", 60)]):
        reader.setfilter(filter)
        send(link.near, 3, sizes=(60, 60), first_seq=100 * number + 60)
        send(link.near, 3, sizes=(200, 200), first_seq=100 * number + 20)
        if filter == "ip":
            assert len(read_packets(reader, 6)) == 6
        else:
            first = 100 * number + (60 if size == 60 else 20)
            assert numbers(read_packets(reader, 3)) == [first, first + 1, first + 2]


def test_a_wider_filter_brings_back_nothing(reader, link):
    reader.setfilter("greater 100")
    send(link.near, 100)
    reader.setfilter("udp")
    send(link.near, 1, first_seq=100)
    assert numbers(read_packets(reader, 1)) == [100]


@pytest.mark.parametrize("when", ["at the start", "later"])
def test_filters_that_the_kernel_refuses(link, method, when):
    assert len(LONG) > 4096
    with hugepcap.open_live(link.far, 65535, 1, 20, filter=LONG if when == "at the start" else None) as reader:
        if when == "later":
            reader.setfilter(LONG)
        for start in range(0, 100, 10):
            send(link.near, 9, first_seq=start)
            send(link.near, 1, sizes=(120, 120), first_seq=start + 9)
        seen = []

        def take(data):
            seen.append(data)
            if len(seen) == 10:
                reader.breakloop()

        while len(seen) < 10:
            if method == "loop_to_buffer":
                by_loop_to_buffer(reader, take, 10)
            else:
                METHODS[method](reader, take)
    assert numbers(seen) == list(range(9, 100, 10))


def test_from_the_long_filter_to_a_short_one(reader, link):
    reader.setfilter(LONG)
    send(link.near, 5)
    reader.setfilter("less 80")
    send(link.near, 5, sizes=(120, 120), first_seq=5)
    send(link.near, 5, first_seq=10)
    # the first five were queued, and fit the filter that is in force when they are read
    assert numbers(read_packets(reader, 10)) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("filter, expected", [("inbound", [1, 3]), ("outbound", [2]), ("udp and inbound", [1, 3]),
                                              ("not outbound", [1, 3])])
def test_filters_for_directions(link, filter, expected, late):
    """Also for packets of the blocks that were being filled when the filter came, where libpcap loses them."""
    with hugepcap.open_live(link.far, 65535, 1, 20, filter=None if late else filter) as reader:
        if late:
            reader.setfilter(filter)
        send(link.near, 1, first_seq=1)
        send(link.far, 1, first_seq=2, qdisc_bypass=False)
        send(link.near, 1, first_seq=3)
        assert numbers(read_packets(reader, len(expected))) == expected


def test_programs_of_another_link_type(reader):
    with pytest.raises(hugepcap.PcapError, match="link type"):
        reader.setfilter(hugepcap.compile(hugepcap.DLT_RAW, 65535, "ip", 1, 0))


def test_a_bad_filter_leaves_the_old_one(reader, link):
    reader.setfilter("greater 100")
    with pytest.raises(hugepcap.PcapError, match="bogus"):
        reader.setfilter("bogus (")
    send(link.near, 1)
    send(link.near, 1, sizes=(100, 100), first_seq=1)
    assert numbers(read_packets(reader, 1)) == [1]


# ---- snaplen ----

@pytest.mark.parametrize("filter", [None, "udp", "udp or vlan", LONG])
@pytest.mark.parametrize("snaplen", [1, 14, 96, 1500])
def test_snaplen(link, snaplen, filter):
    from hugepcap._generate import build_packet

    with hugepcap.open_live(link.far, snaplen, 1, 20, filter=filter) as reader:
        send(link.near, 10, sizes=(1000, 1000))
        for number in range(10):
            hdr, data = reader.next()
            assert data == build_packet(number, sizes=(1000, 1000))[:snaplen]
            assert (hdr.getcaplen(), hdr.getlen()) == (min(snaplen, 1000), 1000)


def test_snaplen_saves_ring(link):
    """The kernel stores no more than the snapshot: many more packets fit."""
    def dropped(snaplen):
        with hugepcap.open_live(link.far, snaplen, 1, 20, ring_bytes=4 << 20) as reader:
            send(link.near, 10_000, sizes=(1400, 1400))
            return reader.stats()[1]

    assert dropped(96) == 0 < dropped(65535)


# ---- counters ----

def test_stats_never_go_back(link):
    stop = threading.Event()
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=1 << 20) as reader:
        sender = Background(traffic_of, link.near, stop, burst=20_000)
        last, seen = (0, 0, 0), 0
        while last[1] < 10_000 or seen < 10_000:
            now = reader.stats()
            assert all(new >= old for new, old in zip(now, last))
            seen += reader.dispatch(5, lambda *packet: None)
            last = now
        stop.set()
        sender.result()
        received, dropped, _ = reader.stats()
        seen += wait_until(lambda: reader.loop_filtered(received - dropped - seen, None, 0)[1], "the rest")
    assert seen == received - dropped


def test_stats_from_two_threads(link):
    """PACKET_STATISTICS clears the kernel's counters; what one thread reads is not lost for the other."""
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        stop = threading.Event()

        def poll():
            last = 0
            while not stop.is_set():
                now = reader.stats()[0]
                assert now >= last
                last = now

        pollers = [Background(poll) for _ in range(2)]
        send(link.near, 100_000)
        stop.set()
        for each in pollers:
            each.result()
        assert reader.stats()[0] == 100_000
