# SPDX-License-Identifier: BSD-3-Clause
"""Private networks for tests: namespaces without a name, veth pairs, tun and tap devices.

A namespace belongs to the thread that entered it, and to the threads, processes and sockets that come from
it; the kernel takes it away, with its devices, when the last of them is gone, even after SIGKILL. Nothing but
what a test sends is on its links: no IPv6, no ARP.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from typing import Iterator, NamedTuple

from helpers import wait_until

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
IFF_RUNNING = 0x40
TUNSETIFF = 0x400454CA
TUNSETLINK = 0x400454CD
IFF_TUN, IFF_TAP, IFF_NO_PI = 0x0001, 0x0002, 0x1000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(rc: int, what: str) -> None:
    if rc != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def ip(*commands: str) -> None:
    """Runs `ip` commands, one a line, in the namespace of this thread."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n", text=True, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise RuntimeError(f"ip {commands}: {done.stderr.strip()}")


def sysctl(key: str, value: object) -> None:
    """Sets /proc/sys/net/<key> of this thread's namespace, where the kernel has it."""
    with contextlib.suppress(FileNotFoundError), open(f"/proc/sys/net/{key}", "w") as file:
        file.write(str(value))


@contextlib.contextmanager
def namespace() -> Iterator[None]:
    """Puts this thread into a new network namespace with nothing but a loopback that is up."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.unshare(CLONE_NEWNET), "unshare(CLONE_NEWNET)")
        try:
            for scope in ("all", "default"):
                sysctl(f"ipv6/conf/{scope}/disable_ipv6", 1)
            ip("link set lo up")
            yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "setns")
    finally:
        os.close(home)


def is_running(device: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        answer = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16s16x", device.encode()))
    return bool(struct.unpack_from("H", answer, 16)[0] & IFF_RUNNING)


def set_up(*devices: str) -> None:
    ip(*(f"link set {device} arp off multicast off up" for device in devices))
    for device in devices:
        wait_until(lambda: is_running(device), f"{device} to be running")


class Veth(NamedTuple):
    """Two devices joined back to back: what goes out of `near` comes in at `far`."""

    near: str
    far: str


def veth(near: str = "near", far: str = "far", mtu: int = 1500) -> Veth:
    ip(f"link add {near} mtu {mtu} type veth peer name {far} mtu {mtu}")
    set_up(near, far)
    return Veth(near, far)


class Tunnel:
    """A tun (bare IP) or tap (Ethernet) device; what is written to it comes in at the device."""

    def __init__(self, name: str, kind: int) -> None:
        self.name = name
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), kind | IFF_NO_PI))
        set_up(name)

    def set_kind(self, arphrd: int) -> None:
        """Makes the device one of another ARPHRD_* kind."""
        ip(f"link set {self.name} down")
        fcntl.ioctl(self.fd, TUNSETLINK, arphrd)
        set_up(self.name)

    def write(self, packet: bytes) -> None:
        os.write(self.fd, packet)

    def close(self) -> None:
        os.close(self.fd)

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def tun(name: str = "tun7") -> Tunnel:
    return Tunnel(name, IFF_TUN)


def tap(name: str = "tap7") -> Tunnel:
    return Tunnel(name, IFF_TAP)
