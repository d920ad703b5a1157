# SPDX-License-Identifier: BSD-3-Clause
"""What this host offers for capturing, found by trying it. Nothing here changes the host.

Paths are the kernel's: /sys and /proc as this process sees them.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
import resource
import socket
from pathlib import Path
from typing import NamedTuple, Optional

from . import _ring
from ._reader import open_live
from .errors import PcapError

HUGE_BYTES = 2 << 20
NODES = Path("/sys/devices/system/node")
CPUS = Path("/sys/devices/system/cpu")
THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
POOL = f"hugepages/hugepages-{HUGE_BYTES >> 10}kB"
CAPABILITIES = {"cap_net_admin": 12, "cap_net_raw": 13, "cap_ipc_lock": 14}
TRIAL_BYTES = 4 << 20
AF_PACKET_NONE = 0    # protocol 0: the socket gets no packet


class Pool(NamedTuple):
    """The huge pages of 2 MiB of one NUMA node: reserved, and not in use; `path` is where to reserve more, and
    `available_bytes` what the node could give without pushing out more than cached files."""

    node: int
    pages: int
    free: int
    path: Path
    available_bytes: int


class Trial(NamedTuple):
    """A ring that was tried: what it got, or the reason it was refused."""

    policy: str
    reason: str
    user_page_bytes: Optional[int] = None
    kernel_page_bytes: Optional[int] = None
    unknown: bool = False    # the kernel does not know the policy at all
    forbidden: bool = False    # to try it takes a right that this process does not have

    @property
    def works(self) -> bool:
        return not self.reason


def text_of(path: Path, errors: str = "strict") -> Optional[str]:
    """A file of sysfs or procfs without its end of line; None where it is not there or cannot be read."""
    try:
        return path.read_text(errors=errors).strip()
    except OSError:
        return None


def may_open_packet_sockets() -> Optional[OSError]:
    """None, or why the kernel refuses a packet socket."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, AF_PACKET_NONE).close()
    except OSError as error:
        return error
    return None


def capabilities() -> set[str]:
    """Which of CAPABILITIES this process has in force. Source: proc(5), CapEff."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", text_of(Path("/proc/self/status")) or "", flags=re.M)
    held = int(found.group(1), 16) if found else 0
    return {name for name, bit in CAPABILITIES.items() if held >> bit & 1}


def memlock_bytes() -> Optional[int]:
    """How much memory this process may lock; None: all it likes. Source: getrlimit(2)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if soft == resource.RLIM_INFINITY else soft


def try_policy(policy: str, ring_bytes: int = TRIAL_BYTES) -> Trial:
    """Opens a ring of the policy, on `any`, and closes it."""
    try:
        with open_live("any", 96, False, 10, policy=policy, ring_bytes=ring_bytes, strict=True,
                       filter="less 1") as reader:
            ring = reader.ring
            if ring is None:
                return Trial(policy, "libpcap captures here, not a ring")
            return Trial(policy, "", ring.user_page_bytes, ring.kernel_page_bytes)
    except PcapError as error:
        return Trial(policy, str(error), unknown="CONFIG_PACKET_HUGE" in str(error),
                     forbidden=isinstance(error, PermissionError))


def policies() -> list[Trial]:
    """Every kind of memory a ring can have, tried."""
    return [try_policy(policy) for policy in _ring.POLICIES if policy != "auto"]


def pools() -> list[Pool]:
    """The pool of each NUMA node, in order; empty without huge pages in the kernel."""
    found = []
    for folder in NODES.glob("node[0-9]*"):
        path = folder / POOL / "nr_hugepages"
        pages, free = text_of(path), text_of(folder / POOL / "free_hugepages")
        if pages is not None and free is not None:
            found.append(Pool(int(folder.name[4:]), int(pages), int(free), path, available_bytes_of(folder)))
    return sorted(found)


def available_bytes_of(node: Path) -> int:
    """Of one NUMA node; what the whole host could give where the node does not tell."""
    amounts = dict(re.findall(r"^Node \d+ (\S+): +(\d+) kB$", text_of(node / "meminfo") or "", flags=re.M))
    names = ("MemFree", "Active(file)", "Inactive(file)")
    return sum(int(amounts[name]) << 10 for name in names) if set(names) <= set(amounts) else free_memory_bytes()


def chosen(text: str) -> str:
    """The word in brackets of "always [madvise] never"; the text itself where there is none."""
    found = re.search(r"\[(.+?)\]", text)
    return found.group(1) if found else text


def thp_mode() -> Optional[str]:
    """always, madvise or never; None without transparent huge pages."""
    text = text_of(THP)
    return None if text is None else chosen(text)


def governors() -> dict[Path, str]:
    """The frequency governor of each CPU that has one, by the file that sets it."""
    paths = sorted(CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor"), key=lambda path: int(path.parts[-3][3:]))
    texts = {path: text_of(path) for path in paths}
    return {path: text for path, text in texts.items() if text is not None}


def sysfs_of(device: str) -> Optional[Path]:
    """The device's folder in sysfs; None where sysfs shows another network namespace than this one."""
    folder = Path("/sys/class/net", device)
    try:
        return folder if text_of(folder / "ifindex") == str(socket.if_nametoindex(device)) else None
    except OSError:
        return None


def network_namespaces() -> set[int]:
    """The inode numbers of the network namespaces that there are, as far as this process may see: those of threads,
    of descriptors and of mounts. Source: namespaces(7), proc(5).
    """
    links = itertools.chain(*(glob.iglob(f"/proc/[0-9]*/{where}") for where in ("task/[0-9]*/ns/net", "fd/[0-9]*")))
    found = {link_of(link) for link in links}
    mounts = (text_of(Path(path), errors="replace") or "" for path in glob.iglob("/proc/[0-9]*/mountinfo"))
    found.update(word for text in mounts for word in text.split())
    return {int(word[5:-1]) for word in found if re.fullmatch(r"net:\[\d+\]", word)}


def link_of(path: str) -> str:
    """Where a symbolic link leads; nothing where it has gone or may not be read."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def interrupts(device: str) -> dict[int, str]:
    """The CPUs ("0-3") that each interrupt of a device's receive queues goes to; empty for devices without.

    By name in /proc/interrupts, where a driver puts the device's or (virtio) its bus's name.
    """
    folder = sysfs_of(device)
    if folder is None or not (folder / "device").exists():
        return {}
    names = "|".join(map(re.escape, {device, (folder / "device").resolve().name}))
    pattern = rf"^ *(\d+):.*[ @](?:\S*-)?(?:{names})(?:-\S*?(?:rx|TxRx|input)\S*|)$"
    numbers = re.findall(pattern, text_of(Path("/proc/interrupts")) or "", flags=re.M | re.I)
    affinities = {int(number): text_of(Path("/proc/irq", number, "smp_affinity_list")) for number in numbers}
    return {number: cpus for number, cpus in affinities.items() if cpus is not None}


def online_cpus() -> list[int]:
    """The numbers of the CPUs that are there and on, in order."""
    spans = (span.split("-") for span in (text_of(CPUS / "online") or "0").split(","))
    return [cpu for span in spans for cpu in range(int(span[0]), int(span[-1]) + 1)]


def free_memory_bytes() -> int:
    """What the kernel could give without pushing anything out; 0 where it does not tell."""
    return _ring.free_memory_bytes()
