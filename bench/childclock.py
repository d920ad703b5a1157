# SPDX-License-Identifier: BSD-3-Clause
"""The clock that pytest-benchmark reads: it moves by what the measured processes say they took."""

_now = 0.0


def now() -> float:
    """Seconds. Given to pytest as --benchmark-timer=childclock.now"""
    return _now


def advance(seconds: float) -> None:
    global _now
    _now += seconds
