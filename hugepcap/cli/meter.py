# SPDX-License-Identifier: BSD-3-Clause
"""Live counters of a capture on a terminal."""

import contextlib


@contextlib.contextmanager
def meter(title, shown):
    """Gives update(figures), which shows them on standard error, where they are to be shown."""
    if not shown:
        yield lambda figures: None
        return
    from rich.console import Console
    from rich.live import Live

    counters = Counters(title)
    with Live(counters, console=Console(stderr=True), auto_refresh=False) as live:
        def update(figures):
            counters.take(figures)
            live.refresh()

        yield update


class Counters:
    """What is shown: totals, and the rates since the figures before."""

    def __init__(self, title):
        self.title = title
        self.now = self.before = {"packets": 0, "bytes": 0, "received": 0, "dropped": 0, "fill": 0.0, "seconds": 0.0}

    def take(self, figures):
        self.before, self.now = self.now, figures

    def rate(self, name):
        seconds = self.now["seconds"] - self.before["seconds"]
        return (self.now[name] - self.before[name]) / seconds if seconds > 0 else 0.0

    def __rich__(self):
        from rich.panel import Panel
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        grid.add_column(justify="left", style="bold")
        grid.add_column(justify="right", min_width=16)
        grid.add_column(justify="right", min_width=18)
        now = self.now
        grid.add_row("packets", f"{now['packets']:,}", f"{self.rate('packets'):,.0f} /s")
        grid.add_row("on the wire", f"{now['bytes'] / 1e6:,.1f} MB", f"{self.rate('bytes') * 8 / 1e9:.3f} Gbit/s")
        dropped = f"[red]{now['dropped']:,}[/]" if now["dropped"] else "[green]0[/]"
        grid.add_row("dropped", dropped, f"{self.rate('dropped'):,.0f} /s")
        grid.add_row("ring", f"{now['fill']:.0%} full", ProgressBar(total=1, completed=now["fill"], width=18))
        grid.add_row("time", f"{now['seconds']:.1f} s", "")
        return Panel(grid, title=self.title, expand=False)
