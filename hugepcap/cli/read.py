# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap read`: prints a savefile."""

import sys

import click

from .._reader import open_offline
from . import common, show

EXAMPLE = """
hugepcap read trace.pcap
hugepcap read trace.pcapng -c 10 -e -f 'udp port 53'
hugepcap read trace.pcap --json | jq -r .text
"""


def show_options(function):
    """How packets are printed."""
    for option in (
        click.option("-x", "hexdump", is_flag=True, help="Print the bytes of each packet, too."),
        click.option("-e", "link_header", is_flag=True, help="Print MACs and VLAN tags, too."),
    ):
        function = option(function)
    return function


class Printer:
    """A callback that prints packets; a pipe that nobody reads any more ends the command."""

    def __init__(self, linktype, *, link_header=False, hexdump=False, as_json=False, out=None):
        self.linktype, self.link_header, self.hexdump, self.as_json = linktype, link_header, hexdump, as_json
        self.out = out or sys.stdout

    def __call__(self, header, data):
        if self.as_json:
            self.out.write(show.as_json(header, data, self.linktype) + "\n")
            return
        lines = [show.line(header, data, self.linktype, self.link_header)]
        if self.hexdump:
            lines.extend(show.hexdump(data, self.linktype))
        self.out.write("\n".join(lines) + "\n")


@common.command(example=EXAMPLE)
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("-c", "--count", type=click.IntRange(1, (1 << 31) - 1), metavar="N", help="Stop after N packets.")
@click.option("-f", "--filter", "expression", metavar="FILTER", help="Only packets that match, see pcap-filter(7).")
@show_options
@common.json_option("One JSON object a packet.")
def read(file, count, expression, link_header, hexdump, as_json):
    """Prints the packets of FILE (pcap or pcapng, in any precision; - is standard input), one a line.

    Times are local; addresses and ports are numbers.
    """
    with open_offline(file) as reader:
        if expression:
            reader.setfilter(expression)
        printer = Printer(reader.datalink(), link_header=link_header, hexdump=hexdump, as_json=as_json)
        reader.loop(count or -1, printer)
        sys.stdout.flush()
