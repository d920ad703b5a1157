# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap devices`: what can be captured on."""

import click

from .. import _pcap, _ring
from . import common

# Source: pcap_findalldevs(3PCAP).
FLAGS = {0x1: "loopback", 0x2: "up", 0x4: "running", 0x8: "wireless"}
EXAMPLE = """
hugepcap devices
hugepcap devices --json | jq -r '.[] | select(.engine == "ring") | .name'
"""


@common.command(example=EXAMPLE)
@common.json_option("A JSON list of objects.")
def devices(as_json):
    """Lists the interfaces that can be captured on, the likeliest first, and who captures there.

    ring: this program's own ring; libpcap: devices of other kinds, through libpcap.
    """
    found = [described(*device) for device in _pcap.devices()]
    if as_json:
        common.print_json(found)
        return
    if not found:
        raise common.Failure("there is no device to capture on; it takes root or CAP_NET_RAW")
    width = max(len(device["name"]) for device in found)
    for device in found:
        words = ", ".join(device["flags"] + ([device["description"]] if device["description"] else []))
        click.echo(f"{device['name']:<{width}}  {device['engine']:<7}  {words}".rstrip())


def described(name, description, flags):
    """One device as --json prints it."""
    engine = "libpcap" if _ring.datalink_of(name) is None else "ring"
    return {"name": name, "engine": engine, "description": description,
            "flags": [word for bit, word in FLAGS.items() if flags & bit]}
