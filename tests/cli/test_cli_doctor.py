# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap doctor` and `hugepcap devices`: what they find is so, and what they advise mends it."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess

import pytest

import netns
from command import COMMAND, UNPRIVILEGED, refused, run, run_json
from hugepcap.cli import ethtool

POLICIES = ["hugetlb", "thp", "gfpnoretry", "vzalloc", "gfpretry", "stock"]


def findings(*arguments, **kwargs):
    return {each["what"]: each for each in run_json("doctor", *arguments, **kwargs)["findings"]}


def mend(finding):
    """Does what the finding advises, as root without sudo."""
    for line in finding["mend"]:
        words = shlex.split(line)
        assert words[0] == "sudo"
        subprocess.run(words[1:], check=True, timeout=30)


def test_every_policy_is_tried(link):
    found = findings(link.far, code=None)
    assert [what.split()[1] for what in found if what.startswith("policy")] == POLICIES
    assert found["policy stock"]["verdict"] == "ok" and "4 KiB in the program" in found["policy stock"]["text"]


def test_the_kernel_says_no_as_the_doctor_does(link):
    """What PACKET_HUGE_INFO answers a socket of ours decides whether the policies count as known."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
        try:
            sock.getsockopt(263, 0x4806, 72)
            known = True
        except OSError:
            known = False
    assert ("CONFIG_PACKET_HUGE" not in findings(link.far, code=None)["policy thp"]["text"]) == known


def test_a_device_that_joins_packets_is_mended_as_advised(link):
    if shutil.which("ethtool") is None:
        pytest.skip("needs ethtool")
    ethtool.set_feature(link.far, "rx-gro", True)
    before = findings(link.far, code=3)[f"{link.far}: offloads"]
    assert before["verdict"] == "warn" and before["mend"] == [f"sudo ethtool -K {link.far} rx-gro off"]
    mend(before)
    after = findings(link.far, code=0)
    assert after[f"{link.far}: offloads"]["verdict"] == "ok"
    assert all(each["verdict"] in ("ok", "info") for each in after.values())


def test_features_are_those_of_ethtool(link):
    """Our reading of the kernel's answer against ethtool's own."""
    if shutil.which("ethtool") is None:
        pytest.skip("needs ethtool")
    text = subprocess.run(["ethtool", "-k", link.far], check=True, stdout=subprocess.PIPE, text=True).stdout
    theirs = dict(line.strip().split(": ") for line in text.splitlines()[1:])
    ours = ethtool.features(link.far)
    names = {"rx-gro-list", "rx-udp-gro-forwarding", "rx-gro-hw", "tx-scatter-gather", "tx-nocache-copy"} & set(theirs)
    assert len(names) >= 4
    for name in names:
        on, free = ours[name]
        assert theirs[name] == ("on" if on else "off") + ("" if free else " [fixed]"), name
    assert ours["rx-gro"] == (theirs["generic-receive-offload"] == "on", True)


def test_a_link_that_is_down_is_mended_as_advised(link):
    netns.ip(f"link set {link.far} down")
    down = findings(link.far, code=3)[f"{link.far}: link"]
    assert down["text"] == "down"
    mend(down)
    assert findings(link.far)[f"{link.far}: link"]["verdict"] == "ok"


def test_without_rights(link):
    done = run("doctor", link.far, code=4, prefix=UNPRIVILEGED)
    assert "✗ packet sockets" in done.stdout and "CAP_NET_RAW" in done.stdout
    assert f"sudo {COMMAND} doctor {link.far}\n" in done.stdout
    assert "policy stock" not in done.stdout


def test_root_without_rights(link):
    """sudo would not help."""
    done = run("doctor", link.far, code=4, prefix=["setpriv", "--bounding-set=-net_raw"])
    assert "✗ packet sockets" in done.stdout and "--cap-add NET_RAW" in done.stdout and "sudo" not in done.stdout


def test_without_sysfs(link):
    hidden = ["unshare", "-m", "sh", "-ec", 'mount -t tmpfs none /sys; exec "$@"', "sh"]
    assert "no /sys here" in findings(link.far, code=None, prefix=hidden)["transparent huge pages"]["text"]


def test_a_ring_that_is_too_large(link):
    found = findings(link.far, "--ring", "100G", code=3)["memory"]
    assert found["verdict"] == "warn" and found["text"].endswith("for a ring of 100 GiB: it will be smaller")


def test_all_interfaces_that_are_up(link):
    netns.ip(f"link set {link.near} down")
    subjects = {what.split(":")[0] for what in findings(code=None) if ": " in what}
    assert subjects == {link.far}


@pytest.mark.parametrize("arguments, code, words", [
    (["nosuch0"], 1, "there is no interface 'nosuch0'; there are lo"),
    (["--ring", "much"], 2, "'much' is no size"),
    (["--ring", "100T"], 2, "100T is more than 131070 MiB"),
    (["--nosuch"], 2, "No such option"),
])
def test_wrong_input(network, arguments, code, words):
    assert words in refused("doctor", *arguments, code=code)


def test_a_terminal_without_these_signs(link):
    """Marks that its encoding does not have are no reason to end."""
    done = run("doctor", link.far, code=None, encoding="latin-1", env=dict(os.environ, PYTHONIOENCODING="latin-1"))
    assert done.returncode in (0, 3) and "? packet sockets" in done.stdout


def test_devices(link):
    found = {each["name"]: each for each in run_json("devices")}
    assert found[link.near]["engine"] == "ring" and "up" in found[link.near]["flags"]
    assert "loopback" in found["lo"]["flags"]
    lines = run("devices").stdout.splitlines()
    assert f"{link.far}" in {line.split()[0] for line in lines} and len(lines) == len(found)


def test_devices_takes_no_argument(network):
    assert "unexpected extra argument" in refused("devices", "eth0", code=2)
