# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap replay`: sends the packets of a file, at their own pace or another."""

import itertools
import os
import sys

import click

from .. import _ring
from .._generate import Sender
from .._reader import open_offline
from . import common, progress, testlink

BATCH = 1024
RECORD_BYTES, FILE_HEADER_BYTES = 16, 24    # of a pcap file; records of next_batch() have as many
EXAMPLE = """
hugepcap replay trace.pcap -i hp0
hugepcap replay trace.pcapng -i hp0 --topspeed --loop 10
hugepcap replay trace.pcap -i hp0 --multiplier 2
"""


@common.command(example=EXAMPLE,
                codes="0 all sent, 1 an error or packets the device cannot carry, 2 wrong usage, 130 interrupted")
@click.argument("file", type=click.Path(allow_dash=True))
@progress.sender_options
@click.option("--pps", type=progress.PPS, metavar="N", help="Packets per second.")
@click.option("--mbps", type=progress.MBPS, metavar="N", help="Megabits per second.")
@click.option("--multiplier", type=common.Amount(1e9), metavar="N",
              help="Times the pace of the file.  [default: 1]")
@click.option("--topspeed", is_flag=True, help="As fast as it goes.")
@click.option("--loop", default=1, show_default=True, type=click.IntRange(0), metavar="N",
              help="So many times; 0: until Ctrl-C.")
@click.option("--over", type=click.Choice(progress.OVER), default="ring", show_default=True,
              help="A PACKET_TX_RING or sendmmsg(2).")
def replay(file, interface, pps, mbps, multiplier, topspeed, loop, over, yes, as_json):
    """Sends the packets of FILE (pcap or pcapng; - is standard input) on a test link.

    Packets longer than the device's MTU, or shorter than its header, are left out and counted. What the file has
    of a packet is sent.
    """
    progress.at_most_one(pps=pps, mbps=mbps, multiplier=multiplier, topspeed=topspeed)
    testlink.require(interface, yes)
    if file == "-" and loop != 1:
        raise click.UsageError("standard input can be read once: --loop takes a file")
    takes = _ring.datalink_of(interface)
    speed = 0.0 if pps or mbps or topspeed else multiplier or 1.0
    with progress.bar(f"replay on {interface}", total_of(file, loop)) as update, progress.one_cpu(), \
            Sender(interface, ring=over == "ring", rate_pps=pps or 0, rate_bps=progress.bits_of(mbps), speed=speed,
                   progress=lambda packets, size: update(size + RECORD_BYTES * packets, packets, size)) as sender:
        try:
            done = send_all(sender, file, loop, takes)
        except BaseException:
            if sender.sent().packets:
                progress.report(sender.sent(), as_json, refused=sender.refused, over=over)
            raise
    sent, refused = sender.sent(), sender.refused
    progress.report(sent, as_json, refused=refused, over=over)
    if refused:
        raise common.Failure(f"{refused} packets were left out: longer than {interface}'s MTU, or shorter than its "
                             "header; `ip link set mtu` makes it larger")
    sys.exit(common.OK if done else common.INTERRUPTED)


def send_all(sender, file, loop, takes):
    """False where Ctrl-C ended it."""
    try:
        sender.prepare_replay()
        for _ in range(loop) if loop else itertools.count():
            sender.restart()
            if not send_once(sender, file, takes):
                break
        sender.finish()
    except KeyboardInterrupt:
        return False
    return True


def send_once(sender, file, takes):
    """How many packets there were. The device must take them as the file has them."""
    count = 0
    with open_offline(file) as reader:
        has = reader.datalink()
        if has != takes:
            raise common.Failure(f"the packets of {file} have link type {has}, the device takes {takes} "
                                 "(1: Ethernet, 12: bare IP, 113 and 276: captured on `any`)")
        while True:
            packets, records = reader.next_batch(BATCH)
            if not records:
                return count
            sender.replay(packets, records)
            count += len(records) // RECORD_BYTES


def total_of(file, loop):
    """About how many bytes the packets have with their records; None for a pipe, and where there is no end."""
    size = os.path.getsize(file) if loop and os.path.isfile(file) else 0
    return max(size - FILE_HEADER_BYTES, 1) * loop if size else None
