# SPDX-License-Identifier: BSD-3-Clause
from typing import Any, final

from ._batch import Batch, Memory

@final
class Slot(Memory): ...

def pack(batch: Batch, start: int, slot: Any) -> int: ...
def unpack(slot: Any, keeper: object) -> Batch: ...
