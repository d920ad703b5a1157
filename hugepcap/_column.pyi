# SPDX-License-Identifier: BSD-3-Clause
from typing_extensions import disjoint_base

@disjoint_base
class Column:
    def __init__(self, *args: object, **kwargs: object) -> None: ...
