# SPDX-License-Identifier: BSD-3-Clause
"""A filter rewritten for the socket says of the kernel's packet what the original says of the file's."""

import errno

import pytest

import hugepcap
from fakering import DLT, ETHER, LINKS, RAW, SLL, SLL2, VLAN_8021Q, file_view
from helpers.packets import WATCHED
from native import blob, insns, words
from traffic import all_sides

SNAPLEN = 4321
FILTERS = [
    # hosts, networks, protocols
    "ip", "ip6", "arp", "not ip", "ip or ip6", "udp", "tcp", "sctp", "icmp", "icmp6", "ip proto 17", "ip6 proto 6",
    "proto 6", "ip[9] = 1", f"host {WATCHED}", f"src host {WATCHED}", f"dst host {WATCHED}", f"not host {WATCHED}",
    "net 10.0.0.0/8", "src net 10.0.0.0 mask 255.255.255.254", "ip6 host 2001:db8::1", "net 2001:db8::/32",
    "host 0.0.0.0", "src host 0.0.129.0", "ip multicast", "ip6 multicast", "arp host 0.0.0.0",
    # ports
    "port 53", "udp port 53", "tcp port 80", "src port 4001", "dst port 22", "portrange 4000-4001", "port 33024",
    "not port 53", "tcp dst portrange 80-8080", "port 53 or port 80 or port 443", "udp src port 1111 and dst port 53",
    # by offset
    "ip[6:2] & 0x1fff = 0", "ip[0] & 0xf > 5", "ip[2:2] > 60", "ip[12:4] = ip[16:4]", "ip[8] != 64",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn", "tcp[13] = 24", "tcp[12] >> 4 > 5", "udp[4:2] = 26",
    "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420", "ip[(ip[0] & 0xf) << 2] = 0x0f", "icmp[icmptype] = icmp-echo",
    "ip6[6] = 17", "ip6[40:2] = 1111", "ip[ip[9]] = 1", "udp[8:1] / (ip[9] - 17) = 1", "ip[100:4] = 0",
    "ip[9] * 2 + 1 = 35", "ip[9] ^ 1 = 16", "ip[9] % 5 = 2", "ip[9] | 8 = 25", "-ip[9] = 0xffffffef",
    # the link layer
    "link[0] = 0", "link[0:2] = 2", "link[2:2] = 1", "link[2:4] = 0", "link[12:2] = 0x800", "link[14:2] = 0x8100",
    "link[16:2] = 0x800", "link[0:4] = 0", "link[4:4] = 3", "link[10] = 4", "link[8:2] = 772", "link[20] = 0x45",
    "link[6:4] = 0x02000000", "len > 60", "greater 100", "less 60", "len - 20 > 40",
    # of Ethernet
    "ether src 02:00:00:00:00:01", "ether dst 02:00:00:00:00:02", "ether host 02:00:00:00:00:01", "ether broadcast",
    "ether multicast", "ether proto 0x800", "ether proto 0x8100", "not ether proto 0x8100", "ether proto 0x88a8",
    "ether[0] & 1 = 0", "ether[12:2] = 0x86dd", "ether[12:4] = 0x8100002a", "ether[14] & 0xf0 = 0x40",
    "ether[(ether[14] & 0xf) * 4 + 14:2] = 1111",
    # tags
    "vlan", "not vlan", "vlan 42", "vlan 7", "not vlan 42", "vlan 42 and ip", "vlan and arp", "vlan and vlan",
    "vlan 42 and vlan 42", "vlan 100 and vlan 42 and udp", "ip or vlan", "vlan or ip", "vlan and port 53",
    f"vlan and host {WATCHED}", "vlan and ip[9] = 17", "vlan and tcp[13] = 2", "vlan and udp[((ip[0] & 0xf) << 2)] = 0",
    "vlan and ip6", "(vlan 42 or vlan 7) and udp", "vlan and len > 60", "ether proto 0x8100 and ether[14:2] & 0xfff = 42",
    "ether proto 0x8100 and link[20] & 0xf0 = 0x40", "ether proto 0x8100 and link[24] & 0xf0 = 0x40",
    "ether proto 0x8100 and link[18:2] = 0x800", "ether proto 0x8100 and link[22:2] = 0x800",
    "port 53 or (vlan and port 53)", "vlan and ether src 02:00:00:00:00:01",
]
NO_LENGTH = {"len > 60", "greater 100", "less 60", "len - 20 > 40"}
NO_ADDRESS = {"ether[0] & 1 = 0", "ether[12:2] = 0x86dd", "link[12:2] = 0x800", "link[6:4] = 0x02000000"}
ACROSS = {"link[0] = 0", "link[0:4] = 0", "link[2:4] = 0", "ether[12:4] = 0x8100002a", "ether[14] & 0xf0 = 0x40",
          "ether[(ether[14] & 0xf) * 4 + 14:2] = 1111"}
