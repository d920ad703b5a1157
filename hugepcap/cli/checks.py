# SPDX-License-Identifier: BSD-3-Clause
"""The doctor's findings: facts of hugepcap.probe and ethtool, each judged, with the commands that mend it.

Verdicts: "ok"; "info" where nothing can or need be mended; "warn" where captures work and could be better;
"fail" where they cannot work.
"""

import os
import shlex
import socket
import sys
from itertools import cycle, islice
from typing import NamedTuple

from .. import _ring, probe
from ..errors import PcapError
from . import ethtool, knobs
from .common import size_text

MEASURING = ("gfpnoretry", "vzalloc", "gfpretry")


class Finding(NamedTuple):
    what: str
    verdict: str
    text: str
    mend: tuple = ()


def of_host(ring_bytes):
    """Findings about rights, kernel and memory, for a ring of so many bytes."""
    refusal = probe.may_open_packet_sockets()
    yield rights(refusal)
    trials = [] if refusal else probe.policies()
    patched = any(not trial.unknown for trial in trials if trial.policy != "stock")
    yield from map(policy, trials)
    yield memory(ring_bytes)
    yield from pools(ring_bytes, patched)
    yield thp(patched)
    yield memlock(ring_bytes, patched)
    yield governors()


def rights(refusal):
    if refusal is None:
        return Finding("packet sockets", "ok", "may be opened")
    if os.geteuid() == 0:
        return Finding("packet sockets", "fail", f"refused: {refusal.strerror}; root has no CAP_NET_RAW here: a "
                                                 "container gets it when it is started, by --cap-add NET_RAW")
    return Finding("packet sockets", "fail", f"refused: {refusal.strerror}; they take root or CAP_NET_RAW",
                   (shlex.join(["sudo", *sys.argv]),))


def policy(trial):
    what = f"policy {trial.policy}"
    if trial.works:
        kernel = f", {size_text(trial.kernel_page_bytes)} in the kernel" if trial.kernel_page_bytes else ""
        return Finding(what, "ok", f"a ring of {size_text(probe.TRIAL_BYTES)} has pages of "
                                   f"{size_text(trial.user_page_bytes)} in the program{kernel}")
    if trial.policy == "stock":
        return Finding(what, "fail", trial.reason)
    if trial.unknown:
        return Finding(what, "info", "this kernel has no CONFIG_PACKET_HUGE")
    verdict = "info" if trial.policy in MEASURING else "warn"
    free = sum(pool.free for pool in probe.pools())
    short = trial.policy == "hugetlb" and free * probe.HUGE_BYTES < probe.TRIAL_BYTES
    return Finding(what, verdict, trial.reason, tuple(
        knob.command(knob.wanted) for knob in knobs.pools(probe.TRIAL_BYTES)[:1] if short))


def memory(ring_bytes):
    free = probe.free_memory_bytes()
    fits = ring_bytes <= free * _ring.FREE_MEMORY_SHARE
    text = f"{size_text(free >> 20 << 20)} free for a ring of {size_text(ring_bytes)}"
    if fits:
        return Finding("memory", "ok", text)
    smaller = int(free * _ring.FREE_MEMORY_SHARE) >> 20
    return Finding("memory", "warn", f"{text}: it will be smaller", (f"hugepcap capture --ring {smaller}M ...",))


