# SPDX-License-Identifier: BSD-3-Clause
"""pcapy-ng's classes once more, as plainly as they can be said: what the classifier is compared with."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Optional

OTHER, FLOW_HEAD, SET_MATCH = range(3)
DNS, HTTP, BULK, ADDR, HANDSHAKE, SYN = range(6)
GENERIC, SECURITY = range(2)
TCP, UDP, FRAGMENT, AH = 6, 17, 44, 51
EXTENSIONS = {0, 43, FRAGMENT, AH, 60}


class Packet(NamedTuple):
    version: int
    proto: int
    src: bytes
    dst: bytes
    ports: Optional[tuple[int, int]]
    l4: bytes    # from the ports on


def number(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def find_ip(data: bytes, l2_offset: int, ipv6: bool) -> Optional[bytes]:
    """The packet from its IP header on, behind at most two tags."""
    for tags in range(3):
        at = l2_offset + 4 * tags
        rest = data[at:]
        if len(rest) < 20:
            return None
        if rest[0] >> 4 == 4 or (ipv6 and rest[0] >> 4 == 6 and len(rest) >= 40):
            return rest
        if at < 2 or number(data[at - 2:at]) not in (0x8100, 0x88A8):
            return None
    return None


def transport(version: int, proto: int, src: bytes, dst: bytes, l4: Optional[bytes]) -> Packet:
    ports = None
    if l4 is not None and proto in (TCP, UDP) and len(l4) >= 4:
        ports = number(l4[:2]), number(l4[2:4])
    return Packet(version, proto, src, dst, ports, l4 or b"")


def parse4(ip: bytes) -> Packet:
    header = ip[0] % 16 * 4
    has_l4 = header >= 20 and number(ip[6:8]) & 0x1FFF == 0
    return transport(4, ip[9], ip[12:16], ip[16:20], ip[header:] if has_l4 else None)


def parse6(ip: bytes) -> Packet:
    proto, rest = ip[6], ip[40:]
    for _ in range(8):
        if proto not in EXTENSIONS:
            break
        later = proto == FRAGMENT and number(rest[2:4]) >> 3
        if len(rest) < 8 or later:
            return transport(6, proto, ip[8:24], ip[24:40], None)
        size = {FRAGMENT: 8, AH: (rest[1] + 2) * 4}.get(proto, (rest[1] + 1) * 8)
        proto, rest = rest[0], rest[size:]
    return transport(6, proto, ip[8:24], ip[24:40], rest)


@dataclasses.dataclass
class Model:
    profile: int = GENERIC
    l2_offset: int = 14
    dns_port: int = 53
    flow_cutoff: int = 0
    ipv6: bool = False
    http: tuple[int, ...] = (80, 8080, 3128, 8000, 8118, 1080)
    tls: tuple[int, ...] = (443,)
    addresses: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        self.flows: dict[object, int] = {}

    def in_set(self, packet: Packet) -> bool:
        return any(end in self.addresses and any(end) for end in (packet.src, packet.dst))

    def is_head(self, packet: Packet) -> bool:
        if packet.ports is None or not self.flow_cutoff:
            return False
        key = packet.version, packet.src, packet.dst, packet.ports, packet.proto
        self.flows[key] = self.flows.get(key, 0) + 1
        return self.flows[key] <= self.flow_cutoff

    def generic(self, packet: Optional[Packet]) -> int:
        if packet is None:
            return OTHER
        return SET_MATCH if self.in_set(packet) else FLOW_HEAD if self.is_head(packet) else OTHER

    def security(self, packet: Optional[Packet]) -> int:
        if packet is None:
            return BULK
        ports = set(packet.ports or ())
        if self.dns_port in ports:
            return DNS
        if ports and packet.proto == TCP and len(packet.l4) >= 14:
            header = packet.l4[12] // 16 * 4
            if packet.l4[13] == 2:
                return SYN
            if header >= 20 and len(packet.l4) > header and ports & set(self.http):
                return HTTP
        if self.in_set(packet):
            return ADDR
        return HANDSHAKE if ports & set(self.tls) and self.is_head(packet) else BULK

    def classify(self, data: bytes) -> int:
        ip = find_ip(data, self.l2_offset, self.ipv6)
        packet = None if ip is None else parse4(ip) if ip[0] >> 4 == 4 else parse6(ip)
        return self.security(packet) if self.profile == SECURITY else self.generic(packet)
