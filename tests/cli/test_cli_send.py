# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap generate` and `hugepcap replay`: what arrives is what was to be sent, and the figures say so."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import hugepcap
import netns
from command import UNPRIVILEGED, Running, refused, run, run_json
from helpers import wait_until
from helpers.savefile import Record, pcapng_bytes, write_pcap
from hugepcap._generate import build_packet, sequence_of

OVER = ["ring", "sendmmsg"]
PKTGEN = Path("/proc/net/pktgen")


@pytest.fixture
def reader(link):
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=256 << 20) as opened:
        yield opened


def read(reader, count):
    seen = []
    reader.loop(count, lambda header, data: seen.append(data))
    return seen


# ---- generate ----

@pytest.mark.parametrize("over", OVER)
def test_generate_as_the_thesis_does(reader, link, over):
    figures = run_json("generate", "-i", link.near, "-c", 20_000, "--over", over)
    packets = read(reader, 20_000)
    assert [sequence_of(packet) for packet in packets] == list(range(20_000))
    sizes = set(map(len, packets))
    assert (min(sizes), max(sizes)) == (700, 1500) and len(sizes) == 801
    for field, least in ((slice(0, 6), 19_000), (slice(6, 12), 19_000), (slice(28, 30), 15_000),
                         (slice(32, 34), 15_000), (slice(34, 36), 15_000), (slice(36, 38), 15_000)):
        assert len({packet[field] for packet in packets}) > least, field
    assert figures["packets"] == 20_000 and figures["bytes"] == sum(map(len, packets)) and figures["over"] == over


def test_generate_what_the_options_say(reader, link):
    run("generate", "-i", link.near, "-c", 300, "--size", "90-200", "--flows", 3, "--seed", 5, "--first-seq", 1000,
        "--vlan", 7, "--ipv6", "--pps", 100_000)
    assert read(reader, 300) == [build_packet(1000 + i, sizes=(90, 200), flows=3, seed=5, vlan=7, ipv6=True)
                                 for i in range(300)]


def test_generate_line(link):
    line = run("generate", "-i", link.near, "-c", 1000, "--size", 100, "--mbps", 10).stdout
    assert line.startswith("sent 1,000 packets, 100,000 bytes in 0.0") and "packets/s" in line


def test_the_slowest_rates_are_no_top_speed(link, tmp_path):
    """Of each, one packet goes at once and the second after hours."""
    file = write_pcap(tmp_path / "two.pcap", RECORDS[:2])
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        for slow in (["generate", "--mbps", "1e-300"], ["replay", file, "--multiplier", "1e-300"]):
            with Running(*slow, "-i", link.near) as sender:
                read(reader, 1)
                assert sender.finish(130, signal.SIGINT)[0].startswith("sent 1 packets"), slow


def test_generate_none(link):
    assert run_json("generate", "-i", link.near, "-c", 0)["packets"] == 0


def test_generate_is_interrupted(reader, link):
    """The count of what was sent until then is exact."""
    with Running("generate", "-i", link.near, "-c", 10**12, "--pps", 1000) as sender:
        read(reader, 10)
        line, _ = sender.finish(130, signal.SIGINT)
    sent = int(line.split()[1].replace(",", ""))
    wait_until(lambda: reader.stats()[0] >= sent, f"{sent} packets")
    assert reader.stats()[0] == sent >= 10


def test_generate_has_a_bar_on_a_terminal(link):
    """Under script(1), which gives it one; a pipe gets none."""
    command = f"{sys.executable[:-len(Path(sys.executable).name)]}hugepcap generate -i {link.near} -c 200 --pps 1000"
    done = subprocess.run(["script", "-qec", command, "/dev/null"], stdout=subprocess.PIPE, text=True, timeout=60,
                          env=dict(os.environ, TERM="xterm"))
    assert done.returncode == 0 and f"generate on {link.near}" in done.stdout and "100%" in done.stdout
    assert "━" not in run("generate", "-i", link.near, "-c", 200).stderr


def test_generate_over_pktgen(reader, link):
    """Where the kernel has it, as the guests'."""
    if not PKTGEN.exists():
        assert "sudo modprobe pktgen" in refused("generate", "-i", link.near, "--over", "pktgen")
        return
    figures = run_json("generate", "-i", link.near, "-c", 3000, "--over", "pktgen")
    packets = read(reader, 3000)
    assert [struct.unpack_from("!I", packet, 46)[0] for packet in packets] == list(range(1, 3001))
    assert all(700 <= len(packet) <= 1500 for packet in packets) and len(set(map(len, packets))) > 500
    assert len({packet[26:38] for packet in packets}) > 2900
    assert figures["packets"] == 3000 == reader.stats()[0]


