# SPDX-License-Identifier: BSD-3-Clause
from typing import final

from ._batch import Memory
from ._pcap import PcapHandle

@final
class Chunk(Memory): ...
@final
class RegularFile(PcapHandle): ...
