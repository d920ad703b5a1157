# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap generate`: numbered UDP packets with random addresses and ports, as the thesis sends them."""

import sys

import click

from .._generate import Sender
from . import common, pktgen, progress, testlink

OWN_FLOWS = 0xFFFFFFFF
EXAMPLE = """
hugepcap generate -i hp0 -c 1000000
hugepcap generate -i hp0 -c 50000 --pps 10000 --size 60-1514 --flows 64 --seed 7
hugepcap generate -i hp0 -c 1000000 --over pktgen
"""


class Sizes(click.ParamType):
    """Smallest and largest, "700-1500", or one size."""

    name = "size"

    def convert(self, value, param, ctx):
        smallest, _, largest = value.partition("-")
        try:
            return int(smallest), int(largest or smallest)
        except ValueError:
            self.fail(f"{value!r} is none of SIZE and SMALLEST-LARGEST, in bytes", param, ctx)


@common.command(example=EXAMPLE, codes="0 all sent, 1 an error, 2 wrong usage, 130 interrupted")
@progress.sender_options
@click.option("-c", "--count", default=100_000, show_default=True, type=click.IntRange(0, 1 << 47),
              help="Packets to send.")
@click.option("--size", "sizes", type=Sizes(), default="700-1500", show_default=True, metavar="MIN-MAX",
              help="Bytes of a packet, link-layer header included; each size is as likely.")
@click.option("--flows", default=0, type=click.IntRange(0, OWN_FLOWS), metavar="N",
              help="So many different MACs, IP addresses and ports, in turn.  [default: new ones in each packet]")
@click.option("--pps", type=progress.PPS, metavar="N", help="Packets per second.")
@click.option("--mbps", type=progress.MBPS, metavar="N",
              help="Megabits per second.  [default: top speed]")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), help="The same seed gives the same packets.  "
              "[default: 0]")
@click.option("--first-seq", type=click.IntRange(0, 1 << 47), metavar="N",
              help="The first packet's number.  [default: 0]")
@click.option("--vlan", type=click.IntRange(0, 4095), metavar="ID", help="An 802.1Q tag.")
@click.option("--ipv6", is_flag=True, help="IPv6 instead of IPv4.")
@click.option("--over", type=click.Choice([*progress.OVER, "pktgen"]), default="ring", show_default=True,
              help="A PACKET_TX_RING, sendmmsg(2), or the kernel's own pktgen, whose packets carry its own numbers.")
def generate(interface, count, sizes, flows, pps, mbps, seed, first_seq, vlan, ipv6, over, yes, as_json):
    """Sends COUNT numbered UDP packets with random MACs, IP addresses (198.18.0.0/15) and ports on a test link.

    Behind the UDP header: the bytes "HPSEQ" and 0xc7, then the packet's number, 48 bits, big-endian.
    """
    progress.at_most_one(pps=pps, mbps=mbps)
    testlink.require(interface, yes)
    rate_bps = progress.bits_of(mbps)
    if over == "pktgen":
        if seed is not None or first_seq is not None or ipv6:
            raise click.UsageError("--over pktgen has no --seed, --first-seq and --ipv6")
        sent, done = pktgen.generate(interface, count, sizes, flows, pps, rate_bps, vlan)
    else:
        settings = {"sizes": sizes, "seed": seed or 0, "first_seq": first_seq or 0, "flows": flows or OWN_FLOWS,
                    "vlan": vlan, "ipv6": ipv6}
        sent, done = generate_here(interface, count, over == "ring", pps, rate_bps, settings)
    progress.report(sent, as_json, over=over)
    sys.exit(common.OK if done else common.INTERRUPTED)


def generate_here(interface, count, ring, pps, rate_bps, settings):
    """(Sent, whether that is all)."""
    with progress.bar(f"generate on {interface}", count) as update, progress.one_cpu(), \
            Sender(interface, ring=ring, rate_pps=pps or 0, rate_bps=rate_bps,
                   progress=lambda packets, size: update(packets, packets, size)) as sender:
        try:
            return sender.generate(count, **settings), True
        except KeyboardInterrupt:
            return sender.sent(), False
        except ValueError as error:
            raise click.UsageError(str(error)) from None