def test_pktgen_of_others_is_left_alone(link):
    """pktgen starts and takes away all devices together."""
    if not PKTGEN.exists():
        assert "sudo modprobe pktgen" in refused("generate", "-i", link.near, "--over", "pktgen")
        return
    thread = PKTGEN / "kpktgend_0"
    thread.write_text(f"add_device {link.far}\n")
    try:
        assert f"devices already, {link.far} on kpktgend_0" in refused("generate", "-i", link.near, "--over", "pktgen")
        assert f"Stopped: {link.far}" in thread.read_text() and "pkts-sofar: 0" in (PKTGEN / link.far).read_text()
    finally:
        thread.write_text("rem_device_all\n")


@pytest.mark.parametrize("arguments, code, words", [
    (["-i", "nosuch0"], 1, "there is no interface 'nosuch0'"),
    ([], 2, "Missing option '-i'"),
    (["-i", "near", "--size", "5"], 2, "such packets have from 54"),
    (["-i", "near", "--size", "big"], 2, "'big' is none of SIZE and SMALLEST-LARGEST"),
    (["-i", "near", "--size", "9000"], 1, "whose MTU is too small for some (ip link set mtu), after 0 packets, "
     "9000 bytes each at most: Message too long"),
    (["-i", "near", "--pps", "1", "--mbps", "1"], 2, "--pps and --mbps exclude each other"),
    (["-i", "near", "--over", "pktgen", "--seed", "1"], 2, "--over pktgen has no --seed"),
    (["-i", "near", "-c", "-1"], 2, "is not in the range"),
    (["-i", "near", "--pps", 10**24], 2, "is not in the range"),
    (["-i", "near", "--mbps", "nan"], 2, "'nan' is not a number"),
    (["-i", "near", "--mbps", "inf"], 2, "is not in the range"),
    (["-i", "near", "--mbps", "1e300"], 2, "is not in the range"),
    (["-i", "near", "--size", "99999999999999999999"], 2, "such packets have from 54"),
])
def test_generate_wrong_input(link, arguments, code, words):
    assert words in refused("generate", *arguments, code=code)


@pytest.mark.parametrize("over", OVER)
def test_a_peer_that_is_down(link, tmp_path, over):
    netns.ip(f"link set {link.far} down")
    file = write_pcap(tmp_path / "trace.pcap", RECORDS[:3])
    for command in (["generate"], ["replay", file, "--topspeed"]):
        assert "on near, after 0 packets: it has no carrier; set its other end up (ip link set PEER up)" in \
            run(*command, "-i", link.near, "--over", over, code=1).stderr


def test_generate_without_rights(link):
    assert "CAP_NET_RAW" in refused("generate", "-i", link.near, prefix=UNPRIVILEGED)


# ---- where it sends ----

@pytest.mark.parametrize("change, reason", [
    (["address add 198.51.100.1/24 dev near"], "near has the address 198.51.100.1"),
    (["address add 198.51.100.1/24 dev far"], "far has the address 198.51.100.1"),
    (["link add br7 type bridge", "link set far master br7"], "far belongs to br7"),
    (["link add link far mv7 type macvlan mode passthru"], "mv7 is on top of far"),
    (["link add link near mv7 type macvlan"], "mv7 is on top of near"),
])
def test_no_test_link(link, change, reason):
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        netns.ip(*change)
        for command in (["generate"], ["replay", "/dev/null"]):
            assert f"near is no test link: {reason}" in refused(*command, "-i", link.near)
        assert reader.stats()[0] == 0
        assert run_json("generate", "-i", link.near, "-c", 5, "--yes-send-here")["packets"] == 5
        assert len(read(reader, 5)) == 5


def test_a_link_that_tc_looks_at_is_no_test_link(link):
    subprocess.run(["tc", "qdisc", "add", "dev", link.far, "clsact"], check=True, timeout=30)
    assert "near is no test link: far has the tc qdisc clsact" in refused("generate", "-i", link.near)


def test_other_devices_are_no_test_links(network):
    assert "lo is no test link: it is no virtual device, not veth" in refused("generate", "-i", "lo")
    with netns.tap() as tap:
        assert f"{tap.name} is no test link: it is tun, not veth" in refused("generate", "-i", tap.name)


def test_a_link_into_another_namespace_is_no_test_link(link):
    child = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        home = os.stat("/proc/thread-self/ns/net").st_ino
        wait_until(lambda: os.stat(f"/proc/{child.pid}/ns/net").st_ino != home, "a namespace")
        netns.ip(f"link set {link.far} netns {child.pid}")
        assert "its other end is in another network namespace" in refused("generate", "-i", link.near)
    finally:
        child.communicate()


# ---- replay ----

START = 1_700_000_000
PACKETS = [build_packet(i, sizes=(60, 1514)) for i in range(2000)]
RECORDS = [Record(packet, START, i * 100) for i, packet in enumerate(PACKETS)]    # 0.2 s of traffic


