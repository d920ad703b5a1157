# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap demo`: every packet is captured, in a namespace that is gone afterwards."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from command import refused, run
from helpers.savefile import read_pcap
from hugepcap._generate import sequence_of

COUNT = 2000


def check(said, path):
    assert re.search(rf"^captured +{COUNT:,} packets in", said, flags=re.M)
    assert re.search(r"^lost +0 packets \(0 dropped by the ring\)$", said, flags=re.M)
    assert len(re.findall(r"^  \d\d:\d\d:\d\d\.\d{6} IP 198\.18\.\S+ > 198\.19\.\S+: UDP, length \d+$", said,
                          flags=re.M)) == 5
    assert said.splitlines()[-1] == f"pcap file {path}"
    assert [sequence_of(record.data) for record in read_pcap(path)[1]] == list(range(COUNT))


def test_every_packet_is_captured(root, tmp_path):
    before = socket.if_nameindex()
    path = tmp_path / "demo.pcap"
    check(run("demo", "-c", COUNT, "-w", path).stdout, path)
    assert socket.if_nameindex() == before


def test_without_a_name_the_file_is_a_temporary_one(root, tmp_path):
    said = run("demo", "-c", COUNT, prefix=["env", f"TMPDIR={tmp_path}"]).stdout
    path, = tmp_path.iterdir()
    check(said, path)


# What setpriv starts still has its rights; what env starts has not.
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "env"]


def reachable_python(folder):
    """An interpreter of this version that nobody may run, with what the command imports."""
    for package in ("hugepcap", "click", "rich", "dpkt", "pygments", "markdown_it", "mdurl"):
        found = Path(importlib.util.find_spec(package).origin).parent
        shutil.copytree(found, folder / package, ignore=shutil.ignore_patterns("__pycache__", "*.c", "_csrc"))
    version = "{}.{}".format(*sys.version_info)
    for python in (sys.executable, f"/usr/bin/python{version}"):
        if subprocess.run([*NOBODY, python, "-c", ""], capture_output=True).returncode == 0:
            return [f"PYTHONPATH={folder}", "PYTHONDONTWRITEBYTECODE=1", python]
    pytest.skip(f"no python {version} that an ordinary user may run: apt-get install python{version}")


def test_without_root_it_takes_a_user_namespace(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("of-nobody")
    for above in (folder, *folder.parents[:2]):     # pytest makes them for its own user alone
        above.chmod(0o755)
    os.chown(folder, 65534, 65534)
    path = folder / "demo.pcap"
    command = [*NOBODY, *reachable_python(folder), "-m", "hugepcap.cli", "demo", "-c", str(COUNT), "-w", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    check(done.stdout, path)
    assert os.stat(path).st_uid == 65534


def test_where_there_is_no_network_namespace_left(root):
    """The limit is that of a user namespace around the command."""
    limit = 'echo 0 > /proc/sys/user/max_net_namespaces; exec "$@"'
    prefix = ["unshare", "--user", "--map-root-user", "sh", "-ec", limit, "sh"]
    assert "hugepcap: a network namespace cannot be made here" in refused("demo", prefix=prefix)


@pytest.mark.parametrize("arguments, code, words", [
    (["-w", "/nosuch/demo.pcap"], 1, "hugepcap: dump_open /nosuch/demo.pcap: No such file or directory"),
    (["-w", "/"], 2, "is a directory"),
    (["-c", "0"], 2, "is not in the range"),
    (["-c", "much"], 2, "'much' is not a valid integer"),
])
def test_wrong_input(root, arguments, code, words):
    done = run("demo", *arguments, code=code)
    assert words in done.stderr and "captured" not in done.stdout


def test_without_iproute2(root, tmp_path):
    for name in ("unshare", "true"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    said = run("demo", prefix=["env", f"PATH={tmp_path}"], code=1).stderr
    assert said == "hugepcap: the demo needs ip (Debian: apt-get install iproute2)\n"
    said = run("demo", prefix=["env", "PATH=/nosuch"], code=1).stderr
    assert said == "hugepcap: the demo needs unshare (Debian: apt-get install util-linux)\n"
