# SPDX-License-Identifier: BSD-3-Clause
"""The command line: one module per command, imported when it is called."""

import importlib

import click

from .._version import __version__

COMMANDS = {
    "demo": "Captures generated traffic in a network namespace of its own.",
    "preload": "Runs a program under preload.so, which deepens its capture ring.",
}


class Commands(click.Group):
    """A group that imports a command's module when it is needed."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f".{name}", __package__), name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hugepcap")
def main():
    """Packet capture on Linux over a TPACKET_V3 ring."""