def pools(ring_bytes, patched):
    """Only kernels with rings in huge pages have a use for the pool."""
    for pool, knob in zip(probe.pools(), knobs.pools(ring_bytes)):
        what, text = f"huge pages, node {pool.node}", f"{pool.free} of {pool.pages} free, 2 MiB each"
        needed = -(-ring_bytes // probe.HUGE_BYTES)
        if pool.free >= needed or not patched:
            yield Finding(what, "ok" if pool.free >= needed else "info", text)
        else:
            yield Finding(what, "warn", f"{text}; a ring of {size_text(ring_bytes)} takes {needed}",
                          (knob.command(knob.wanted),))


def thp(patched):
    mode = probe.thp_mode()
    what = "transparent huge pages"
    if mode is None:
        hidden = not probe.THP.parent.parent.is_dir()
        return Finding(what, "info", "not to be seen: there is no /sys here" if hidden else "not in this kernel")
    if mode != "never" or not patched:
        return Finding(what, "ok" if mode != "never" else "info", mode)
    return Finding(what, "warn", "never: rings of the policy thp get small pages in the program",
                   tuple(knob.command(knob.wanted) for knob in knobs.thp()))


def memlock(ring_bytes, patched):
    what, limit = "memory locked", probe.memlock_bytes()
    if "cap_ipc_lock" in probe.capabilities():
        return Finding(what, "ok", "without limit (CAP_IPC_LOCK)")
    if limit is None or limit >= ring_bytes:
        return Finding(what, "ok", "without limit" if limit is None else f"at most {size_text(limit)}")
    return Finding(what, "warn" if patched else "info",
                   f"at most {size_text(limit)}: no ring of {size_text(ring_bytes)} by the policy hugetlb",
                   (f"ulimit -l {ring_bytes >> 10}",) if patched else ())


def governors():
    found = probe.governors()
    slow = {path: word for path, word in found.items() if word != "performance"}
    if not found:
        return Finding("frequency governor", "info", "none: the kernel does not set these CPUs' frequency")
    if not slow:
        return Finding("frequency governor", "ok", f"performance on all {len(found)} CPUs")
    words = ", ".join(sorted(set(slow.values())))
    return Finding("frequency governor", "warn", f"{words} on {len(slow)} of {len(found)} CPUs: slow to wake up",
                   (f"echo performance | sudo tee {probe.CPUS}/cpu*/cpufreq/scaling_governor",))


# ---- devices ----

def devices_that_are_up():
    return [name for _, name in socket.if_nameindex() if name != "lo" and is_up(name)]


def is_up(device):
    return ethtool.flags(device) & ethtool.IFF_UP != 0


def of_device(device):
    """Findings about one device of this network namespace."""
    yield link(device)
    yield offloads(device)
    yield pause(device)
    yield rx_ring(device)
    yield interrupts(device)


def link(device):
    what = f"{device}: link"
    if not is_up(device):
        return Finding(what, "warn", "down", (f"sudo ip link set {device} up",))
    try:
        kind = _ring.datalink_of(device)
    except PcapError as error:
        return Finding(what, "warn", str(error))
    engine = "a ring captures here" if kind is not None else "libpcap captures here: no ring for this kind of link"
    return Finding(what, "ok" if kind is not None else "info", f"up, driver {ethtool.driver(device) or 'none'}; "
                                                               f"{engine}")


def offloads(device):
    on = [knob for knob in knobs.of_device(device) if isinstance(knob, knobs.Feature) and knob.read() == "on"]
    if on:
        return Finding(f"{device}: offloads", "warn", f"{', '.join(knob.feature for knob in on)}: packets are joined, "
                       "and captured larger than on the wire", tuple(knob.command("off") for knob in on))
    fixed = [name for name in knobs.MERGING if ethtool.features(device).get(name) == (True, False)]
    if fixed:
        return Finding(f"{device}: offloads", "info", f"{', '.join(fixed)}: on, and the driver does not let it go")
    return Finding(f"{device}: offloads", "ok", "packets come as they were on the wire")


def pause(device):
    knob = knobs.Pause(device)
    state = knob.read()
    if state is None:
        return Finding(f"{device}: pause frames", "info", "the driver has none")
    if state == knob.wanted:
        return Finding(f"{device}: pause frames", "ok", "off")
    return Finding(f"{device}: pause frames", "warn", f"{state}: they hide losses by slowing the sender",
                   (knob.command(knob.wanted),))


def rx_ring(device):
    sizes = ethtool.rx_ring(device)
    if sizes is None:
        return Finding(f"{device}: receive ring", "info", "the driver has none")
    now, most = sizes
    if now == most:
        return Finding(f"{device}: receive ring", "ok", f"{now} descriptors, the most there are")
    return Finding(f"{device}: receive ring", "warn", f"{now} descriptors of {most}: bursts are lost in the card",
                   (f"sudo ethtool -G {device} rx {most}",))


def interrupts(device):
    found = probe.interrupts(device)
    what = f"{device}: interrupts"
    if not found:
        return Finding(what, "info", "none to be seen")
    text = ", ".join(f"{number} on CPU {cpus}" for number, cpus in found.items())
    crowded = len(found) > 1 and len(set(found.values())) == 1 and next(iter(found.values())).isdigit()
    if not crowded:
        return Finding(what, "ok", text)
    return Finding(what, "warn", f"{text}: one CPU does all receiving", tuple(
        f"echo {cpu} | sudo tee /proc/irq/{number}/smp_affinity_list"
        for cpu, number in zip(cpus_but(int(next(iter(found.values())))), list(found)[1:])))


def cpus_but(first):
    """Online CPUs, over and over, from the one after `first`."""
    online = probe.online_cpus()
    start = online.index(first) + 1 if first in online else 0
    return islice(cycle(online), start, None)
