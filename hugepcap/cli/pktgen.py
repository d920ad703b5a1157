# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's packet generator, set up as the thesis does. Source: Documentation/networking/pktgen.rst."""

import re
import threading
import time
from pathlib import Path

from .._generate import Sent
from . import common, progress

FOLDER = Path("/proc/thread-self/net/pktgen")
THREAD = "kpktgend_0"
POLL_S = 0.05
RANDOM = ("IPSRC_RND", "IPDST_RND", "UDPSRC_RND", "UDPDST_RND", "MACSRC_RND", "MACDST_RND", "TXSIZE_RND")
MACS = 1 << 16


def generate(interface, count, sizes, flows, pps, rate_bps, vlan):
    """(Sent, whether that is all) of a run of pktgen."""
    folder = FOLDER.resolve()    # of this thread's namespace, for the other one too
    if not folder.exists():
        raise common.Failure("there is no /proc/net/pktgen: sudo modprobe pktgen (a kernel with CONFIG_NET_PKTGEN)")
    if not count:
        return Sent(0, 0, 0.0), True
    check_idle(folder)
    write(folder / THREAD, f"add_device {interface}")
    try:
        for line in settings(count, sizes, flows, pps, rate_bps, vlan):
            write(folder / interface, line)
        return run(folder, interface, count)
    finally:
        write(folder / THREAD, "rem_device_all")


def check_idle(folder):
    """pktgen starts all of its devices together, and takes them away by the thread: others' are not to be touched."""
    for thread in folder.glob("kpktgend_*"):
        devices = re.findall(r"^(?:Running|Stopped):[ ]*(.*\S)", thread.read_text(), flags=re.M)
        if devices:
            raise common.Failure(f"pktgen has devices already, {' '.join(devices)} on {thread.name}: if they are nobody's, "
                                 f"echo rem_device_all | sudo tee /proc/net/pktgen/{thread.name}")


def settings(count, sizes, flows, pps, rate_bps, vlan):
    smallest, largest = sizes
    yield from (f"count {count}", "clone_skb 0", "delay 0", f"min_pkt_size {smallest}", f"max_pkt_size {largest}")
    yield from (f"flag {flag}" for flag in RANDOM)
    yield from ("src_min 198.18.0.1", "src_max 198.18.255.254", "dst_min 198.19.0.1", "dst_max 198.19.255.254",
                "udp_src_min 1024", "udp_src_max 65535", "udp_dst_min 1024", "udp_dst_max 65535",
                "src_mac 02:00:00:00:00:00", "dst_mac 02:00:00:00:00:01",
                f"src_mac_count {MACS}", f"dst_mac_count {MACS}")
    if flows:
        yield from (f"flows {flows}", "flowlen 1")
    if pps:
        yield f"ratep {pps}"
    if rate_bps:
        yield f"rate {max(round(rate_bps / 1e6), 1)}"
    if vlan is not None:
        yield f"vlan_id {vlan}"


def write(path, line):
    try:
        path.write_text(line + "\n")
    except OSError as error:
        raise common.Failure(f"pktgen refuses {line!r} ({path.name}): {error.strerror}") from None


def run(folder, interface, count):
    """`start` does not return before the last packet is out, so it has a thread of its own."""
    refusals = []
    runner = threading.Thread(target=start, args=(folder / "pgctrl", refusals), daemon=True)
    started, done = time.monotonic(), True
    with progress.bar(f"pktgen on {interface}", count) as update:
        runner.start()
        while runner.is_alive():
            try:
                runner.join(POLL_S)
                update(*so_far(folder / interface)[:1] * 2, 0)
            except KeyboardInterrupt:
                done = False
                write(folder / "pgctrl", "stop")
    if refusals:
        raise refusals[0]
    packets, failed, text = so_far(folder / interface)
    if done and (packets != count or failed):
        raise common.Failure(f"pktgen sent {packets} of {count} packets, {failed} failed: {text}")
    return Sent(packets, bytes_of(text), time.monotonic() - started), done


def start(control, refusals):
    try:
        write(control, "start")
    except common.Failure as refusal:
        refusals.append(refusal)


def so_far(path):
    """(packets, failed ones, all of what pktgen says)."""
    try:
        text = path.read_text()
    except OSError as error:    # the device has gone
        raise common.Failure(f"pktgen on {path.name}: {error.strerror}; is the device still there?") from None
    found = re.search(r"pkts-sofar: (\d+)\s+errors: (\d+)", text)
    return (int(found.group(1)), int(found.group(2)), text) if found else (0, 0, text)


def bytes_of(text):
    """pktgen tells the bytes only as a rate of bits over its own time in microseconds."""
    found = re.search(r"Result: OK: (\d+)\(.*?(\d+)bps", text, flags=re.S)
    return round(int(found.group(1)) * int(found.group(2)) / 8e6) if found else 0
