# SPDX-License-Identifier: BSD-3-Clause
"""What a ring is to be like: from arguments and setters, else from ``HUGEPCAP_`` variables, else the defaults."""

from __future__ import annotations

import dataclasses
import errno
import os
import warnings
from collections.abc import Callable

from . import _ring
from .errors import from_errno

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


def check_ring_bytes(size: int) -> int:
    """The size itself; 0 means the default. ValueError for a negative one."""
    if size < 0:
        raise ValueError(f"ring_bytes {size}: a ring has from 1 to {_ring.RING_BYTES_MAX} bytes; "
                         "0 leaves it to hugepcap")
    return size


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


def ring_bytes_each(count: int, ring_bytes: int | None, strict: bool | None) -> int:
    """What each of so many rings may ask for so that all fit into the memory that is free. None: as the environment
    says. A RuntimeWarning where that is less than is wanted; PcapMemoryError where ``strict``.
    """
    settings = from_environment()
    wanted = ring_bytes or settings.ring_bytes
    most = int(_ring.free_memory_bytes() * _ring.FREE_MEMORY_SHARE) // count
    if not 0 < most < wanted:
        return wanted
    short = f"{count} rings of {wanted} bytes do not fit into the memory that is free"
    if settings.strict if strict is None else strict:
        raise from_errno(errno.ENOMEM, "open", f"{short}; {most} bytes each would")
    warnings.warn(f"hugepcap: {short}; asking for {most} bytes each", RuntimeWarning, stacklevel=2)
    return most


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
