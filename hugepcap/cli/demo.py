# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap demo`: a veth pair in a namespace of its own, traffic on one end, a capture on the other."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import click

from ..constants import DLT_EN10MB
from . import common, show

SENDER, RECEIVER = "demo0", "demo1"
RING_BYTES = 256 << 20
SHOWN = 5
INSIDE = "HUGEPCAP_DEMO_INSIDE"
EXAMPLE = """
hugepcap demo
hugepcap demo -c 1000000 -w /tmp/demo.pcap
"""
QUIET_S = 1.0


@common.command(example=EXAMPLE, codes="0 every packet was captured, 1 an error or a loss, 2 wrong usage, 130 interrupted")
@click.option("-c", "--count", default=200_000, show_default=True, type=click.IntRange(1, 100_000_000),
              help="Packets to send.")
@click.option("-w", "--write", type=click.Path(dir_okay=False, path_type=Path),
              help="The pcap file; by default one in the temporary directory.")
def demo(count, write):
    """Captures COUNT generated packets in a network namespace of its own and says how that went."""
    if os.environ.get(INSIDE) is None:
        sys.exit(subprocess.call(namespace_command() + sys.argv[1:], env={**os.environ, INSIDE: "1"}))
    make_link()
    run(count, write or Path(tempfile.gettempdir(), f"hugepcap-demo-{os.getpid()}.pcap"))


def namespace_command():
    """This command again, in a new network namespace; as an ordinary user in a user namespace, too."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise common.Failure("the demo needs unshare (Debian: apt-get install util-linux)")
    flags = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    if subprocess.run([unshare, *flags, "true"], capture_output=True).returncode != 0:
        raise common.Failure(
            "a network namespace cannot be made here: run it as root, or allow unprivileged user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, or user.max_user_namespaces above 0)")
    return [unshare, *flags, sys.executable, "-m", "hugepcap.cli"]


def make_link():
    """The veth pair. Without IPv6 the kernel sends nothing of its own over it."""
    if shutil.which("ip") is None:
        raise common.Failure("the demo needs ip (Debian: apt-get install iproute2)")
    commands = [f"link add {SENDER} type veth peer name {RECEIVER}", f"link set {SENDER} up", f"link set {RECEIVER} up"]
    for link in (SENDER, RECEIVER):
        setting = Path("/proc/sys/net/ipv6/conf", link, "disable_ipv6")
        commands.insert(1, f"link set {link} arp off")
        if setting.parent.parent.exists():
            Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    for command in commands:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
        if done.returncode != 0:
            raise common.Failure(f"ip {command}: {done.stderr.strip()}")


def run(count, path):
    """Captures while a thread sends, then reports."""
    import hugepcap
    from hugepcap._generate import generate, sequence_of

    sent = []
    with hugepcap.open_live(RECEIVER, 65535, 1, 100, ring_bytes=RING_BYTES) as reader, \
            reader.dump_open(path) as dumper:
        click.echo(f"{hugepcap.__name__} {hugepcap.__version__}: {reader.ring.block_nr} blocks of "
                   f"{reader.ring.block_bytes >> 10} KiB on {RECEIVER}, engine {reader.engine!r}")
        sender = threading.Thread(target=lambda: sent.append(
            generate(SENDER, count, sizes=(60, 1400), seed=1, flows=64)))
        started = time.perf_counter()
        sender.start()
        captured, missing, first = capture(reader, dumper, count, sequence_of)
        seconds = time.perf_counter() - started
        sender.join()
        received, dropped, _ = reader.stats()
    report(path, sent[0], captured, dropped, seconds, first)
    if captured != count or missing:
        raise common.Failure(f"{count - captured} packets are missing")


def capture(reader, dumper, count, sequence_of):
    """Reads until all are there or the link has been quiet; the count, how many were out of order, the first few."""
    captured = out_of_order = 0
    first = []
    quiet_since = time.monotonic()
    while captured < count and time.monotonic() - quiet_since < QUIET_S:
        header, data = reader.next()
        if header is None:
            continue
        quiet_since = time.monotonic()
        dumper.dump(header, data)
        out_of_order += sequence_of(data) != captured
        captured += 1
        if len(first) < SHOWN:
            first.append((header, data))
    return captured, out_of_order, first


def report(path, sent, captured, dropped, seconds, first):
    click.echo(f"sent      {sent.packets:>9,} packets, {sent.bytes:,} bytes in {sent.seconds:.2f} s")
    click.echo(f"captured  {captured:>9,} packets in {seconds:.2f} s: {captured / seconds:,.0f} packets/s")
    click.echo(f"lost      {sent.packets - captured:>9,} packets ({dropped} dropped by the ring)")
    for header, data in first:
        click.echo("  " + show.line(header, data, DLT_EN10MB))
    click.echo(f"pcap file {path}")
