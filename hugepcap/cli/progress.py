# SPDX-License-Identifier: BSD-3-Clause
"""A bar on the terminal while packets go out, the exact figures at the end, and what both senders take."""

import contextlib
import os
import sys

import click

from . import common, testlink

OVER = ("ring", "sendmmsg")
PPS, MBPS = click.IntRange(1, 10**9), common.Amount(1e6)


@contextlib.contextmanager
def bar(label, total):
    """Gives update(done, packets, bytes); shows nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, packets, size: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
               TextColumn("{task.fields[packets]:,} packets"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total, packets=0)

        def update(done, packets, _):
            progress.update(task, completed=done if total is None else min(done, total), packets=packets)

        yield update


@contextlib.contextmanager
def one_cpu():
    """Keeps this thread on one CPU: a sender that moves leaves packets in the queues of both, out of order."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def report(sent, as_json, **more):
    """What was sent: one line, or one JSON object."""
    if as_json:
        common.print_json({"packets": sent.packets, "bytes": sent.bytes, "seconds": sent.seconds, **more})
        return
    seconds = max(sent.seconds, 1e-9)
    click.echo(f"sent {sent.packets:,} packets, {sent.bytes:,} bytes in {sent.seconds:.3f} s: "
               f"{sent.packets / seconds:,.0f} packets/s, {sent.bytes * 8 / seconds / 1e9:.3f} Gbit/s")


def sender_options(function):
    """The options that both senders have."""
    for option in (
        common.json_option("The figures as one JSON object."),
        click.option(testlink.YES, "yes", is_flag=True,
                     help="Send even though IFACE is no test link (veth, both ends here, without addresses)."),
    ):
        function = option(function)
    return common.interface_option("Where to send.")(function)


def bits_of(mbps):
    """Bits a second; 0, which is top speed, only where no rate is given."""
    return max(round(mbps * 1e6), 1) if mbps else 0


def at_most_one(**options):
    """Refuses paces that contradict each other."""
    given = [f"--{name}" for name, value in options.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other")
