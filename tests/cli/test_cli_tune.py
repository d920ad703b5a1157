# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap tune`: what it changes, that --undo leaves everything as it was, and what it says when it cannot.

The offloads are those of a link of the test's own. What belongs to the whole host is files in a mount namespace
of the command's own, laid over /sys at the kernel's paths; the guests' tests do it to the kernel's own.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import netns
from command import UNPRIVILEGED, refused, run
from hugepcap.cli import ethtool

POOL = "hugepages/hugepages-2048kB"
OVER = {"node": "/sys/devices/system/node", "cpu": "/sys/devices/system/cpu",
        "thp": "/sys/kernel/mm/transparent_hugepage"}


class Sysfs:
    """A host of two NUMA nodes and two CPUs that are slow to wake up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for node, (pages, free) in enumerate([(0, 0), (3, 1)]):
            self.write(f"node/node{node}/{POOL}/nr_hugepages", pages)
            self.write(f"node/node{node}/{POOL}/free_hugepages", free)
        for cpu in range(2):
            self.write(f"cpu/cpu{cpu}/cpufreq/scaling_governor", "powersave")
        self.write("cpu/online", "0-1")
        self.write("thp/enabled", "never")

    def write(self, name: str, text: object) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def words(self) -> dict[str, str]:
        return {str(path.relative_to(self.folder)): path.read_text().strip()
                for path in sorted(self.folder.rglob("*")) if path.is_file()}

    def prefix(self, options: str = "bind") -> list[str]:
        """What a command is run under to see this host."""
        mounts = [f"mount --bind {shlex.quote(str(self.folder / name))} {path}" for name, path in OVER.items()]
        mounts += [f"mount -o remount,{options} {path}" for path in OVER.values() if options != "bind"]
        return ["unshare", "-m", "sh", "-ec", "; ".join([*mounts, 'exec "$@"']), "sh"]


@pytest.fixture
def sysfs(root, tmp_path):
    return Sysfs(tmp_path / "sys")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "tune.json"


@pytest.fixture
def joining(link):
    """The far end with offloads that join packets."""
    ethtool.set_feature(link.far, "rx-gro", True)
    ethtool.set_feature(link.far, "rx-udp-gro-forwarding", True)
    return link.far


def tune(sysfs, state, *arguments, **kwargs):
    return run("tune", *arguments, "--state", state, prefix=sysfs.prefix(), **kwargs)


TUNED = {f"node/node0/{POOL}/nr_hugepages": "4", f"node/node1/{POOL}/nr_hugepages": "6",
         "cpu/cpu0/cpufreq/scaling_governor": "performance", "cpu/cpu1/cpufreq/scaling_governor": "performance",
         "thp/enabled": "madvise"}


def test_tune_and_undo(sysfs, state, joining):
    before = sysfs.words(), ethtool.features(joining)
    done = tune(sysfs, state, joining, "--pool", "8M")
    assert {name: word for name, word in sysfs.words().items() if before[0][name] != word} == TUNED
    changed = {name for name, now in ethtool.features(joining).items() if now != before[1][name]}
    assert changed == {"rx-gro", "rx-udp-gro-forwarding"}
    assert len(done.stdout.splitlines()) == len(TUNED) + len(changed)
    undone = tune(sysfs, state, joining, "--undo")
    assert (sysfs.words(), ethtool.features(joining)) == before
    assert len(undone.stdout.splitlines()) == len(TUNED) + len(changed) and not state.exists()


def test_the_lines_are_the_commands(sysfs, state, joining):
    """What --dry-run prints does, when a shell runs it, what tune does."""
    dry = tune(sysfs, state, joining, "--pool", "8M", "--dry-run").stdout
    script = dry.replace("sudo ", "")
    subprocess.run([*sysfs.prefix(), "sh", "-ec", script], check=True, timeout=30, stdout=subprocess.DEVNULL)
    assert tune(sysfs, state, joining, "--pool", "8M").stdout != dry
    assert not ethtool.features(joining)["rx-gro"][0] and sysfs.words()["thp/enabled"] == "madvise"


def test_dry_run_changes_nothing(sysfs, state, joining):
    before = sysfs.words(), ethtool.features(joining)
    lines = tune(sysfs, state, joining, "--pool", "8M", "--dry-run").stdout.splitlines()
    assert (sysfs.words(), ethtool.features(joining)) == before and not state.exists()
    assert lines[0] == f"sudo ethtool -K {joining} rx-gro off    # rx-gro of {joining}: was on"


def test_tuned_twice_is_undone_to_the_first(sysfs, state, joining):
    before = sysfs.words(), ethtool.features(joining)
    tune(sysfs, state, joining, "--pool", "8M")
    tune(sysfs, state, joining, "--pool", "16M")
    assert sysfs.words() != before[0]
    tune(sysfs, state, joining, "--undo")
    assert (sysfs.words(), ethtool.features(joining)) == before


def test_a_pool_larger_than_memory(sysfs, state, joining):
    """Nothing is changed. The second node has 100 MiB to give, and a huge page that is free."""
    sysfs.write("node/node1/meminfo", "\n".join(f"Node 1 {name}: {kib} kB" for name, kib in (
        ("MemFree", 60 << 10), ("Active(file)", 30 << 10), ("Inactive(file)", 10 << 10), ("Dirty", 4 << 20))))
    before = sysfs.words(), ethtool.features(joining)
    for given, words in (("100T", "node 0 has 0 free huge pages, and memory for"),
                         ("77M", "node 1 has 1 free huge pages, and memory for 74 MiB more: ask for at most 76 MiB")):
        for option in ([], ["--dry-run"]):
            done = tune(sysfs, state, joining, "--pool", given, *option, code=1)
            assert words in done.stderr and not done.stdout
    assert (sysfs.words(), ethtool.features(joining)) == before and not state.exists()
    tune(sysfs, state, joining, "--pool", "76M")


def test_a_host_without_huge_pages(sysfs, state, joining):
    """The rest is done."""
    shutil.rmtree(sysfs.folder / "node/node0/hugepages")
    shutil.rmtree(sysfs.folder / "node/node1/hugepages")
    done = tune(sysfs, state, joining, "--pool", "8M", code=1)
    assert "--pool 8 MiB: this kernel has no huge pages of 2 MiB to reserve" in done.stderr
    assert sysfs.words()["thp/enabled"] == "madvise"


def test_nothing_to_change(sysfs, state, joining):
    tune(sysfs, state, joining)
    assert tune(sysfs, state, joining).stdout == "nothing to change\n"


def test_the_host_stays_tuned_until_the_last_interface(sysfs, state, link):
    before = sysfs.words()
    for device in link:
        ethtool.set_feature(device, "rx-gro", True)
        tune(sysfs, state, device)
    tune(sysfs, state, link.near, "--undo")
    assert sysfs.words()["thp/enabled"] == "madvise" and ethtool.features(link.near)["rx-gro"][0]
    tune(sysfs, state, link.far, "--undo")
    assert sysfs.words() == before


def test_an_interface_that_has_gone_is_forgotten_when_undone(sysfs, state, joining):
    before = sysfs.words()
    tune(sysfs, state, joining)
    netns.ip(f"link del {joining}")
    done = tune(sysfs, state, joining, "--undo")
    assert sysfs.words() == before and "has gone" in done.stderr and not state.exists()


IN_A_NAMESPACE = """
ip link add far type veth peer name near && ethtool -K far gro on rx-udp-gro-forwarding on && exec "$@"
"""


def tuned_in_a_namespace_that_has_gone(sysfs, state):
    command = ["unshare", "--net", "sh", "-c", IN_A_NAMESPACE, "sh"]
    run("tune", "far", "--state", state, prefix=[*sysfs.prefix(), *command])
    assert sysfs.words()["thp/enabled"] == "madvise"


def test_the_host_is_restored_though_a_namespace_has_gone(sysfs, state, network):
    """A device of the same name need not be here."""
    before = sysfs.words()
    tuned_in_a_namespace_that_has_gone(sysfs, state)
    kept = state.read_text()
    assert "far has gone with its network namespace" in tune(sysfs, state, "far", "--undo", "--dry-run").stderr
    assert sysfs.words() != before and state.read_text() == kept
    tune(sysfs, state, "far", "--undo")
    assert sysfs.words() == before and not state.exists()


def test_a_namespace_that_has_gone_is_nothing_to_wait_for(sysfs, state, joining):
    before = sysfs.words(), ethtool.features(joining)
    tuned_in_a_namespace_that_has_gone(sysfs, state)
    tune(sysfs, state, joining)
    tune(sysfs, state, joining, "--undo")
    assert (sysfs.words(), ethtool.features(joining)) == before and not state.exists()


def test_a_namespace_that_a_mount_keeps_is_waited_for(sysfs, state, joining, tmp_path):
    """As those of `ip netns` are, without a process in them."""
    name = tmp_path / "ns"
    name.touch()
    prefix = [*sysfs.prefix(), "sh", "-c", IN_A_NAMESPACE, "sh"]
    try:
        run("tune", "far", "--state", state, prefix=["unshare", f"--net={name}", *prefix])
        tune(sysfs, state, joining)
        tune(sysfs, state, joining, "--undo")
        assert sysfs.words()["thp/enabled"] == "madvise" and state.exists()
    finally:
        subprocess.run(["umount", name], check=True, timeout=30)


def test_read_only_sysfs(sysfs, state, joining):
    before = sysfs.words()
    done = run("tune", joining, "--state", state, prefix=sysfs.prefix("ro,bind"), code=1)
    assert sysfs.words() == before
    assert "transparent huge pages cannot be set to madvise: Read-only file system (/sys is mounted" in done.stderr
    assert not ethtool.features(joining)["rx-gro"][0]


def test_without_rights(joining):
    before = ethtool.features(joining)
    state = Path(f"/tmp/hugepcap-tune-{os.getpid()}/tune.json")
    try:
        done = run("tune", joining, "--state", state, prefix=UNPRIVILEGED, code=1)
        assert "rx-gro of far cannot be set to off: Operation not permitted (it takes root: sudo" in done.stderr
        assert "nr_hugepages" not in done.stdout + done.stderr    # whether the kernel has a use for it takes root to know
        assert ethtool.features(joining) == before and not state.exists()
    finally:
        state.parent.rmdir()


def test_a_state_that_cannot_be_written(joining):
    before = ethtool.features(joining)
    done = run("tune", joining, "--state", "/proc/tune.json", code=1)
    assert "/proc/tune.json cannot be written: " in done.stderr and ethtool.features(joining) == before


@pytest.mark.parametrize("arguments, code, words", [
    (["nosuch0"], 1, "there is no interface 'nosuch0'; there are lo"),
    (["nosuch0", "--undo"], 1, "knows of no tune of nosuch0 to undo"),
    ([], 2, "Missing argument 'IFACE'"),
    (["lo", "--pool", "x"], 2, "'x' is no size"),
])
def test_wrong_input(network, state, arguments, code, words):
    assert words in refused("tune", *arguments, "--state", state, code=code)


def test_a_state_that_is_none(network, state):
    for text in ("{", "null", "1", '{"host": 5}', '{"host": {}}', '{"host": {"bogus": "x"}}',
                 '{"host": {"file /nosuch": 1}}', '{"lo@1": {"feature lo": "on"}}', '{"lo@1": {"pause lo": "off"}}',
                 '{"lo@1": {"feature lo": "x on"}}'):
        state.write_text(text)
        for action in ([], ["--undo"]):
            assert f"{state} is no state of `hugepcap tune`" in refused("tune", "lo", "--state", state, *action)
        assert state.read_text() == text
    state.write_text(json.dumps({}))
    assert "knows of no tune of lo" in refused("tune", "lo", "--undo", "--state", state)
