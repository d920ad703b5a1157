# SPDX-License-Identifier: BSD-3-Clause
from typing import final

@final
class Column:
    def __buffer__(self, flags: int, /) -> memoryview: ...
