# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a host that matter to a capture: each can be read, set, and named by the command that sets it."""

import dataclasses
import re
from pathlib import Path

from .. import probe
from . import ethtool

# Each joins packets into larger ones before a capture sees them.
MERGING = ("rx-gro", "rx-gro-hw", "rx-lro", "rx-gro-list", "rx-udp-gro-forwarding")
PAUSE_OFF = "autoneg off rx off tx off"
SETTING = re.compile(r"feature \S+ \S+\n(on|off)|pause \S+\nautoneg (on|off) rx (on|off) tx (on|off)|file /\S+\n.+")


@dataclasses.dataclass(frozen=True)
class File:
    """A file of sysfs or procfs that holds one word, or a choice of words with the one in force in brackets."""

    path: str
    wanted: str
    label: str

    @property
    def key(self):
        return f"file {self.path}"

    def read(self):
        text = probe.text_of(Path(self.path))
        return None if text is None else probe.chosen(text)

    def write(self, value):
        Path(self.path).write_text(value)

    def command(self, value):
        return f"echo {value} | sudo tee {self.path}"


@dataclasses.dataclass(frozen=True)
class Feature:
    """An offload of a device: "on" or "off"; None where the device has it not, or does not let it be changed."""

    device: str
    feature: str
    wanted: str = "off"

    @property
    def key(self):
        return f"feature {self.device} {self.feature}"

    @property
    def label(self):
        return f"{self.feature} of {self.device}"

    def read(self):
        on, free = ethtool.features(self.device).get(self.feature, (False, False))
        return ("on" if on else "off") if free else None

    def write(self, value):
        ethtool.set_feature(self.device, self.feature, value == "on")

    def command(self, value):
        return f"sudo ethtool -K {self.device} {self.feature} {value}"


@dataclasses.dataclass(frozen=True)
class Pause:
    """The pause frames of a device, which let it hold a sender back; as `ethtool -A` writes them."""

    device: str
    wanted: str = PAUSE_OFF

    @property
    def key(self):
        return f"pause {self.device}"

    @property
    def label(self):
        return f"pause frames of {self.device}"

    def read(self):
        state = ethtool.pause(self.device)
        if state is None:
            return None
        return " ".join(f"{name} {'on' if on else 'off'}" for name, on in zip(("autoneg", "rx", "tx"), state))

    def write(self, value):
        ethtool.set_pause(self.device, *(word == "on" for word in value.split()[1::2]))

    def command(self, value):
        return f"sudo ethtool -A {self.device} {value}"


def of_device(device):
    return [Feature(device, feature) for feature in MERGING] + [Pause(device)]


def governors():
    return [File(str(path), "performance", f"governor of {path.parts[-3]}") for path in probe.governors()]


def thp():
    """Transparent huge pages where a program asks for them; "always" is as good."""
    wanted = "always" if probe.thp_mode() == "always" else "madvise"
    return [File(str(probe.THP), wanted, "transparent huge pages")]


def pools(ring_bytes):
    """So many huge pages of each node that a ring of this size fits into those that are free."""
    needed = -(-ring_bytes // probe.HUGE_BYTES)
    return [File(str(pool.path), str(pool.pages + max(needed - pool.free, 0)), f"huge pages of node {pool.node}")
            for pool in probe.pools()]


def is_setting(key, value):
    """Whether from_key() can make a setting of them."""
    return isinstance(value, str) and SETTING.fullmatch(f"{key}\n{value}") is not None


def from_key(key, value):
    """The setting of a key, with `value` wanted."""
    kind, *words = key.split(" ")
    if kind == "feature":
        return Feature(*words, value)
    if kind == "pause":
        return Pause(*words, value)
    return File(words[0], value, words[0])
