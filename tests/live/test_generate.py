# SPDX-License-Identifier: BSD-3-Clause
"""The traffic generator: what it sends is what it says."""

import signal
import struct
from collections import Counter

import pytest

import hugepcap
import netns
from helpers import start_child
from hugepcap._generate import Sender, Sent, build_packet, generate, sequence_of
from reading import numbers, read_packets

KINDS = {
    "least": {"sizes": (60, 60)}, "sizes": {"sizes": (60, 1514)}, "seed": {"seed": 9, "flows": 5},
    "vlan": {"vlan": 42, "sizes": (64, 80)}, "ipv6": {"ipv6": True, "sizes": (80, 300)},
    "ipv6 vlan": {"ipv6": True, "vlan": 1, "sizes": (90, 91)}, "raw": {"ethernet": False, "sizes": (40, 90)},
}


def folded(data):
    """The one's complement sum of big-endian words: 0xffff over data with a right checksum in it."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


# ---- building ----

@pytest.mark.parametrize("kind", KINDS)
def test_checksums_and_lengths(kind):
    settings = KINDS[kind]
    for number in range(300):
        packet = build_packet(number, **settings)
        l3 = 0 if settings.get("ethernet") is False else 18 if "vlan" in settings else 14
        ip = packet[l3:]
        if settings.get("ipv6"):
            udp, addresses = ip[40:], ip[8:40]
            assert ip[0] >> 4 == 6 and struct.unpack_from("!H", ip, 4)[0] == len(udp)
        else:
            udp, addresses = ip[20:], ip[12:20]
            assert ip[0] == 0x45 and struct.unpack_from("!H", ip, 2)[0] == len(ip) and folded(ip[:20]) == 0xFFFF
        assert struct.unpack_from("!H", udp, 4)[0] == len(udp)
        assert folded(addresses + struct.pack("!HH", 17, len(udp)) + udp) == 0xFFFF


@pytest.mark.parametrize("kind", KINDS)
def test_sequence_comes_back(kind):
    for number in (0, 1, 255, 2**32, 2**48 - 2):
        assert sequence_of(build_packet(number, **KINDS[kind])) == number


@pytest.mark.parametrize("packet", [b"", bytes(60), b"x" * 1500, build_packet(5)[:53], build_packet(5)[:42]])
def test_no_sequence_in_other_packets(packet):
    with pytest.raises(ValueError):
        sequence_of(packet)


def test_the_same_seed_gives_the_same_packets():
    def run(seed):
        return [build_packet(i, seed=seed, sizes=(60, 1514), flows=3) for i in range(100)]

    assert run(1) == run(1) != run(2)


def test_sizes_are_spread():
    found = Counter(len(build_packet(i, sizes=(100, 109))) for i in range(5000))
    assert set(found) == set(range(100, 110)) and min(found.values()) > 300


def test_flows():
    def flow(packet):
        return packet[:12], packet[26:38]

    assert len({flow(build_packet(i, flows=7)) for i in range(100)}) == 7
    assert flow(build_packet(3, flows=7)) == flow(build_packet(10, flows=7))


@pytest.mark.parametrize("settings", [
    {"sizes": (40, 60)}, {"sizes": (60, 59)}, {"sizes": (60, 65_536)}, {"flows": 0}, {"vlan": 65_536}, {"vlan": -2},
    {"ipv6": True, "sizes": (60, 60)}, {"sequence": -1}, {"sequence": 2**48},
])
def test_impossible_packets(settings):
    with pytest.raises((ValueError, OverflowError)):
        build_packet(settings.pop("sequence", 0), **settings)


def test_decoded_by_dpkt():
    import dpkt

    packet = dpkt.ethernet.Ethernet(build_packet(77, vlan=42, sizes=(100, 100)))
    assert packet.vlan_tags[0].id == 42
    assert isinstance(packet.data.data, dpkt.udp.UDP) and sequence_of(bytes(packet.data.data)) == 77


# ---- sending ----

@pytest.fixture(params=[False, True], ids=["sendmmsg", "ring"])
def ring(request):
    return request.param


def test_what_is_sent(reader, link, ring):
    sent = generate(link.near, 500, sizes=(60, 1514), flows=4, seed=3, first_seq=100, ring=ring)
    packets = read_packets(reader, 500)
    assert packets == [build_packet(100 + i, sizes=(60, 1514), flows=4, seed=3) for i in range(500)]
    assert type(sent) is Sent and sent[:2] == (500, sum(map(len, packets))) and sent.seconds > 0


def test_a_ring_is_gone_around(reader, link):
    """More packets than the TX ring has frames, each of a content of its own."""
    assert generate(link.near, 5000, sizes=(1000, 1514), flows=5000, ring=True).packets == 5000
    assert read_packets(reader, 5000) == [build_packet(i, sizes=(1000, 1514), flows=5000) for i in range(5000)]


def test_large_packets(network, ring):
    """Frames of the TX ring larger than its usual blocks hold many of."""
    link = netns.veth("jumbo0", "jumbo1", mtu=65_000)
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        generate(link.near, 40, sizes=(60, 65_000), ring=ring)
        assert read_packets(reader, 40) == [build_packet(i, sizes=(60, 65_000)) for i in range(40)]


def test_nothing_is_left_out(link, ring):
    """At top speed into a small queue: ENOBUFS is waited out."""
    netns.ip(f"link set {link.near} txqueuelen 2")
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=256 << 20) as reader:
        for bypass in (True, False):
            assert generate(link.near, 100_000, qdisc_bypass=bypass, ring=ring).packets == 100_000
        assert reader.stats()[0] == 200_000


def test_rate(reader, link, ring):
    """So many packets cannot go out in less time than the rate gives them; how much more it takes is the machine's."""
    sent = generate(link.near, 2001, rate_pps=10_000, ring=ring)
    assert sent.packets == 2001 and sent.seconds >= 0.2
    assert numbers(read_packets(reader, 2001)) == list(range(2001))


