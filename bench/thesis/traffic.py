# SPDX-License-Identifier: BSD-3-Clause
"""The link of a run and the packets on it: the generator's, the same in every run, or a trace's."""
from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import Iterator, NamedTuple

import netns
from hugepcap._generate import generate

from .programs import program

SIZES = (700, 1500)    # of the thesis
FLOWS = 0xFFFFFFFF     # each packet its own MACs, addresses and ports


class Link(NamedTuple):
    """What is sent on `sends` is captured on `captures`."""

    sends: str
    captures: str


class Traffic(NamedTuple):
    packets: int
    seed: int = 1
    trace: str | None = None


@contextlib.contextmanager
def open_link(interface: str | None) -> Iterator[Link]:
    """"SENDS:CAPTURES" as given, or a veth pair in a network namespace of this thread's own."""
    if interface:
        sends, _, captures = interface.partition(":")
        yield Link(sends, captures or sends)
        return
    with netns.namespace():
        pair = netns.veth()
        yield Link(pair.near, pair.far)


def send(link: Link, traffic: Traffic) -> tuple[int, float]:
    """Sends it all at top speed: (packets, seconds)."""
    if traffic.trace:
        done = subprocess.run([sys.executable, "-m", "hugepcap.cli", "replay", "-i", link.sends, "--topspeed", "--json",
                               traffic.trace], check=True, capture_output=True, text=True, timeout=600)
        sent = json.loads(done.stdout)
        return sent["packets"], sent["seconds"]
    sent = generate(link.sends, traffic.packets, sizes=SIZES, seed=traffic.seed, flows=FLOWS, ring=True)
    return sent.packets, sent.seconds


def expected(traffic: Traffic) -> dict | None:
    """{packets, bytes, hash} of the generator's packets; None for a trace."""
    if traffic.trace:
        return None
    done = subprocess.run([program("expect"), *map(str, (traffic.packets, traffic.seed, *SIZES, FLOWS))], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)
