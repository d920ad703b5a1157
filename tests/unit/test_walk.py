# SPDX-License-Identifier: BSD-3-Clause
"""Correct blocks, read in each way on each link type, deliver what was put into them."""

import errno
import struct

import pytest

import hugepcap
from fakering import (
    ARPHRD_LOOPBACK, BLOCK_DESC, DLT, ETHER, HOST, LINKS, OUTGOING, RAW, Frame, Seen, Vlan, block, file_view, seen,
)
from helpers.packets import SYN, ipv4, ipv6, tcp4, udp, udp4
from native import ALL, cooked, source, words
from traffic import frames_for, with_tags

NEXT, BATCH, SCAN, FILL = range(4)
EBADMSG = -errno.EBADMSG


def ring(frame_lists, link):
    blocks = [block(frames, link) for frames in frame_lists]
    size = max(map(len, blocks))
    blocks = [block(frames, link, -(-size // 8) * 8) for frames in frame_lists]
    return words(len(blocks[0]), len(blocks)) + b"".join(blocks)


def read(harness, given, ring_bytes, mode, first=0, second=0):
    """The packets, other lines by their letter, and the result."""
    lines = harness("walk")(given + words(mode, first, second) + ring_bytes)
    packets = [Seen(int(sec), int(nsec), int(length), bytes.fromhex(data))
               for kind, *rest in lines if kind == "F" for sec, nsec, length, data in [rest]]
    assert not [rest for kind, *rest in lines if kind == "E"]
    return packets, {kind: rest for kind, *rest in lines if kind != "F"}


def per_way(harness, given, ring_bytes, count):
    """(sec, bytes) of each packet as each of the four ways of reading delivers them."""
    packets, rest = read(harness, given, ring_bytes, NEXT)
    assert rest["R"] == ["0"]
    yield [(packet.sec, packet.data) for packet in packets]
    packets, rest = read(harness, given, ring_bytes, BATCH, 7)
    assert rest["R"] == ["0"]
    yield [(packet.sec, packet.data) for packet in packets]
    packets, rest = read(harness, given, ring_bytes, SCAN, ALL)
    assert rest["R"] == ["0"] and rest["T"][:3] == [str(count), "0", "0"]
    yield [(packet.sec, packet.data) for packet in packets]
    _, rest = read(harness, given, ring_bytes, FILL, ALL, 1 << 20)
    assert rest["R"] == ["0"] and rest["T"][:3] == [str(count), "0", "0"]
    yield [data for _, data in unpack_buffer(bytes.fromhex(rest["B"][0]))]


def unpack_buffer(raw):
    at, found = 0, []
    while at < len(raw):
        caplen, index = struct.unpack_from("<IB", raw, at)
        found.append((index, raw[at + 5:at + 5 + caplen]))
        at += 5 + caplen
    return found


def check_all_ways(harness, given, ring_bytes, expected):
    with_times = [(packet.sec, packet.data) for packet in expected]
    looped, batched, scanned, filled = per_way(harness, given, ring_bytes, len(expected))
    assert looped == batched == scanned == with_times
    assert filled == [packet.data for packet in expected]


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("tags", [False, True])
def test_what_was_put_in(harness, link, tags):
    frames = with_tags(frames_for(link)) if tags else frames_for(link)
    expected = [seen(frame, link) for frame in frames]
    given, blocks = source(link), ring([frames[:20], frames[20:21], frames[21:]], link)
    assert read(harness, given, blocks, NEXT)[0] == expected
    check_all_ways(harness, given, blocks, expected)


@pytest.mark.parametrize("link", LINKS)
def test_a_packet_of_no_bytes(harness, link):
    frames = [Frame(b""), Frame(b"", vlan=Vlan(5)), Frame(b"x" * 11, vlan=Vlan(5)), Frame(b"x" * 12, vlan=Vlan(5))]
    check_all_ways(harness, source(link), ring([frames], link), [seen(frame, link) for frame in frames])


def test_an_empty_block_between_two(harness):
    frames = frames_for(ETHER)[:2]
    blocks = ring([frames[:1], [], frames[1:]], ETHER)
    check_all_ways(harness, source(ETHER), blocks, [seen(frame, ETHER) for frame in frames])


@pytest.mark.parametrize("link", [link for link in LINKS if link != RAW])
def test_snaplen_counts_what_was_put_back(harness, link):
    frames = with_tags(frames_for(link))
    expected = [packet._replace(data=packet.data[:40]) if frame.vlan or cooked(link) else packet
                for frame in frames for packet in [seen(frame, link)]]
    assert any(len(packet.data) == 40 for packet in expected)
    check_all_ways(harness, source(link, snaplen=40), ring([frames], link), expected)


# libpcap has no `vlan` for cooked links, whose packets have the tag's TPID as their protocol.
FILTERS = [(link, 0, "udp port 53") for link in LINKS] + \
    [(ETHER, 1, "vlan 42"), (ETHER, 1, "not vlan"), (ETHER, 1, "vlan and ip")] + \
    [(link, 1, text) for link in LINKS if cooked(link) for text in ("ether proto 0x8100", "not ether proto 0x8100")]


@pytest.mark.parametrize("link, tests_vlan, expression", FILTERS)
def test_filter_in_user_space(harness, link, tests_vlan, expression):
    frames = with_tags(frames_for(link))
    program = hugepcap.compile(DLT[link], 65535, expression, 1, 0)
    expected = [seen(frame, link) for frame in frames
                if program.filter(file_view(frame if tests_vlan else frame._replace(vlan=None), link))]
    assert 0 < len(expected) < len(frames)
    given = source(link, program=program.get_bpf(), tests_vlan=tests_vlan)
    check_all_ways(harness, given, ring([frames[:30], frames[30:]], link), expected)


def test_filter_ends_with_its_block(harness):
    frames = frames_for(ETHER)
    refuse_all = [(0x06, 0, 0, 0)]
    given = source(ETHER, program=refuse_all, filter_until=2)
    blocks = ring([frames[:10], frames[10:20], frames[20:30]], ETHER)
    check_all_ways(harness, given, blocks, [seen(frame, ETHER) for frame in frames[20:30]])


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("direction, loopback, kept", [
    (0, 0, ["in", "out"]), (1, 0, ["in"]), (2, 0, ["out", "out of lo"]), (0, 1, ["in"])])
def test_direction(harness, link, direction, loopback, kept):
    named = {"in": Frame(b"in" * 20, pkttype=HOST), "out": Frame(b"out" * 20, pkttype=OUTGOING),
             "out of lo": Frame(b"lo" * 20, pkttype=OUTGOING, hatype=ARPHRD_LOOPBACK)}
    given = source(link, direction=direction, loopback=loopback)
    if not direction and not loopback and not cooked(link):
        kept = list(named)    # nothing to be done: the frames are not looked at
    expected = [seen(frame, link) for name, frame in named.items() if name in kept and
                not (direction and name == "out of lo")]
    check_all_ways(harness, given, ring([list(named.values())], link), expected)


def test_classes_reach_the_records(harness):
    frames = [Frame(udp4(4000, 53)), Frame(tcp4(4001, 22, SYN)), Frame(udp4())]
    _, rest = read(harness, source(ETHER), ring([frames], ETHER), FILL, ALL, 1 << 16)
    assert [index for index, _ in unpack_buffer(bytes.fromhex(rest["B"][0]))] == [100, 105, 102]


def test_buffer_too_small_counts_the_rest(harness):
    frames = [Frame(udp4())] * 5
    need = 5 + len(udp4())
    for room, fit in [(0, 0), (need - 1, 0), (need, 1), (3 * need + 4, 3), (5 * need, 5)]:
        _, rest = read(harness, source(ETHER), ring([frames], ETHER), FILL, ALL, room)
        assert rest["T"][:3] == [str(fit), "0", str(5 - fit)]
        assert len(rest["B"][0]) == 2 * fit * need


def test_batch_without_room(harness):
    """What finds no room is the next batch's first, and as it was; three batches of one packet each."""
    frames = [Frame(udp4(payload=bytes(64)), sec=i, vlan=Vlan(42)) for i in range(3)]
    for link in LINKS:
        packets, rest = read(harness, source(link), ring([frames], link), BATCH, 10, 1)
        assert [(packet.sec, packet.data) for packet in packets] == \
            [(frame.sec, file_view(frame, link)) for frame in frames]
        assert [packet.length for packet in packets] == [1, 1, 1] and rest["R"] == ["0"]


def test_batch_ends_with_its_block(harness):
    frames = [Frame(udp4(), nsec=5999)] * 6
    packets, _ = read(harness, source(ETHER), ring([frames[:2], frames], ETHER), BATCH, 4)
    assert [packet.length for packet in packets] == [2, 2, 4, 4, 4, 4, 2, 2]
    assert {packet.nsec for packet in packets} == {5}    # microseconds, in pcapy-ng's records


def test_times_beyond_2038(harness):
    frames = [Frame(b"x" * 60, sec=2**32 - 1)]
    assert read(harness, source(ETHER), ring([frames], ETHER), NEXT)[0] == [seen(frames[0], ETHER)]


@pytest.mark.parametrize("mode", [NEXT, BATCH, SCAN, FILL])
def test_what_precedes_a_lie_is_delivered(harness, mode):
    frames = [Frame(udp4(), sec=i) for i in range(4)]
    raw = bytearray(block(frames, ETHER, 1024))
    size = struct.unpack_from("=I", raw, BLOCK_DESC.size)[0]
    struct.pack_into("=I", raw, BLOCK_DESC.size + 2 * size + 12, 5000)    # the third frame's tp_snaplen
    packets, rest = read(harness, source(ETHER), words(len(raw), 1) + raw, mode, ALL, 4096)
    assert rest["R"] == [str(EBADMSG)]
    if mode == FILL:
        assert rest["T"][0] == "2"
    else:
        assert [packet.sec for packet in packets] == [0, 1]


def test_ipv6_on_raw_links(harness):
    frames = [Frame(ipv6(udp(1, 2), 17)), Frame(ipv4(udp(1, 2), 17))]
    check_all_ways(harness, source(RAW), ring([frames], RAW), [Seen(f.sec, 0, len(f.data), f.data) for f in frames])
