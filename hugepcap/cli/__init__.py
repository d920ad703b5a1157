# SPDX-License-Identifier: BSD-3-Clause
"""The command line: one module per command, imported when it is called."""

import importlib
import os
import sys

import click

from .._version import __version__

CLOSED = "hugepcap.closed"    # in the context: standard output was closed
COMMANDS = {
    "capture": "Captures packets into files, or prints them.",
    "read": "Prints the packets of a file.",
    "devices": "Lists the interfaces that can be captured on.",
    "doctor": "Looks at what captures depend on, and how to mend it.",
    "tune": "Sets this host up for captures; --undo restores it.",
    "generate": "Sends numbered traffic on a test link.",
    "replay": "Sends the packets of a file on a test link.",
    "demo": "Captures generated traffic in a network namespace of its own.",
    "preload": "Runs a program under preload.so, which deepens its capture ring.",
    "completion": "Prints what makes the shell complete hugepcap's commands.",
}


class Commands(click.Group):
    """A group that imports a command's module when it is needed. What --help and --version cannot write is a line, too."""

    def main(self, *args, **kwargs):
        try:
            return super().main(*args, **kwargs)
        except OSError as error:    # a command's own is a Failure before it comes here
            if "--debug" in sys.argv:
                raise
            from .common import ERROR, note
            note(f"standard output: {error.strerror}")
            sys.stdout = open(os.devnull, "w")    # the interpreter's end would try it again
            sys.exit(ERROR)

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        if name not in COMMANDS:
            return None
        return getattr(importlib.import_module(f".{name}", __package__), name)

    def format_commands(self, ctx, formatter):
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def open_what_is_closed(ctx):
    """Daemons close standard output and error: a file would get their numbers, and what is said be written into it."""
    for number, name in (1, "stdout"), (2, "stderr"):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w"))
            if name == "stdout":
                ctx.meta[CLOSED] = True


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hugepcap")
@click.pass_context
def main(ctx):
    """Packet capture on Linux over a TPACKET_V3 ring."""
    open_what_is_closed(ctx)
    sys.stdout.reconfigure(errors="replace")    # a mark the terminal cannot show is no reason to end
