# SPDX-License-Identifier: BSD-3-Clause
"""What a ring is to be like: from arguments and setters, else from ``HUGEPCAP_`` variables, else the defaults."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable

from . import _ring

_STRICT_VALUES = {"0": False, "1": True}


@dataclasses.dataclass
class RingSettings:
    """Sizes in bytes; ``block_bytes`` 0: as suits ring and snapshot length; ``mount``: of a hugetlbfs."""

    policy: str = "auto"
    ring_bytes: int = _ring.DEFAULT_RING_BYTES
    block_bytes: int = 0
    strict: bool = False
    mount: str | None = None


def check_policy(name: str) -> str:
    """The name itself. ValueError for an unknown one, with those there are."""
    if name not in _ring.POLICIES:
        raise ValueError(f"policy {name!r} is none of {', '.join(_ring.POLICIES)}")
    return name


def check_block_bytes(size: int) -> int:
    """The size itself. ValueError for what the kernel cannot take: a block is whole pages, at most 1 GiB."""
    if size and (size % _ring.PAGE_BYTES or not 0 < size <= _ring.BLOCK_BYTES_MAX):
        raise ValueError(f"block_bytes {size}: a block is a multiple of {_ring.PAGE_BYTES} bytes, "
                         f"at most {_ring.BLOCK_BYTES_MAX}; 0 leaves it to hugepcap")
    return size


def _strict(text: str) -> bool:
    if text not in _STRICT_VALUES:
        raise ValueError(f"{text!r} is none of {', '.join(_STRICT_VALUES)}")
    return _STRICT_VALUES[text]


_VARIABLES: dict[str, tuple[str, Callable[[str], object]]] = {
    "HUGEPCAP_POLICY": ("policy", check_policy),
    "HUGEPCAP_RING": ("ring_bytes", _ring.parse_size),
    "HUGEPCAP_STRICT": ("strict", _strict),
    "HUGEPCAP_HUGETLBFS": ("mount", str),
}


def from_environment() -> RingSettings:
    """The defaults with what ``HUGEPCAP_POLICY``, ``_RING``, ``_STRICT`` and ``_HUGETLBFS`` say.

    A value that makes no sense is named in a RuntimeWarning and left out.
    """
    settings = RingSettings()
    for name, (field, parse) in _VARIABLES.items():
        text = os.environ.get(name)
        if not text:
            continue
        try:
            setattr(settings, field, parse(text))
        except ValueError as error:
            warnings.warn(f"hugepcap: {name} is ignored: {error}", RuntimeWarning, stacklevel=2)
    return settings
