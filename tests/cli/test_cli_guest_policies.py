# SPDX-License-Identifier: BSD-3-Clause
"""In a patched guest: from the generator into a file under every policy, with a host that `tune` has set up and the
doctor finds well, and nothing left behind."""

from __future__ import annotations

import json

import pytest

from command import run, run_json
from helpers import wait_until
from hugepcap import probe
from hugepcap.cli import ethtool
from test_cli_capture import Capturing, sequence
from test_cli_send import reader, test_generate_over_pktgen, test_pktgen_of_others_is_left_alone  # noqa: F401

COUNT = 20_000
POLICIES = ["hugetlb", "thp", "gfpnoretry", "vzalloc", "gfpretry", "stock"]
HUGE = 2 << 20
USER_PAGE = {"hugetlb": HUGE, "thp": HUGE}
KERNEL_PAGE = {"vzalloc": 4096}


def pools():
    return [(pool.node, pool.pages, pool.free) for pool in probe.pools()]


def sysfs():
    """Everything that `tune` may change on this host."""
    files = [probe.THP, *(pool.path for pool in probe.pools()), *probe.governors()]
    return {str(path): path.read_text() for path in files}


@pytest.fixture
def untuned(link):
    """A host with no huge pages to give, whose far end joins packets."""
    probe.THP.write_text("never")
    for pool in probe.pools():
        pool.path.write_text("0")
    ethtool.set_feature(link.far, "rx-gro", True)
    return link


@pytest.fixture
def tuned(untuned, tmp_path):
    state = tmp_path / "tune.json"
    run("tune", untuned.far, "--state", state)
    yield untuned
    run("tune", untuned.far, "--undo", "--state", state)


def verdicts(device, code):
    return {each["what"]: each["verdict"] for each in run_json("doctor", device, code=code)["findings"]}


def test_tune_makes_the_doctor_content_and_undo_restores(untuned, tmp_path):
    before = sysfs(), ethtool.features(untuned.far)
    ill = verdicts(untuned.far, 3)
    assert {what for what, verdict in ill.items() if verdict == "warn"} >= {
        "policy hugetlb", "huge pages, node 0", "huge pages, node 1", "transparent huge pages", "far: offloads"}
    run("tune", untuned.far, "--state", tmp_path / "tune.json")
    well = verdicts(untuned.far, 0)
    assert all(well[f"policy {policy}"] == "ok" for policy in POLICIES)
    assert [pool.free for pool in probe.pools()] == [32, 32]
    run("tune", untuned.far, "--undo", "--state", tmp_path / "tune.json")
    assert (sysfs(), ethtool.features(untuned.far)) == before


@pytest.mark.parametrize("policy", POLICIES)
def test_generate_and_capture(tuned, tmp_path, policy):
    verdicts(tuned.far, 0)
    before = pools()
    path = tmp_path / "out.pcap"
    with Capturing(tuned, "-w", path, "-c", COUNT, "--policy", policy, "--strict", "--ring", "32M",
                   "--json") as capture:
        run("generate", "-i", tuned.near, "-c", COUNT, "--pps", 20_000)
        figures = json.loads(capture.finish()[0])
    assert sequence(path) == list(range(COUNT))
    assert (figures["packets"], figures["received"], figures["dropped"]) == (COUNT, COUNT, 0)
    ring = figures["rings"][0]
    assert ring["policy"] == policy and ring["ring_bytes"] == 32 << 20
    assert ring["user_page_bytes"] == USER_PAGE.get(policy, 4096)
    assert ring["kernel_page_bytes"] == KERNEL_PAGE.get(policy, HUGE)
    wait_until(lambda: pools() == before, f"the pools as before: {before}")


def test_auto_takes_huge_pages_and_says_why_not(untuned):
    with Capturing(untuned, "-w", "/dev/null", "-c", 1, "--json", "--ring", "32M") as capture:
        run("generate", "-i", untuned.near, "-c", 1)
        out, _ = capture.finish()
    ring = json.loads(out)["rings"][0]
    assert ring["policy"] == "thp" and "sysctl vm.nr_hugepages enlarges the pool" in ring["refused"]["hugetlb"]
    assert "hugepcap: warning: the ring on far is of policy thp, not auto" in capture.before


def test_strict_refuses_to_fall_back(untuned):
    done = run("capture", "-i", untuned.far, "--policy", "hugetlb", "--strict", "-c", 1, code=1)
    assert "sysctl vm.nr_hugepages enlarges the pool" in done.stderr