def test_rate_in_bits(reader, link, ring):
    """1001 packets of 1000 bytes at 40 Mbit/s: the last goes when 8 million bits have gone, after 0.2 s."""
    with Sender(link.near, rate_bps=40_000_000, ring=ring) as sender:
        sent = sender.generate(1001, sizes=(1000, 1000))
    assert sent[:2] == (1001, 1_001_000) and sent.seconds >= 0.2


def test_progress(link, ring):
    seen = []
    with Sender(link.near, rate_pps=1000, ring=ring, progress=lambda *so_far: seen.append(so_far)) as sender:
        sender.generate(300)
    assert len(seen) > 1 and seen == sorted(seen) and seen[-1] == (300, 300 * 60)


def test_no_packets(link, ring):
    assert generate(link.near, 0, ring=ring)[:2] == (0, 0)


@pytest.mark.parametrize("device, error", [("nosuch0", OSError), ("a" * 40, OSError), (None, TypeError)])
def test_wrong_devices(network, device, error):
    with pytest.raises(error):
        generate(device, 1)


def test_a_device_that_is_down(link, ring):
    netns.ip(f"link set {link.near} down")
    with pytest.raises(hugepcap.PcapError, match="near"):
        generate(link.near, 1, ring=ring)


def test_packets_over_the_mtu(link, ring):
    with pytest.raises(hugepcap.PcapError, match="2000 bytes.*Message too long"):
        generate(link.near, 1, sizes=(2000, 2000), ring=ring)


ENDLESS = """
import sys
from hugepcap._generate import generate
print("ready")
generate("near", 10**12, rate_pps=int(sys.argv[1]), ring=sys.argv[2] == "True")
"""


