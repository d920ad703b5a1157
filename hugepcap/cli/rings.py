# SPDX-License-Identifier: BSD-3-Clause
"""The readers of one capture: one, or several that share a device's traffic."""

import os

from .. import constants
from .._reader import open_live

WAIT_MS = 100
FANOUT_MODES = {
    "hash": constants.PACKET_FANOUT_HASH, "lb": constants.PACKET_FANOUT_LB, "cpu": constants.PACKET_FANOUT_CPU,
    "rollover": constants.PACKET_FANOUT_ROLLOVER, "rnd": constants.PACKET_FANOUT_RND,
    "qm": constants.PACKET_FANOUT_QM,
}
RING_FACTS = ("policy", "ring_bytes", "block_bytes", "user_page_bytes", "kernel_page_bytes", "numa_node", "refused")
NOTHING = "less 0"


def open_all(stack, interface, snaplen, promiscuous, count, mode, settings):
    """The readers, which `stack` closes. With several, none gets a packet before all share."""
    if count == 1:
        return [stack.enter_context(open_live(interface, snaplen, promiscuous, WAIT_MS, **settings))]
    wanted = settings.pop("filter") or ""
    readers = [stack.enter_context(open_live(interface, snaplen, promiscuous, WAIT_MS, filter=NOTHING, **settings))
               for _ in range(count)]
    for reader in readers:
        reader.set_fanout(os.getpid() & 0xFFFF, FANOUT_MODES[mode])
    for reader in readers:
        reader.setfilter(wanted)
    return readers
