# SPDX-License-Identifier: BSD-3-Clause
"""Packets written by hand, header by header, and a corpus of them with a name for each."""

from __future__ import annotations

import socket
import struct

MAC_A = bytes.fromhex("020000000001")
MAC_B = bytes.fromhex("020000000002")
ETH_IPV4, ETH_IPV6, ETH_VLAN, ETH_QINQ, ETH_ARP = 0x0800, 0x86DD, 0x8100, 0x88A8, 0x0806
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def ethernet(payload: bytes, kind: int = ETH_IPV4) -> bytes:
    return MAC_B + MAC_A + struct.pack("!H", kind) + payload


def tagged(payload: bytes, *tags: int, kind: int = ETH_IPV4, outer: int = ETH_VLAN) -> bytes:
    """Ethernet with VLAN tags: the outermost has the TPID `outer`, those inside 0x8100."""
    types = [outer] + [ETH_VLAN] * (len(tags) - 1)
    stack = b"".join(struct.pack("!HH", tpid, tag) for tpid, tag in zip(types, tags))
    return MAC_B + MAC_A + stack + struct.pack("!H", kind) + payload


def ipv4(payload: bytes, proto: int, src: str = "10.0.0.1", dst: str = "10.0.0.2", *, fragment: int = 0,
         options: bytes = b"") -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, fragment,
                       64, proto, 0, socket.inet_aton(src), socket.inet_aton(dst))
    return head + options + payload


def ipv6(payload: bytes, proto: int, src: str = "2001:db8::1", dst: str = "2001:db8::2") -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + \
        socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + payload


def udp(sport: int, dport: int, payload: bytes = b"x" * 18) -> bytes:
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def tcp(sport: int, dport: int, flags: int, payload: bytes = b"", *, words: int = 5) -> bytes:
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 1, words << 4, flags, 8192, 0, 0) + \
        bytes(4 * max(words - 5, 0)) + payload


def udp4(sport: int = 1111, dport: int = 2222, payload: bytes = b"x" * 18, **ends: str) -> bytes:
    return ethernet(ipv4(udp(sport, dport, payload), 17, **ends))


def tcp4(sport: int, dport: int, flags: int, payload: bytes = b"", **ends: str) -> bytes:
    return ethernet(ipv4(tcp(sport, dport, flags, payload), 6, **ends))


WATCHED = "203.0.113.7"    # the address that the tests put into address sets

CORPUS = {
    "udp": udp4(),
    "udp again": udp4(),
    "udp back": udp4(2222, 1111, src="10.0.0.2", dst="10.0.0.1"),
    "udp third": udp4(),
    "udp empty": udp4(5, 6, b""),
    "dns query": udp4(4000, 53),
    "dns answer": udp4(53, 4000),
    "dns over tcp": tcp4(4000, 53, PSH | ACK, b"q"),
    "dns syn": tcp4(4000, 53, SYN),
    "dns of the watched": udp4(4000, 53, dst=WATCHED),
    "other dns port": udp4(4000, 5353),
    "syn": tcp4(4001, 22, SYN),
    "syn to https": tcp4(4001, 443, SYN),
    "syn of the watched": tcp4(4001, 22, SYN, dst=WATCHED),
    "syn ack": tcp4(22, 4001, SYN | ACK),
    "syn with payload": tcp4(4001, 80, SYN, b"early"),
    "syn ece": tcp4(4001, 22, SYN | 0x40),
    "ack": tcp4(4001, 80, ACK),
    "http": tcp4(4001, 80, PSH | ACK, b"GET / HTTP/1.1\r\n\r\n"),
    "http without push": tcp4(80, 4001, ACK, b"HTTP/1.1 200 OK\r\n"),
    "http on 8080": tcp4(4001, 8080, PSH | ACK, b"GET /"),
    "http on 8081": tcp4(4001, 8081, PSH | ACK, b"GET /"),
    "http of the watched": tcp4(4001, 80, PSH | ACK, b"GET /", src=WATCHED),
    "http with tcp options": ethernet(ipv4(tcp(4001, 80, PSH | ACK, b"GET /", words=8), 6)),
    "tcp options only": ethernet(ipv4(tcp(4001, 80, PSH | ACK, words=8), 6)),
    "tcp offset too small": ethernet(ipv4(tcp(4001, 80, PSH | ACK, b"GET /", words=4), 6)),
    "tls": tcp4(4001, 443, PSH | ACK, b"\x16\x03\x01"),
    "tls again": tcp4(4001, 443, PSH | ACK, b"\x17\x03\x03"),
    "tls back": tcp4(443, 4001, PSH | ACK, b"\x16\x03\x03", src="10.0.0.2", dst="10.0.0.1"),
    "tls of the watched": tcp4(4001, 443, PSH | ACK, b"\x16", dst=WATCHED),
    "quic": udp4(4002, 443),
    "quic again": udp4(4002, 443),
    "icmp": ethernet(ipv4(b"\x08\0\0\0\0\1\0\1" + b"p" * 24, 1)),
    "icmp of the watched": ethernet(ipv4(b"\x08\0\0\0\0\1\0\1", 1, src=WATCHED)),
    "ip options": ethernet(ipv4(udp(1111, 53), 17, options=b"\x01" * 8)),
    "first fragment": ethernet(ipv4(udp(7000, 7001), 17, fragment=0x2000)),
    "vlan": tagged(ipv4(udp(1112, 2222), 17), 42),
    "vlan dns": tagged(ipv4(udp(1112, 53), 17), 42),
    "qinq": tagged(ipv4(udp(1113, 2222), 17), 100, 42, outer=ETH_QINQ),
    "qinq of the watched": tagged(ipv4(udp(1113, 2222), 17, src=WATCHED), 100, 42, outer=ETH_QINQ),
    "three tags": tagged(ipv4(udp(1114, 2222), 17, src=WATCHED), 100, 42, 43, outer=ETH_QINQ),
    "vlan arp": tagged(b"\0\1\x08\0\6\4\0\1" + bytes(20), 42, kind=ETH_ARP),
    "arp": ethernet(b"\0\1\x08\0\6\4\0\1" + bytes(20), ETH_ARP),
    "ipv6 udp": ethernet(ipv6(udp(1111, 53), 17), ETH_IPV6),
    "ipv6 tcp": ethernet(ipv6(tcp(4001, 80, SYN), 6), ETH_IPV6),
    "header length 0": ethernet(b"\x40" + ipv4(udp(1111, 53), 17)[1:]),
    "header length 16": ethernet(b"\x44" + ipv4(udp(1111, 53), 17)[1:]),
    "address 0": udp4(src="0.0.0.0", dst="255.255.255.255"),
    "sctp": ethernet(ipv4(b"\x10\x00\x10\x01" + bytes(12), 132)),
    "empty": b"",
    "one byte": b"\x02",
    "cut in ethernet": udp4()[:13],
    "cut in ip": udp4()[:33],
    "cut before ports": udp4(4000, 53)[:34],
    "cut in ports": udp4(4000, 53)[:37],
    "cut after ports": udp4(4000, 53)[:38],
    "cut before flags": tcp4(4001, 22, SYN)[:47],
    "cut after flags": tcp4(4001, 22, SYN)[:48],
    "cut before payload": tcp4(4001, 80, ACK, b"GET /")[:54],
    "cut after one byte": tcp4(4001, 80, ACK, b"GET /")[:55],
    "vlan cut in tag": tagged(ipv4(udp(1112, 53), 17), 42)[:17],
    "vlan cut in ip": tagged(ipv4(udp(1112, 53), 17), 42)[:37],
}
