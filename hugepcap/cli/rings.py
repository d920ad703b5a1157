# SPDX-License-Identifier: BSD-3-Clause
"""The readers of one capture: one, or several that share a device's traffic."""

import os
import socket

from .. import constants
from .._reader import open_live
from ..settings import ring_bytes_each

WAIT_MS = 100
FANOUT_MODES = {
    "hash": constants.PACKET_FANOUT_HASH, "lb": constants.PACKET_FANOUT_LB, "cpu": constants.PACKET_FANOUT_CPU,
    "rollover": constants.PACKET_FANOUT_ROLLOVER, "rnd": constants.PACKET_FANOUT_RND,
    "qm": constants.PACKET_FANOUT_QM,
}
RING_FACTS = ("policy", "ring_bytes", "block_bytes", "user_page_bytes", "kernel_page_bytes", "numa_node", "refused")
SOL_PACKET, PACKET_FANOUT = 263, 18


def open_all(stack, interface, snaplen, promiscuous, count, mode, settings):
    """The readers, which `stack` closes. With several, none gets a packet before all share."""
    if count > 1:
        each = ring_bytes_each(count, settings["ring_bytes"], settings["strict"])
        settings = {**settings, "ring_bytes": each}
    readers = [stack.enter_context(open_live(interface, snaplen, promiscuous, WAIT_MS, held=count > 1, **settings))
               for _ in range(count)]
    if count > 1:
        share(readers, FANOUT_MODES[mode])
    elif constants.DLT_LINUX_SLL2 in readers[0].list_datalinks():
        name_interfaces(readers[0], settings["filter"])
    return readers


def name_interfaces(reader, expression):
    """On `any`, as tcpdump does: each packet says where it was captured. The filter goes with the link type before."""
    reader.set_datalink(constants.DLT_LINUX_SLL2)
    if expression is not None:
        reader.setfilter(expression)


def share(readers, kind):
    """Makes a group of them, which the kernel gives a number of its own."""
    readers[0].set_fanout(0, kind | constants.PACKET_FANOUT_FLAG_UNIQUEID)
    with socket.socket(fileno=os.dup(readers[0].getfd())) as sock:
        group = sock.getsockopt(SOL_PACKET, PACKET_FANOUT) & 0xFFFF
    for reader in readers[1:]:
        reader.set_fanout(group, kind)
    for reader in readers:
        reader.admit()
