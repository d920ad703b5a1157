# SPDX-License-Identifier: BSD-3-Clause
from typing import final

from ._pcap import PcapHandle

@final
class MapFile(PcapHandle): ...