@pytest.mark.parametrize("rate", [0, 1000, 1])
def test_ctrl_c(link, rate, ring):
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        child = start_child(ENDLESS, rate, ring)
        try:
            read_packets(reader, 1)
            child.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in child.communicate(timeout=30)[1]
        finally:
            child.kill()


# ---- sending what is given ----

def batch(packets, times_us):
    """Packets and records as Reader.next_batch() gives them."""
    records, at = b"", 0
    for packet, time_us in zip(packets, times_us):
        records += struct.pack("=IIII", *divmod(time_us, 1_000_000), at, len(packet))
        at += len(packet)
    return b"".join(packets), records


def replayed(link, batches, **pace):
    """(Sent, how many were refused) of a replay."""
    with Sender(link.near, **pace) as sender:
        sender.prepare_replay()
        for packets, records in batches:
            sender.replay(packets, records)
        return sender.finish(), sender.refused


def test_replay(reader, link, ring):
    packets = [build_packet(i, sizes=(60, 1514)) for i in range(3000)]
    halves = [batch(packets[:1], [0]), batch(packets[1:], range(2999)), batch([], [])]
    sent, refused = replayed(link, halves, ring=ring)
    assert read_packets(reader, 3000) == packets
    assert sent[:2] == (3000, sum(map(len, packets))) and refused == 0


def test_replay_leaves_out_what_the_device_cannot_carry(reader, link, ring):
    packets = [b"short", build_packet(0, sizes=(1514, 1514)), build_packet(1, sizes=(1515, 1515)),
               build_packet(2, sizes=(1518, 1518), vlan=5), build_packet(3, sizes=(1519, 1519), vlan=5), b"",
               build_packet(4, sizes=(9000, 9000)), build_packet(5)]
    sent, refused = replayed(link, [batch(packets, range(8))], ring=ring)
    assert numbers(read_packets(reader, 3)) == [0, 2, 5] and sent.packets == 3 and refused == 5


def test_replay_at_the_pace_of_the_time_stamps(reader, link, ring):
    """A second of traffic at four times its pace; stamps that go back are not waited for."""
    packets = [build_packet(i) for i in range(5)]
    sent, _ = replayed(link, [batch(packets[:2], [10**12, 10**12 + 500_000]),
                              batch(packets[2:], [10**12 + 400_000, 0, 10**12 + 1_000_000])], ring=ring, speed=4)
    assert 0.25 <= sent.seconds and numbers(read_packets(reader, 5)) == list(range(5))


def test_a_sender_is_not_used_otherwise(link, ring):
    """Its memory is not there before prepare_replay() and after `with`, and records do not point beyond the packets."""
    packets, records = batch([build_packet(0)], [0])
    sender = Sender(link.near, ring=ring)
    with sender:
        with pytest.raises(ValueError, match="prepare_replay.. has to be called first"):
            sender.replay(packets, records)
        sender.prepare_replay()
        with pytest.raises(ValueError, match="prepared already"):
            sender.prepare_replay()
        with pytest.raises(ValueError, match="record 0 has 60 bytes at 0, the packets are 59 bytes"):
            sender.replay(packets[:-1], records)
        with pytest.raises(ValueError, match="records have 16 bytes each, these are 15"):
            sender.replay(packets, records[:-1])
        assert sender.finish().packets == 0
    for use in (lambda: sender.replay(packets, records), sender.prepare_replay, sender.finish, sender.__enter__,
                lambda: sender.generate(1)):
        pytest.raises(ValueError, use).match("this Sender is closed")


def test_restart_starts_a_new_pace(reader, link, ring):
    """Without it the second pass would wait for an hour."""
    with Sender(link.near, speed=1, ring=ring) as sender:
        sender.prepare_replay()
        sender.replay(*batch([build_packet(0)], [0]))
        sender.restart()
        sender.replay(*batch([build_packet(1)], [3_600_000_000]))
        assert sender.finish().packets == 2
    assert numbers(read_packets(reader, 2)) == [0, 1]
