# SPDX-License-Identifier: BSD-3-Clause
"""scapy on our ring: ``conf.L2listen = hugepcap.scapy.ListenSocket``, then sniff() as ever.

It takes the extra ``hugepcap[scapy]``. Source: scapy.supersocket.SuperSocket.
"""

from __future__ import annotations

from typing import Any

from scapy.config import conf
from scapy.data import ETH_P_ALL, MTU
from scapy.interfaces import network_name
from scapy.supersocket import SuperSocket
from scapy.utils import EDecimal

from . import open_live

TO_MS = 100


class ListenSocket(SuperSocket):
    """What sniff() and AsyncSniffer listen on: one device, at layer 2, with a filter in the kernel.

    ``options`` are open_live()'s: ``policy``, ``ring_bytes`` ... Packets have their times in nanoseconds.
    """

    desc = "read packets at layer 2 with hugepcap"

    def __init__(self, iface: Any = None, type: int = ETH_P_ALL, promisc: bool | None = None, filter: str | None = None,
                 nofilter: int = 0, monitor: bool | None = None, **options: Any) -> None:
        if monitor:
            raise ValueError("a ListenSocket has no monitor mode: create() and set_rfmon() do")
        self.iface = network_name(iface if iface is not None else conf.iface)
        self.reader = open_live(self.iface, MTU, conf.sniff_promisc if promisc is None else promisc, TO_MS,
                                filter=None if nofilter else _combined(type, filter), **options)
        self.reader.setnonblock(1)
        self.ins = self.reader  # type: ignore[assignment]
        self.outs = None
        self.LL = conf.l2types.num2layer.get(self.reader.datalink(), conf.default_l2)

    def recv_raw(self, x: int = MTU) -> tuple[Any, bytes | None, Any]:
        """The class, bytes and time of the next packet; Nones where there is none."""
        hdr, data = self.reader.next()
        if hdr is None:
            return None, None, None
        return self.LL, data[:x], EDecimal(hdr.ts_ns) / 10**9

    def fileno(self) -> int:
        return self.reader.fileno()

    def send(self, x: Any) -> int:
        raise OSError("a ListenSocket does not send: use sendp(), or conf.L2socket")

    def close(self) -> None:
        """Closes the capture; a second call does nothing. scapy calls it even where __init__ raised."""
        if "reader" in self.__dict__:
            self.reader.close()
        self.closed = True


def _combined(type: int, filter: str | None) -> str | None:
    """The filters that scapy's settings and arguments ask for, as one expression."""
    parts = [f"({filter})"] if filter else []
    if type != ETH_P_ALL:
        parts.append(f"ether proto {type}")
    if conf.except_filter:
        parts.append(f"not ({conf.except_filter})")
    return " and ".join(parts) or None
