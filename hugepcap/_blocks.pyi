# SPDX-License-Identifier: BSD-3-Clause
from typing_extensions import disjoint_base

from ._batch import Batch
from ._filtered import Filtered
from .batches import Batches

DEFAULT_MAX_PACKETS: int
TIMEOUT_S_MAX: float
MAX_PACKETS_LIMIT: int
BATCH_SHARE: int

@disjoint_base
class Blocks(Filtered):
    def next_block(self, *, timeout: float | None = None) -> Batch | None: ...
    def batches(
        self, *, max_packets: int = 16384, timeout: float | None = None, limit: int | None = None
    ) -> Batches: ...
    def take_batch(self, max_packets: int, timeout: float | None) -> Batch | None: ...
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...