@pytest.fixture
def file(tmp_path):
    return write_pcap(tmp_path / "trace.pcap", RECORDS)


@pytest.mark.parametrize("pace", [[], ["--topspeed"], ["--pps", 20_000], ["--mbps", 100], ["--multiplier", 2.5]])
def test_replay(reader, link, file, pace):
    figures = run_json("replay", file, "-i", link.near, *pace)
    assert read(reader, 2000) == PACKETS
    assert figures["packets"] == 2000 and figures["bytes"] == sum(map(len, PACKETS)) and figures["refused"] == 0
    least = {"--topspeed": 0, "--pps": 1999 / 20_000, "--mbps": (figures["bytes"] - 1514) * 8 / 100e6,
             "--multiplier": 0.1999 / 2.5}.get(pace[0] if pace else "", 0.1999)
    assert figures["seconds"] >= least


def test_replay_in_a_loop(reader, link, file):
    figures = run_json("replay", file, "-i", link.near, "--topspeed", "--loop", 3, "--over", "sendmmsg")
    assert figures["packets"] == 6000 and read(reader, 6000) == PACKETS * 3


def test_replay_in_a_loop_without_end(reader, link, file):
    with Running("replay", file, "-i", link.near, "--topspeed", "--loop", 0) as sender:
        assert read(reader, 6000) == PACKETS * 3
        assert sender.finish(130, signal.SIGINT)[0].startswith("sent ")


def test_replay_a_file_without_packets(link, tmp_path):
    file = write_pcap(tmp_path / "empty.pcap", [])
    assert run_json("replay", file, "-i", link.near, "--loop", 0)["packets"] == 0


def test_replay_each_pass_at_its_own_pace(link, file):
    assert run_json("replay", file, "-i", link.near, "--loop", 2)["seconds"] >= 2 * 0.1999


def test_replay_pcapng_from_standard_input(reader, link):
    data = pcapng_bytes(RECORDS)
    done = subprocess.run([sys.executable, "-m", "hugepcap.cli", "replay", "-", "-i", link.near, "--topspeed"],
                          input=data, stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(b"sent 2,000 packets")
    assert read(reader, 2000) == PACKETS


def test_replay_of_packets_that_do_not_fit(reader, link, tmp_path):
    packets = [build_packet(0), build_packet(1, sizes=(2000, 2000)), build_packet(2)]
    file = write_pcap(tmp_path / "long.pcap", [Record(packet, START, 0) for packet in packets])
    done = run("replay", file, "-i", link.near, code=1)
    assert "1 packets were left out: longer than near's MTU" in done.stderr
    assert done.stdout.startswith("sent 2 packets") and read(reader, 2) == [packets[0], packets[2]]


def test_replay_is_interrupted(link, tmp_path):
    slow = [Record(packet, START + i, 0) for i, packet in enumerate(PACKETS[:100])]
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader, \
            Running("replay", write_pcap(tmp_path / "slow.pcap", slow), "-i", link.near) as sender:
        read(reader, 1)
        assert sender.finish(130, signal.SIGINT)[0].startswith("sent ")


def test_a_file_that_breaks_off(link, tmp_path, file):
    broken = tmp_path / "broken.pcap"
    broken.write_bytes(Path(file).read_bytes()[:-5])
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        done = run("replay", broken, "-i", link.near, "--topspeed", code=1)
        assert "truncated" in done.stderr
        sent = int(done.stdout.removeprefix("sent ").split()[0].replace(",", ""))
        assert read(reader, sent) == PACKETS[:sent] and reader.stats()[0] == sent > 0


@pytest.mark.parametrize("arguments, code, words", [
    (["/nosuch/file"], 1, "/nosuch/file: No such file or directory"),
    (["/etc/passwd"], 1, "unknown file format"),
    (["-", "--loop", "2"], 2, "standard input can be read once"),
    (["-", "--loop", "0"], 2, "standard input can be read once"),
    (["x", "--topspeed", "--multiplier", "2"], 2, "--multiplier and --topspeed exclude each other"),
    (["x", "--multiplier", "0"], 2, "is not in the range"),
    (["x", "--multiplier", "nan"], 2, "'nan' is not a number"),
    (["x", "--mbps", "nan"], 2, "'nan' is not a number"),
    (["x", "--pps", 10**20 - 1], 2, "is not in the range"),
    ([], 2, "Missing argument 'FILE'"),
])
def test_replay_wrong_input(link, arguments, code, words):
    assert words in refused("replay", *arguments, "-i", link.near, code=code)


def test_replay_of_another_link_type(link, tmp_path):
    file = write_pcap(tmp_path / "raw.pcap", RECORDS[:1], linktype=101)
    for given in (file, "-"):
        with open(file) as stdin:
            said = refused("replay", given, "-i", link.near, stdin=stdin)
        assert f"the packets of {given} have link type 12, the device takes 1" in said
