# SPDX-License-Identifier: BSD-3-Clause
"""The model held against a PMU, where one counted.

A program's other misses (its hash, its stack, the kernel's structures) are the same under every policy, and the model
has none of them: so it is the differences to the stock ring, in misses per packet, that must agree.
"""
from __future__ import annotations

from .tlb import CPUS

STOCK = "RX_RING"
FACTOR = 2.0     # between the difference that was measured and the modelled one
LITTLE = 0.01    # misses a packet: what is smaller on both sides is no difference
EVENTS = {"user": ("dtlb_load_misses",), "kernel": ("dtlb_load_misses", "dtlb_store_misses")}


def counted(mapping: dict, side: str) -> float | None:
    """Misses per packet that were measured; None without a PMU."""
    counts = [mapping["events"][name][side] for name in EVENTS[side]]
    return None if None in counts else sum(counts) / max(mapping["packets"], 1)


def agree(measured: float, modelled: float) -> bool:
    if abs(measured) < LITTLE and abs(modelled) < LITTLE:
        return True
    return measured * modelled > 0 and 1 / FACTOR <= measured / modelled <= FACTOR


def differences(mappings: list[dict], cpu: str, side: str) -> list[tuple[str, float, float]]:
    """(policy, measured, modelled) of each policy's misses per packet less the stock ring's."""
    stock = next(mapping for mapping in mappings if mapping["policy"] == STOCK)

    def less_stock(value):
        return [value(mapping) - value(stock) for mapping in mappings if mapping is not stock]

    names = [mapping["policy"] for mapping in mappings if mapping is not stock]
    return list(zip(names, less_stock(lambda m: counted(m, side)), less_stock(lambda m: m["model"][cpu][side]["walks"])))


def verdicts(mappings: list[dict]) -> list[str]:
    """A line of each CPU's model and side; one line where there is nothing to hold it against."""
    if any(counted(mapping, side) is None for mapping in mappings for side in EVENTS):
        return ["Model against PMU: not checked, no counter of dTLB misses here."]
    if len(mappings) < 2 or STOCK not in {mapping["policy"] for mapping in mappings}:
        return [f"Model against PMU: not checked, which takes {STOCK} and another policy."]
    lines = []
    for cpu in sorted(CPUS):
        for side in EVENTS:
            found = differences(mappings, cpu, side)
            wrong = [f"{name}: {measured:+.4f}, modelled {modelled:+.4f}" for name, measured, modelled in found
                     if not agree(measured, modelled)]
            said = "agrees" if not wrong else f"DISAGREES ({'; '.join(wrong)})"
            lines.append(f"Model of {CPUS[cpu].name} against PMU, {side}'s misses a packet less {STOCK}'s, "
                         f"{len(found)} policies: {said}.")
    return lines
