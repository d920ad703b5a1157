# SPDX-License-Identifier: BSD-3-Clause
from typing import Callable, NamedTuple, Optional, Tuple, Union

from typing_extensions import disjoint_base

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
@disjoint_base
class Sender:
    def __init__(
        self,
        interface: str,
        *,
        ring: bool = False,
        rate_pps: int = 0,
        rate_bps: int = 0,
        speed: float = 0,
        qdisc_bypass: bool = True,
        progress: Optional[Callable[[int, int], object]] = None,
    ) -> None: ...
    def __enter__(self) -> Sender: ...
    def __exit__(self, exc_type: object, exc: object, tb: object) -> None: ...
    @property
    def refused(self) -> int: ...
    def sent(self) -> Sent: ...
    def generate(
        self,
        count: int,
        *,
        sizes: Tuple[int, int] = (60, 60),
        seed: int = 0,
        first_seq: int = 0,
        flows: int = 1,
        vlan: Optional[int] = None,
        ipv6: bool = False,
    ) -> Sent: ...
    def prepare_replay(self) -> None: ...
    def replay(self, packets: _Buffer, records: _Buffer) -> None: ...
    def restart(self) -> None: ...
    def finish(self) -> Sent: ...

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
    ring: bool = False,
) -> Sent: ...
