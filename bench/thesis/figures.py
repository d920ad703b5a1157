# SPDX-License-Identifier: BSD-3-Clause
"""The thesis's figures 6.11 to 6.13 drawn again, its values beside ours, and the loss curves; PNG and SVG."""

from functools import cache
from io import StringIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams.update({"svg.hashsalt": "thesis", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
from matplotlib import pyplot  # noqa: E402

from . import tlb  # noqa: E402
from .published import LOSS, MAIN_POLICIES, MISS_RATES  # noqa: E402
from .results import caption, name_of  # noqa: E402

RATES = (1e-7, 1e-2)    # what the axes of misses per access show
COLOURS = dict(zip(MISS_RATES, ("C3", "C0", "C1", "C2", "C4", "0.3")))
LINES = {"lowlevel": "-", "libpcap": "--"}
MARKERS = "o^sD"


def save(figure, folder: Path, name: str) -> None:
    figure.tight_layout()
    figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
    drawing = StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    lines = drawing.getvalue().splitlines()    # matplotlib ends some with a space
    (folder / f"{name}.svg").write_text("".join(line.rstrip() + "\n" for line in lines))
    pyplot.close(figure)


@cache
def accesses(ring_bytes: int, seed: int) -> float:
    return tlb.accesses(ring_bytes, seed)


def per_access(mapping: dict, cpu: str, side: str, seed: int) -> float:
    return mapping["model"][cpu][side]["walks"] / accesses(mapping["levels"]["ring_bytes"], seed)


def thesis_rates(axes, policies, which: int) -> None:
    axes.bar(range(len(policies)), [MISS_RATES[policy][which] for policy in policies], color="0.5")
    axes.set_ylabel("misses per access")
    axes.set_title(f"thesis, its PMU: dTLB {('load', 'store')[which]} misses / {('loads', 'stores')[which]}", fontsize=8)


def model_bars(axes, result: dict, policies, side: str) -> None:
    """Of each CPU's model. None at all has no bar but a 0, and a policy that the kernel has not says so."""
    mappings = {mapping["policy"]: mapping for mapping in result["mappings"]}
    for shift, cpu in enumerate(sorted(tlb.CPUS)):
        places, heights = [], []
        for place, policy in enumerate(policies):
            if policy in mappings:
                places.append(place + (shift - 0.5) * 0.35)
                heights.append(per_access(mappings[policy], cpu, side, result["traffic"]["seed"]))
        axes.bar(places, [height or float("nan") for height in heights], 0.33, label=tlb.CPUS[cpu].name)
        for place, height in zip(places, heights):
            if not height:
                axes.text(place, RATES[0] * 1.3, "0", ha="center", va="bottom")
    for policy in set(policies) - set(mappings):
        axes.text(policies.index(policy), RATES[0] * 1.3, "missing", rotation=90, ha="center", va="bottom")
    axes.set_title(f"MODEL, no PMU, {side}'s side: {caption(result)}", fontsize=7)
    axes.set_ylabel("page walks per access")
    axes.legend(fontsize=7)


def draw_rates(results: list[dict], policies, folder: Path, name: str) -> None:
    policies = list(policies)
    figure, grid = pyplot.subplots(2, 1 + len(results), figsize=(4.6 * (1 + len(results)), 7), squeeze=False)
    for row, side in enumerate(("user", "kernel")):
        thesis_rates(grid[row][0], policies, row)
        for axes, result in zip(grid[row][1:], results):
            model_bars(axes, result, policies, side)
    for axes in grid.flat:
        axes.set(yscale="log", ylim=RATES, xlim=(-0.6, len(policies) - 0.4))
        axes.set_xticks(range(len(policies)), policies)
        axes.set_axisbelow(True)
        axes.tick_params(axis="x", rotation=30)
    save(figure, folder, name)


def curve(axes, points: list[dict], label: str, **style) -> None:
    """Means, and bars of a deviation up and down; the intervals stand in the page's tables."""
    axes.errorbar([point["factor"] for point in points], [100 * point["loss"]["mean"] for point in points],
                  [100 * (point["loss"]["deviation"] or 0) for point in points], label=label, capsize=2, **style)


def draw_loss(results: list[dict], folder: Path) -> None:
    """A policy has its colour, a program its line, a number of blocks its marker."""
    figure, grid = pyplot.subplots(1, len(results), figsize=(6.5 * len(results), 5), squeeze=False)
    for axes, result in zip(grid[0], results):
        axes.plot(list(LOSS), [100 * share for share in LOSS.values()], "k:", linewidth=2,
                  label="thesis, 10 Gbit/s, every policy")
        blocks = sorted({point["blocks"] for point in result["points"]})
        for key in sorted({(p["program"], p["policy"], p["blocks"]) for p in result["points"]}):
            points = [p for p in result["points"] if (p["program"], p["policy"], p["blocks"]) == key]
            curve(axes, points, "{}, {}, {} blocks".format(*key), color=COLOURS[key[1]], linestyle=LINES[key[0]],
                  marker=MARKERS[blocks.index(key[2]) % len(MARKERS)], markersize=3, linewidth=0.9)
        axes.set(xlabel="factor of the delay", ylabel="packets lost, %", ylim=(-3, 103))
        axes.set_title(caption(result), fontsize=8)
        axes.legend(fontsize=6, title="means, bars: deviation", title_fontsize=6)
    save(figure, folder, "thesis-6.13")


def loss_picture(result: dict) -> str:
    return f"thesis-loss-{name_of(result)}"


def draw_curves(result: dict, folder: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for found in result["loss"]:
        curve(axes, found["points"], found["label"], marker=".")
    axes.set_xscale("symlog", linthresh=100)
    axes.set(xlabel="factor of the delay", ylabel="packets lost, %", ylim=(-3, 103))
    axes.set_title(caption(result), fontsize=8)
    axes.legend(fontsize=7, title="means, bars: deviation", title_fontsize=7)
    save(figure, folder, loss_picture(result))


def draw(results: list[dict], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draw_rates(results, MISS_RATES, folder, "thesis-6.11")
    draw_rates(results, MAIN_POLICIES, folder, "thesis-6.12")
    draw_loss(results, folder)
    for result in results:
        if "loss" in result:
            draw_curves(result, folder)
