# SPDX-License-Identifier: BSD-3-Clause
"""The thesis's figures 6.11 to 6.13 drawn again, its values beside ours, and the loss curves; PNG and SVG."""

from io import StringIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams.update({"svg.hashsalt": "thesis", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
from matplotlib import pyplot  # noqa: E402

from .published import LOSS, MAIN_POLICIES, MISS_RATES  # noqa: E402

LEAST = 1e-5    # what a logarithmic axis shows for none at all


def where(result: dict) -> str:
    machine = result["machine"]
    return f"Linux {machine['kernel']}{', emulated guest' if machine['emulated'] else ''}, {result['link']}"


def save(figure, folder: Path, name: str) -> None:
    figure.tight_layout()
    figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
    drawing = StringIO()
    figure.savefig(drawing, format="svg", metadata={"Date": None})
    lines = drawing.getvalue().splitlines()    # matplotlib ends some with a space
    (folder / f"{name}.svg").write_text("".join(line.rstrip() + "\n" for line in lines))
    pyplot.close(figure)


def thesis_rates(axes, policies, which: int) -> None:
    axes.bar(policies, [MISS_RATES[policy][which] for policy in policies], color="0.5")
    axes.set_ylabel(f"dTLB {('load', 'store')[which]} misses / {('loads', 'stores')[which]}")
    axes.set_title("thesis, measured (its PMU)")


def model_bars(axes, result: dict, policies, side: str) -> None:
    """Page walks per packet of each CPU's model; a policy that the kernel has not is left empty."""
    models = {mapping["policy"]: mapping["model"] for mapping in result["mappings"]}
    there = [policy for policy in policies if policy in models]
    names = sorted(next(iter(models.values())))
    for shift, name in enumerate(names):
        places = [policies.index(policy) + (shift - 0.5) * 0.35 for policy in there]
        axes.bar(places, [max(models[policy][name][side]["walks"], LEAST) for policy in there], 0.33, label=name)
    for policy in set(policies) - set(there):
        axes.text(policies.index(policy), LEAST * 1.3, "missing", rotation=90, ha="center", va="bottom")
    axes.set_xticks(range(len(policies)), policies)
    axes.set_xlim(-0.6, len(policies) - 0.4)
    axes.set_yscale("log")
    axes.set_ylim(LEAST / 2, 1)
    axes.set_ylabel(f"page walks per packet, {side}'s side")
    axes.set_title(f"MODEL, no PMU: {where(result)}", fontsize=8)
    axes.legend(fontsize=7)


def draw_rates(results: list[dict], policies, folder: Path, name: str) -> None:
    policies = list(policies)
    figure, grid = pyplot.subplots(2, 1 + len(results), figsize=(4.6 * (1 + len(results)), 7), squeeze=False)
    for row, side in enumerate(("user", "kernel")):
        thesis_rates(grid[row][0], policies, row)
        for axes, result in zip(grid[row][1:], results):
            model_bars(axes, result, policies, side)
    for axes in grid.flat:
        axes.set_axisbelow(True)
        axes.tick_params(axis="x", rotation=30)
    save(figure, folder, name)


def curve(axes, points: list[dict], label: str, **style) -> None:
    """Means, and bars of a deviation up and down; the intervals stand in the page's tables."""
    axes.errorbar([point["factor"] for point in points], [100 * point["loss"]["mean"] for point in points],
                  [100 * (point["loss"]["deviation"] or 0) for point in points], label=label, capsize=2, **style)


def draw_loss(results: list[dict], folder: Path) -> None:
    figure, grid = pyplot.subplots(1, len(results), figsize=(6.5 * len(results), 5), squeeze=False)
    for axes, result in zip(grid[0], results):
        axes.plot(list(LOSS), [100 * share for share in LOSS.values()], "k--", label="thesis, 10 Gbit/s, every policy")
        for key in sorted({(p["program"], p["policy"], p["blocks"]) for p in result["points"]}):
            points = [p for p in result["points"] if (p["program"], p["policy"], p["blocks"]) == key]
            curve(axes, points, "{}, {}, {} blocks".format(*key), marker=".", linewidth=0.9)
        axes.set(xlabel="factor of the delay", ylabel="packets lost, %", ylim=(-3, 103), title=where(result))
        axes.legend(fontsize=6, title="means, bars: deviation", title_fontsize=6)
    save(figure, folder, "thesis-6.13")


def draw_curves(result: dict, folder: Path) -> None:
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for found in result["loss"]:
        curve(axes, found["points"], found["label"], marker=".")
    axes.set_xscale("symlog", linthresh=100)
    axes.set(xlabel="factor of the delay", ylabel="packets lost, %", ylim=(-3, 103), title=where(result))
    axes.legend(fontsize=7, title="means, bars: deviation", title_fontsize=7)
    save(figure, folder, "thesis-loss")


def draw(results: list[dict], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    draw_rates(results, MISS_RATES, folder, "thesis-6.11")
    draw_rates(results, MAIN_POLICIES, folder, "thesis-6.12")
    draw_loss(results, folder)
    for result in results:
        if "loss" in result:
            draw_curves(result, folder)
