# SPDX-License-Identifier: BSD-3-Clause
"""What the measured processes share: a capture of any engine, told ready, and one line asked for the next."""

import importlib
import json
import sys

MODULES = {"pcapy-ng": "pcapy", "cypcap": "cypcap", "hugepcap": "hugepcap"}
# What a ring's last block has comes when the block's timeout has passed, and in pcapy-ng not before.
SNAPLEN, TIMEOUT_MS = 65535, 100


def open_capture(engine, device, ring_bytes):
    """hugepcap's policy is HUGEPCAP_POLICY's, or none: see pinned.capture."""
    if engine == "scapy":
        from scapysocket import ScapySocket
        return ScapySocket(device, ring_bytes)
    reader = importlib.import_module(MODULES[engine]).create(device)
    reader.set_snaplen(SNAPLEN)
    reader.set_timeout(TIMEOUT_MS / 1000 if engine == "cypcap" else TIMEOUT_MS)
    reader.set_buffer_size(ring_bytes)
    if reader.activate():    # cypcap's has no result
        sys.exit(f"{engine}: cannot capture on {device}: {getattr(reader, 'activate_error', 'no reason given')}")
    return reader


def descriptor(reader):
    return reader.get_selectable_fd() if hasattr(reader, "get_selectable_fd") else reader.getfd()


def counted(reader):
    """What the engine counted."""
    stats = reader.stats()
    received, dropped = stats[:2] if isinstance(stats, tuple) else (stats.recv, stats.drop)
    return {"received": received, "dropped": dropped}


def say(answer):
    print(json.dumps(answer), flush=True)


def ready(reader, **more):
    """Says which policy and pages the ring has; whoever has no choice has the stock one."""
    ring = getattr(reader, "ring", None)
    say({**more, **({"policy": ring.policy, "page_bytes": ring.user_page_bytes} if ring else {"policy": "stock"})})


def wait_for_line():
    return sys.stdin.readline()