# Those that ask what the kernel cannot say without the link header or with the tag taken out, or that look at parts
# of fields: they run in user space.
REFUSED = {
    ETHER: {"vlan and len > 60", "port 53 or (vlan and port 53)"},
    RAW: set(),
    SLL: NO_LENGTH | NO_ADDRESS | ACROSS | {"link[4:4] = 3", "link[8:2] = 772", "link[10] = 4"},
    SLL2: NO_LENGTH | NO_ADDRESS | ACROSS | {"link[2:2] = 1", "link[14:2] = 0x8100", "link[16:2] = 0x800",
                                             "ether proto 0x8100 and ether[14:2] & 0xfff = 42",
                                             "ether proto 0x8100 and link[18:2] = 0x800",
                                             "ether proto 0x8100 and link[20] & 0xf0 = 0x40"},
}


def compiled(link, optimize):
    """(filter, program) of those that libpcap takes for the link type."""
    for text in FILTERS:
        try:
            yield text, hugepcap.compile(DLT[link], 65535, text, optimize, 0)
        except hugepcap.PcapError:
            continue


def ancillary(frame):
    tpid = VLAN_8021Q if frame.vlan and frame.vlan.tpid is None else frame.vlan and frame.vlan.tpid
    return words(frame.protocol, frame.pkttype, frame.hatype, frame.ifindex, frame.vlan is not None,
                 frame.vlan.tci if frame.vlan else 0, tpid or 0)


def sides(frame, link):
    views = frame.data, file_view(frame, link), file_view(frame._replace(vlan=None), link)
    return ancillary(frame) + b"".join(map(blob, views))


def verdicts(harness, link, frames, programs):
    """Of each program: its length or -errno, tests_vlan, and what the three say of each frame."""
    given = words(link, SNAPLEN, len(frames)) + b"".join(sides(frame, link) for frame in frames)
    lines = iter(harness("rewrite")(given + words(len(programs)) + b"".join(insns(p.get_bpf()) for p in programs)))
    for _ in programs:
        _, length, tests_vlan = next(lines)
        rows = [tuple(map(int, next(lines))) for _ in frames] if int(length) > 0 else []
        yield int(length), bool(int(tests_vlan)), rows


@pytest.mark.parametrize("optimize", [0, 1])
@pytest.mark.parametrize("link", LINKS)
def test_same_verdict(harness, link, optimize):
    frames = all_sides(link)
    found = dict(compiled(link, optimize))
    refused, matched = set(), 0
    for (text, program), (length, tests_vlan, rows) in zip(
            found.items(), verdicts(harness, link, frames, list(found.values()))):
        if length < 0:
            assert length == -errno.ENOTSUP
            refused.add(text)
        for frame, (kernel, file, untagged) in zip(frames, rows):
            wanted = file if tests_vlan else untagged
            assert kernel == (SNAPLEN if wanted else 0), (text, frame)
            assert file == program.filter(file_view(frame, link)), (text, frame)
            matched += kernel != 0
    assert refused == REFUSED[link] if optimize else refused >= REFUSED[link]
    assert len(refused) <= len(REFUSED[link]) + 10
    assert matched > 800


@pytest.mark.parametrize("link", LINKS)
def test_nearly_all_are_tried(link):
    texts = [text for text, _ in compiled(link, 1)]
    assert len(texts) > (110 if link == ETHER else 80)


def test_which_filters_ask_for_tags(harness):
    for link in (ETHER, SLL, SLL2):
        found = dict(compiled(link, 1))
        asks = {text for text, (_, tests_vlan, _) in zip(found, verdicts(harness, link, [], list(found.values())))
                if tests_vlan}
        wanted = {text for text in found if "vlan" in text or "proto 0x8100" in text or "proto 0x88a8" in text}
        assert asks == wanted | ({"link[14:2] = 0x8100"} if link == SLL else set())


def test_no_filter_accepts_all(harness):
    class Empty:
        get_bpf = staticmethod(list)

    for link in LINKS:
        assert list(verdicts(harness, link, [], [Empty]))[0][0] == 1
