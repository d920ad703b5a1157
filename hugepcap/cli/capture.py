# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap capture`: from rings into files, or onto the terminal."""

import contextlib
import os
import re
import signal
import sys
from pathlib import Path

import click

from .. import _pcap, _ring
from . import CLOSED, common, outputs, rings, savefile
from .lanes import Budget, Capture, Lane
from .meter import meter
from .read import show_options

LOOK_S = 0.25
EXAMPLE = """
sudo hugepcap capture -i eth0 -c 10 -f 'udp port 53'
sudo hugepcap capture -i eth0 -w trace.pcap --seconds 60 --ring 256M
sudo hugepcap capture -i eth0 -w trace.pcap --rotate 1G --keep 10
sudo hugepcap capture -i eth0 -w trace.pcap --fanout 4
sudo hugepcap capture -i eth0 -w - | tshark -r -
"""


class Rotation(click.ParamType):
    """A size ("1G") or a time ("60s", "5m", "1h"): {limit_bytes} or {limit_s}."""

    name = "rotation"
    seconds = {"s": 1, "m": 60, "h": 3600}

    def convert(self, value, param, ctx):
        number, unit = value[:-1], value[-1:]
        if unit in self.seconds and re.fullmatch("0*[1-9][0-9]{0,8}", number):
            return {"limit_s": int(number) * self.seconds[unit]}
        try:
            return {"limit_bytes": _ring.parse_size(value)}
        except ValueError:
            self.fail(f"{value!r} is neither a size such as 1G nor a time such as 60s, 5m, 1h", param, ctx)


@common.command(example=EXAMPLE, codes="0 done, also after Ctrl-C, 1 an error, 2 wrong usage")
@common.interface_option("Where to capture; `any` is all of them.")
@click.option("-c", "--count", type=click.IntRange(1), metavar="N", help="Stop after N packets.")
@click.option("-w", "--write", type=click.Path(allow_dash=True), metavar="FILE",
              help="Write a file with nanoseconds; - is standard output.")
@click.option("--format", "form", type=click.Choice(savefile.FORMATS),
              help="Of the file.  [default: pcapng where FILE ends in .pcapng, else pcap]")
@click.option("-f", "--filter", "expression", metavar="FILTER", help="Only packets that match, see pcap-filter(7).")
@click.option("--seconds", type=common.Amount(1e9), metavar="S", help="Stop after S seconds.")
@click.option("--rotate", type=Rotation(), metavar="SIZE|TIME",
              help="Begin a new file before it is larger than SIZE (1G), or after TIME (60s, 5m, 1h): "
                   "FILE.000001.pcap and so on, each there under its name when it is complete.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Keep the newest N files of this run.")
@click.option("--policy", type=click.Choice(_ring.POLICIES),
              help="Where the ring's memory comes from; auto: hugetlb, thp, stock.  "
                   "[default: $HUGEPCAP_POLICY or auto]")
@click.option("--strict/--no-strict", default=None,
              help="Fail rather than fall back to other memory.  [default: $HUGEPCAP_STRICT]")
@click.option("--ring", type=common.RING_SIZE, metavar="SIZE",
              help="Bytes of the ring.  [default: $HUGEPCAP_RING or 64M]")
@click.option("--fanout", type=click.IntRange(1, 256), default=1, metavar="N",
              help="N rings, each with a thread and with -w a file of its own: FILE-0.pcap, FILE-1.pcap ...")
@click.option("--fanout-mode", type=click.Choice(list(rings.FANOUT_MODES)), default="hash", show_default=True,
              help="How packets are shared out: by flow (hash), in turn (lb), by CPU, by queue (qm) ...")
@click.option("-s", "--snaplen", type=click.IntRange(1, _ring.MAXIMUM_SNAPLEN), default=_ring.MAXIMUM_SNAPLEN,
              metavar="BYTES", help="Bytes to capture of each packet.  [default: all]")
