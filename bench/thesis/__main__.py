# SPDX-License-Identifier: BSD-3-Clause
"""The command: `run` measures and draws, `draw` draws and writes the page again from the JSON there is."""

import json
import sys
from pathlib import Path

import click

from . import experiment, loss, measure, traffic
from .results import name_of
from .programs import ROOT

RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs" / "results"


class Numbers(click.ParamType):
    """"0,100,200" or "0-1000:100"."""

    name = "numbers"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        try:
            span, _, step = value.partition(":")
            if step:
                first, last = map(int, span.split("-"))
                return list(range(first, last + 1, int(step)))
            return [int(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is neither a list (0,100) nor a range with a step (0-1000:100)", param, ctx)


def chosen(ctx, param, value):
    return tuple(value.split(",")) if value != "all" else measure.POLICIES


@click.group()
def main():
    """The thesis's experiments."""


@main.command()
@click.option("--policies", default="all", callback=chosen, show_default=True, help=f"Of {','.join(measure.POLICIES)}.")
@click.option("--factors", type=Numbers(), default="0-1000:100", show_default=True, help="Of the delay.")
@click.option("--blocks", type=Numbers(), default="8,64", show_default=True, help="Of 4 MiB.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="A point.")
@click.option("--interface", metavar="SENDS[:CAPTURES]", help="Devices to use.  [default: a veth pair of its own]")
@click.option("--program", "programs", default=("lowlevel", "libpcap"), multiple=True,
              type=click.Choice(["lowlevel", "libpcap"]), help="May be given twice.  [default: both]")
@click.option("--packets", type=click.IntRange(1), default=200_000, show_default=True, help="A run.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--trace", type=click.Path(exists=True, dir_okay=False), help="Sent in place of generated packets.")
@click.option("--loss/--no-loss", "with_loss", default=True, show_default=True, help="The loss curves against stock libpcap.")
@click.option("--out", default="", help="JSON file, - for standard output.  [default: bench/results/thesis-SERIES.json]")
def run(policies, factors, blocks, runs, interface, programs, packets, seed, trace, with_loss, out):
    """Measures, then draws the figures and writes the page."""
    unknown = set(policies) - set(measure.POLICIES)
    if unknown:
        raise click.UsageError(f"--policies {','.join(sorted(unknown))}: none of {', '.join(measure.POLICIES)}")
    load = traffic.Traffic(packets, seed, trace)
    results = experiment.experiment(programs, policies, factors, blocks, runs, interface, load)
    if with_loss:
        results["loss"] = loss.curves(runs, interface, load)
    text = json.dumps(results, indent=1)
    if out == "-":
        print(text)
        return
    target = Path(out) if out else RESULTS / f"thesis-{name_of(results)}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n")
    click.echo(f"wrote {target}", err=True)
    if not out:
        draw_all()
    if not all(point["correct"] for point in results["points"]):
        sys.exit("a run's packets were wrong; see \"correct\" in the JSON")


def draw_all() -> None:
    from . import figures, page
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("thesis-*.json"))]
    figures.draw(results, DOCS)
    (DOCS / "thesis.md").write_text(page.page(results))
    click.echo(f"wrote {DOCS / 'thesis.md'} and its figures", err=True)


@main.command()
def draw():
    """Draws the figures and writes the page from bench/results/thesis-*.json."""
    draw_all()


main()
