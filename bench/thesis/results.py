# SPDX-License-Identifier: BSD-3-Clause
"""What a result is called: one of a kernel series, and of its guest, replaces the one before."""


def name_of(result: dict) -> str:
    """6.18, or 6.12-guest."""
    machine = result["machine"]
    return ".".join(machine["kernel"].split(".")[:2]) + ("-guest" if machine["emulated"] else "")


def where(result: dict) -> str:
    machine = result["machine"]
    return f"Linux {machine['kernel']}{', emulated guest' if machine['emulated'] else ''}, {result['link']}"


def caption(result: dict) -> str:
    """Under every picture."""
    machine = result["machine"]
    return f"{where(result)}\n{machine['cpu']}, {machine['cores']} CPUs, {machine['date'][:10]}"