@click.option("-p", "--no-promiscuous", is_flag=True, help="Only what is for this host.")
@show_options
@common.json_option("Without -w one JSON object a packet, with it one of figures at the end.")
def capture(interface, count, write, form, expression, seconds, rotate, keep, policy, strict, ring, fanout,
            fanout_mode, snaplen, no_promiscuous, link_header, hexdump, as_json):
    """Captures packets on IFACE: into a file, or as lines, until Ctrl-C.

    What had come when it ends is kept; a second Ctrl-C ends it at once. On a terminal -w shows live counters;
    elsewhere a line says when it has begun, and others what it got, on standard error.
    """
    check_device(interface)
    check_files(write, rotate, keep, as_json, fanout)
    settings = {"policy": policy, "strict": strict, "ring_bytes": ring, "filter": expression}
    lines = {"link_header": link_header, "hexdump": hexdump, "as_json": as_json}
    with contextlib.ExitStack() as stack:
        readers = rings.open_all(stack, interface, snaplen, not no_promiscuous, fanout, fanout_mode, settings)
        budget = Budget(count)
        targets = outputs.of_readers(readers, write, form, {**rotate, "keep": keep} if rotate else None, lines)
        running = Capture([Lane(reader, stack.enter_context(contextlib.closing(target)), budget)
                           for reader, target in zip(readers, targets)])
        figures = run(running, seconds, title_of(readers, interface), live=write is not None and sys.stderr.isatty())
        if running.is_running():
            leave(figures, write or "standard output")
    report(figures, as_json and write is not None)
    for lane in running.lanes:
        if lane.error is not None:
            raise lane.error


def check_device(name):
    """Failure for one that is neither an interface nor another device of libpcap's."""
    if _ring.datalink_of(name) is None and name not in (device for device, _, _ in _pcap.devices()):
        common.check_interface(name)


def check_files(write, rotate, keep, as_json, fanout):
    """Refuses what does not go together, before anything is opened."""
    if (rotate or keep) and write is None:
        raise click.UsageError("--rotate and --keep are for files: add -w FILE")
    if keep and not rotate:
        raise click.UsageError("--keep is for files that --rotate begins")
    if write == "-":
        if rotate or as_json or fanout > 1:
            raise click.UsageError("-w - is one stream on standard output: no --rotate, no --fanout, no --json")
        if CLOSED in click.get_current_context().find_root().meta:
            raise click.UsageError("standard output is closed: give -w a file, or pipe it somewhere")
        if sys.stdout.isatty():
            raise click.UsageError("standard output is a terminal: give -w a file, or pipe it somewhere")
    elif write is not None and not Path(write).absolute().parent.is_dir():
        raise common.Failure(f"there is no folder {Path(write).absolute().parent} for {write}")


def title_of(readers, interface):
    ring = readers[0].ring
    if ring is None:
        return f"{interface}, by libpcap"
    rings_of = "ring" if len(readers) == 1 else f"{len(readers)} rings"
    return f"{interface}, {rings_of} of {common.size_text(ring.ring_bytes)}, {ring.policy}"


def run(running, seconds, title, live):
    """Until it ends by itself, by time or by a signal; the last figures."""
    def on_signal(*_):
        running.asked_to_stop += 1

    ending = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:    # as nohup has it
        ending.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in ending}
    try:
        if not live:
            common.tell(f"listening on {title}")
        with meter(title, live) as update:
            running.start()
            while running.is_running() and not running.is_stuck():
                if running.asked_to_stop or running.has_ended_early() or running.is_over(seconds):
                    running.stop()
                running.wait(LOOK_S)
                update(running.figures())
        return running.figures()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(figures, output):
    """Ends without what would wait for the output as the lanes do: to flush and to close it."""
    report(figures, as_json=False)
    common.note(f"{output} takes no more: ended in the middle of a write")
    os._exit(common.ERROR)


def report(figures, as_json):
    """What tcpdump says at its end, or one JSON object."""
    if as_json:
        common.print_json(figures)
        return
    for name, words in (("packets", "captured"), ("received", "received by filter"), ("dropped", "dropped by kernel")):
        plural = "" if figures[name] == 1 else "s"
        common.tell(f"{figures[name]} packet{plural} {words}")
