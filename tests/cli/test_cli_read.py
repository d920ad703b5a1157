# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap read`: packets in the words of tcpdump, whatever they are."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from command import COMMAND, refused, run
from helpers.packets import CORPUS, ETH_ARP, ETH_IPV6, MAC_A, MAC_B, ethernet, ipv4, ipv6, tcp, udp
from helpers.savefile import numbered, pcapng_bytes, write_pcap
from hugepcap._generate import build_packet, sequence_of

NO_DISSECTOR = ["udp", "udp back", "udp empty", "syn", "syn to https", "syn ack", "syn ece", "tls", "icmp", "vlan",
                "qinq", "three tags"]


def tcp_with_options(options):
    head = struct.pack("!HHIIBBHHH", 4001, 22, 5, 0, (5 + len(options) // 4) << 4, 2, 8192, 0, 0)
    return ethernet(ipv4(head + options, 6))


def arp(operation):
    return ethernet(struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, MAC_A, bytes([10, 0, 0, 1]), MAC_B,
                                bytes([10, 0, 0, 2])), ETH_ARP)


def extension(kind, payload):
    """Hop-by-hop or destination options, padding alone."""
    return struct.pack("!BBBB4x", kind, 0, 1, 4) + payload


def fragment(kind, offset, payload, more=0):
    return struct.pack("!BBHI", kind, 0, offset | more, 7) + payload


def changed(packet, at, value):
    return packet[:at] + value + packet[at + len(value):]


OPTIONS = tcp_with_options(struct.pack("!BBH", 2, 4, 1460) + struct.pack("!BB", 4, 2) +
                           struct.pack("!BBII", 8, 10, 77, 78) + b"\1" + struct.pack("!BBB", 3, 3, 7))
GROUP = socket.inet_aton("224.0.0.251")
MORE = [OPTIONS,
        arp(1), arp(2), ethernet(ipv4(b"x" * 24, 17, fragment=0x0010)), ethernet(ipv4(b"x" * 9, 200)),
        ethernet(ipv6(udp(1111, 2222), 17), ETH_IPV6),
        ethernet(ipv6(struct.pack("!BBHHH", 128, 0, 0, 7, 8), 58), ETH_IPV6),
        *(ethernet(ipv4(igmp, 2)) for igmp in (
            b"\x16\0\0\0" + GROUP, b"\x12\0\0\0" + GROUP, b"\x17\0\0\0" + GROUP, b"\x11\x64\0\0" + bytes(4),
            b"\x11\0\0\0" + GROUP, b"\x11\x64\0\0" + GROUP + bytes(4),
            b"\x22\0\0\0\0\0\0\1\4\0\0\0" + GROUP, b"\x99" + bytes(7))),
        *(ethernet(ipv4(vrrp + bytes(12), 112)) for vrrp in (
            bytes([0x21, 1, 100, 1, 0, 1, 0, 0]), bytes([0x31, 2, 99, 1, 0, 100, 0, 0]))),
        *(ethernet(ipv6(payload, kind), ETH_IPV6) for kind, payload in (
            (0, extension(17, udp(1, 2))), (60, extension(6, tcp(4001, 22, 2))), (59, b"x" * 10),
            (44, fragment(17, 0, udp(1, 2), 1)), (44, fragment(17, 1480, b"x" * 30)),
            (0, extension(44, fragment(17, 0, udp(5, 6), 1))), (0, extension(200, b"y" * 10)))),
        # what is not as it should be: lengths, versions, header lengths
        *(changed(CORPUS["udp"], at, value) for at, value in (
            (16, b"\0\0"), (16, b"\0\x0a"), (16, b"\5\xdc"), (38, b"\0\4"), (38, b"\0\0"), (38, b"\1\0"), (14, b"\x55"),
            (14, b"\x43"))),
        *(changed(OPTIONS, at, value) for at, value in ((16, b"\0\x1e"), (46, b"\x40"), (46, b"\xf0"))),
        *(changed(ethernet(ipv6(udp(1, 2), 17), ETH_IPV6), at, value) for at, value in (
            (18, b"\1\0"), (18, b"\0\0"), (18, b"\0\4"), (14, b"\x40")))]
# -e has more words for these, and -x more bytes.
PLAIN = [ethernet(ipv4(ipv4(udp(1111, 2222), 17), 4)), ethernet(ipv4(ipv6(udp(1111, 2222), 17), 41)),
         ethernet(ipv6(b"\1", 0), ETH_IPV6), ethernet(ipv6(b"\x11", 44), ETH_IPV6),
         MAC_A + MAC_B + struct.pack("!H", 54) + b"\xaa\xaa\3\0\0\0\x08\0" + ipv4(udp(1, 2), 17)]
MSS = tcp_with_options(struct.pack("!BBHBBBB", 2, 4, 1460, 4, 2, 1, 1))


@pytest.mark.parametrize("option", ["", "-e", "-x"])
def test_read_as_tcpdump_prints(tmp_path, option):
    """For packets whose contents tcpdump does not go into."""
    packets = [CORPUS[name] for name in NO_DISSECTOR] + MORE + (PLAIN if not option else [])
    file = write_pcap(tmp_path / "file.pcap", numbered(packets))
    options = [option] if option else []
    theirs = subprocess.run(["tcpdump", "-nS", *options, "-r", file], stdout=subprocess.PIPE, check=True, text=True,
                            stderr=subprocess.DEVNULL, timeout=60).stdout
    assert run("read", file, *options).stdout == theirs != ""


@pytest.mark.parametrize("whole", [CORPUS["udp"], MSS, ethernet(ipv6(udp(1, 2), 17), ETH_IPV6), CORPUS["icmp"]],
                         ids=["udp", "tcp", "ipv6", "icmp"])
def test_read_packets_that_are_cut(tmp_path, whole):
    """At every byte: what is there is printed, and what is cut is named, as tcpdump does."""
    records = [record._replace(length=len(whole)) for record in numbered(whole[:end] for end in range(1, len(whole)))]
    file = write_pcap(tmp_path / "file.pcap", records)
    theirs = subprocess.run(["tcpdump", "-nS", "-r", file], stdout=subprocess.PIPE, check=True, text=True,
                            stderr=subprocess.DEVNULL, timeout=60).stdout
    assert run("read", file).stdout == theirs != ""


@pytest.mark.parametrize("linktype, heads", [
    (0, [struct.pack("<I", 2), struct.pack(">I", 2)]), (108, [struct.pack(">I", 2)]), (228, [b""]), (101, [b""]),
    (113, [struct.pack("!HHH8sH", way, 1, 6, MAC_A, 0x0800) for way in range(6)]),
    (276, [struct.pack("!HHIHBB8s", 0x0800, 0, index, 1, way, 6, MAC_A) for index in (1, 77) for way in range(6)]),
])
def test_read_other_link_types(network, tmp_path, linktype, heads):
    """Where it is known, with the interface and the direction."""
    packets = [head + ipv4(udp(1111, 2222), 17) for head in heads]
    file = write_pcap(tmp_path / "file.pcap", numbered(packets), linktype=linktype)
    theirs = subprocess.run(["tcpdump", "-nS", "-r", file], stdout=subprocess.PIPE, check=True, text=True,
                            stderr=subprocess.DEVNULL, timeout=60).stdout
    assert run("read", file).stdout == theirs and theirs.count(" 10.0.0.1.1111 > 10.0.0.2.2222: UDP, length 18\n") == len(heads)


@pytest.mark.parametrize("linktype", [9, 105, 147])
def test_read_link_types_that_nobody_takes_apart(tmp_path, linktype):
    """Bytes that would be an ethertype on Ethernet are none."""
    path = write_pcap(tmp_path / "file", numbered([bytes(12) + b"\x08\0\x45" + bytes(30)]), linktype=linktype)
    assert run("read", path).stdout.split(" ", 1)[1] == f"link type {linktype}, length 45\n"


def test_read_a_time_that_is_none(tmp_path):
    """It is said in place of the time, and reading goes on."""
    def block(kind, body):
        return struct.pack("II", kind, len(body) + 12) + body + struct.pack("I", len(body) + 12)

    raw = block(0x0A0D0D0A, struct.pack("IHHq", 0x1A2B3C4D, 1, 0, -1))
    raw += block(1, struct.pack("HHIHHB3xHH", 1, 0, 65535, 9, 1, 0, 0, 0))    # of whole seconds
    for seconds in (1, 2**63 - 5, 2):
        raw += block(6, struct.pack("IIIII", 0, seconds >> 32, seconds & 0xffffffff, 60, 60) + bytes(60))
    (tmp_path / "file").write_bytes(raw)
    lines = run("read", tmp_path / "file").stdout.splitlines()
    assert len(lines) == 3 and [line.startswith("[Error converting time] ") for line in lines] == [False, True, False]


def test_read_what_is_no_ethertype(tmp_path):
    file = write_pcap(tmp_path / "file.pcap", numbered([MAC_A + MAC_B + b"\0\x26" + b"\x42\x42\3" + bytes(35)]))
    assert run("read", file).stdout.endswith(" 802.3, length 38\n")
    assert run("read", file, "-e").stdout.endswith(" 02:00:00:00:00:02 > 02:00:00:00:00:01, 802.3, length 38\n")


def test_read_ip_in_ip_without_end(tmp_path):
    packet = b""
    for _ in range(3000):
        packet = ipv4(packet, 4)
    file = write_pcap(tmp_path / "file.pcap", numbered([ethernet(packet)]))
    assert "bytes that do not decode" in run("read", file).stdout


def test_read_every_packet_there_is(tmp_path):
    """Also those that are no packets: a line for each."""
    file = write_pcap(tmp_path / "file.pcap", numbered(CORPUS.values()))
    for options in ([], ["-e"], ["--json"]):
        assert len(run("read", file, *options).stdout.splitlines()) == len(CORPUS)


def test_read_count_filter_json_pcapng(tmp_path):
    records = numbered([build_packet(i) for i in range(10)])
    file = tmp_path / "file.pcapng"
    file.write_bytes(pcapng_bytes(records))
    lines = run("read", file, "-f", "ip[5] & 1 = 1", "-c", 3, "--json").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert [sequence_of(bytes.fromhex(each["data"])) for each in found] == [1, 3, 5]
    assert found[0]["ts_ns"] == records[1].sec * 10**9 + records[1].fraction * 1000
    assert found[0]["caplen"] == found[0]["len"] == 60 and found[0]["text"].startswith("IP 198.18.")


def test_read_standard_input(tmp_path):
    file = write_pcap(tmp_path / "file.pcap", numbered([build_packet(0)]))
    with open(file) as stdin:
        assert "UDP, length 18" in run("read", "-", stdin=stdin).stdout


def test_read_into_a_pipe_that_closes(tmp_path):
    file = write_pcap(tmp_path / "file.pcap", numbered([build_packet(0)] * 20_000))
    done = subprocess.run(["sh", "-c", f"{COMMAND} read {file} | head -n 1"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    assert len(done.stdout.splitlines()) == 1 and done.stderr == ""


@pytest.mark.parametrize("arguments, code, words", [
    (["/nosuch/file"], 1, "/nosuch/file: No such file or directory"),
    (["/etc/passwd"], 1, "unknown file format"),
    ([], 2, "Missing argument 'FILE'"),
    (["/etc/passwd", "-c", "x"], 2, "'x' is not a valid integer"),
    (["/etc/passwd", "-c", 10**27], 2, "is not in the range"),
])
def test_read_wrong_input(arguments, code, words):
    assert words in refused("read", *arguments, code=code)


def test_read_of_a_file_that_breaks_off(tmp_path):
    file = Path(write_pcap(tmp_path / "file.pcap", numbered([build_packet(0)] * 3)))
    file.write_bytes(file.read_bytes()[:-1])
    done = run("read", file, code=1)
    assert len(done.stdout.splitlines()) == 2 and "truncated" in done.stderr
