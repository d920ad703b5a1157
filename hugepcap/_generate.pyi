# SPDX-License-Identifier: BSD-3-Clause
from typing import NamedTuple, Optional, Tuple, Union

_Buffer = Union[bytes, bytearray, memoryview]

class Sent(NamedTuple):
    packets: int
    bytes: int
    seconds: float

def build_packet(
    sequence: int,
    *,
    sizes: Tuple[int, int] = (60, 60),
    seed: int = 0,
    flows: int = 1,
    vlan: Optional[int] = None,
    ipv6: bool = False,
    ethernet: bool = True,
) -> bytes: ...
def sequence_of(packet: _Buffer) -> int: ...
def generate(
    interface: str,
    count: int,
    *,
    sizes: Tuple[int, int] = (60, 60),
    seed: int = 0,
    first_seq: int = 0,
    rate_pps: int = 0,
    flows: int = 1,
    vlan: Optional[int] = None,
    ipv6: bool = False,
    qdisc_bypass: bool = True,
) -> Sent: ...
