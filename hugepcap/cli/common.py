# SPDX-License-Identifier: BSD-3-Clause
"""What the commands share: exit codes, errors as lines, sizes, interface names that complete."""

import contextlib
import errno
import json
import math
import os
import socket
import sys
import warnings

import click

from .. import _ring
from ..errors import PcapError

DEFAULT_RING_BYTES = _ring.DEFAULT_RING_BYTES
OK, ERROR, USAGE, IMPROVABLE, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 3, 4, 130


class Failure(click.ClickException):
    """Ends the command with one line on standard error."""

    def __init__(self, message, exit_code=ERROR):
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file=None):
        for line in self.message.splitlines():
            note(line)


def note(line):
    """A line for the person at the terminal: standard output stays for what a program reads."""
    tell(f"hugepcap: {line}")


def tell(line):
    """A line on standard error. That it cannot be written, as to a full disk, is no reason to end a capture."""
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def show_warning(message, category, filename, lineno, file=None, line=None):
    """Warnings of the module as lines of the command."""
    if not issubclass(category, ResourceWarning):
        note(f"warning: {str(message).removeprefix('hugepcap: ')}")


def text_of(error):
    """An OSError as a line: what it was about, and the system's reason."""
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part is not None)


def as_failure(error):
    """The Failure for what a command raised; None for what is a fault of hugepcap's own or of nobody."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return None
    if isinstance(error, (PcapError, OSError)):
        text = str(error) if isinstance(error, PcapError) else text_of(error)
        hint = "; try it with sudo" if isinstance(error, PermissionError) and os.geteuid() != 0 else ""
        return Failure(text + hint)
    if isinstance(error, MemoryError):
        return Failure("there is not enough memory for this")
    if isinstance(error, UnicodeError):
        return Failure(f"{getattr(error, 'object', '')!r} cannot be written as {getattr(error, 'encoding', 'text')}")
    return Failure(str(error)) if isinstance(error, (ValueError, OverflowError)) else None


class Command(click.Command):
    """A command whose errors are lines, not tracebacks, unless --debug is given."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.params.append(click.Option(["--debug"], is_flag=True, expose_value=False, callback=set_debug,
                                        is_eager=True, help="Show tracebacks."))

    def invoke(self, ctx):
        if wants_debug(ctx):
            return super().invoke(ctx)
        warnings.showwarning = show_warning
        try:
            return super().invoke(ctx)
        except (PcapError, OSError, MemoryError, ValueError, OverflowError) as error:
            failure = as_failure(error)
            if failure is None:
                raise
            raise failure from None
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


def set_debug(ctx, _, value):
    if value:
        ctx.find_root().meta["hugepcap.debug"] = True


def wants_debug(ctx):
    return ctx.find_root().meta.get("hugepcap.debug", False)


def command(name=None, **kwargs):
    """click.command, with an example that --help shows as it stands and what every command of ours has."""
    example = kwargs.pop("example")
    codes = kwargs.pop("codes", "0 done, 1 an error, 2 wrong usage, 130 interrupted")
    epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in example.strip().splitlines()) + \
        f"\n\n\b\nExit status: {codes}"
    return click.command(name, cls=Command, epilog=epilog, **kwargs)


def interfaces():
    """The names of this network namespace's interfaces."""
    return [name for _, name in socket.if_nameindex()]


def complete_interface(ctx, param, incomplete):
    return [name for name in interfaces() if name.startswith(incomplete)]


def interface_option(help_text):
    return click.option("-i", "--interface", required=True, metavar="IFACE", shell_complete=complete_interface,
                        help=help_text)


def json_option(help_text):
    return click.option("--json", "as_json", is_flag=True, help=help_text)


def check_interface(name):
    """The name itself. Failure for one that is not there, with those that are."""
    if name not in interfaces():
        raise Failure(f"there is no interface {name!r}; there are {', '.join(interfaces())}")
    return name


class Size(click.ParamType):
    """Bytes: a number, or one with K, M, G or T (powers of 1024); at most `most`."""

    name = "size"

    def __init__(self, most=None):
        self.most = most

    def convert(self, value, param, ctx):
        if isinstance(value, int):
            return value
        try:
            size = _ring.parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if self.most is not None and size > self.most:
            self.fail(f"{value} is more than {size_text(self.most)}", param, ctx)
        return size


SIZE, RING_SIZE = Size(), Size(_ring.RING_BYTES_MAX)


class Amount(click.FloatRange):
    """A number above 0, at most `most`."""

    def __init__(self, most):
        super().__init__(0, most, min_open=True)

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def size_text(size):
    """65536 as "64 KiB"; what is no whole number of a unit keeps the smaller one."""
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size} bytes"


def print_json(value):
    click.echo(json.dumps(value, default=str))
