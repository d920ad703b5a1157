# SPDX-License-Identifier: BSD-3-Clause
"""What a call comes to, in words that mean the same for both libraries."""

from __future__ import annotations

from typing import Any, Callable


def outcome(lib: Any, call: Callable[[], Any]) -> Any:
    """What call() returns; the class of what it raises, by pcapy's name where it is one of pcapy's."""
    try:
        return call()
    except lib.PcapError:
        return "PcapError"
    except lib.BPFError:
        return "BPFError"
    except Exception as error:
        return type(error).__name__


def ignore(*packet: Any) -> None:
    """A callback that does nothing."""


def header(hdr: Any) -> Any:
    """A Pkthdr's values; None for none."""
    return hdr and (hdr.getts(), hdr.getcaplen(), hdr.getlen())


def collect(read: Callable[[Any], Any]) -> tuple[Any, list[Any]]:
    """What read(callback) returns, and what its callback was given."""
    seen: list[Any] = []
    returned = read(lambda hdr, *rest: seen.append((header(hdr), *rest)))
    return returned, seen
