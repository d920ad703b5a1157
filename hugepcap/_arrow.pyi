# SPDX-License-Identifier: BSD-3-Clause
from collections.abc import Iterator

from typing_extensions import disjoint_base

from ._batch import Batch

def array_capsules(batch: Batch, requested: object = None) -> tuple[object, object]: ...
def stream_capsule(batches: Iterator[Batch], requested: object = None) -> object: ...
@disjoint_base
class Stream: ...
