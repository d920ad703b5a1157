# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Callable, Sequence

from typing_extensions import Buffer, disjoint_base

from ._control import Control
from ._packet import Pkthdr

@disjoint_base
class Filtered(Control):
    def loop_filtered(
        self, cnt: int, cb: Callable[[Pkthdr, bytes, int], object], admit_mask: int = 7, addr_set: Buffer = b"",
        flow_cutoff: int = 0, dpi_ports: Sequence[int] | None = None, tls_ports: Sequence[int] | None = None,
        dns_port: int = 53, l2_offset: int = 14, profile: int = 0, *, ipv6: bool = False, addr_set6: Buffer = b"",
    ) -> tuple[int, ...]: ...
    def loop_to_buffer(
        self, cnt: int, writable_buf: Buffer, admit_mask: int = 7, addr_set: Buffer = b"",
        flow_cutoff: int = 0, dpi_ports: Sequence[int] | None = None, tls_ports: Sequence[int] | None = None,
        dns_port: int = 53, l2_offset: int = 14, profile: int = 0, *, ipv6: bool = False, addr_set6: Buffer = b"",
    ) -> tuple[int, ...]: ...
    def filtered_stats(self) -> tuple[int, ...]: ...
