# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap capture`: all packets, in order, in files that others can read."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import struct
import subprocess
import threading

import dpkt
import pytest

import hugepcap
import netns
from command import COMMAND, UNPRIVILEGED, Running, argv, refused, run
from helpers import send, wait_until
from helpers.savefile import read_pcap
from hugepcap import _ring
from hugepcap._generate import build_packet, sequence_of
from hugepcap.settings import ring_bytes_each

SIZES = {"sizes": (60, 200)}
RING = ("--ring", "256M")


def rings():
    """How many packet sockets with a protocol there are in this namespace: captures that have begun."""
    with open("/proc/thread-self/net/packet") as lines:
        return sum(line.split()[3] != "0000" for line in lines if not line.startswith("sk"))


class Capturing(Running):
    """A capture that has begun; its figures by finish()."""

    def __init__(self, link, *arguments, ring=RING, **kwargs):
        super().__init__("capture", "-i", link.far, *ring, *arguments, **kwargs)
        self.before = ""
        while not self.before.splitlines()[-1:] or not self.before.splitlines()[-1].startswith("listening on"):
            line = self.process.stderr.readline()
            assert line, f"the capture ended before it began: {self.before}"
            self.before += line

    def wait_for(self, condition, what):
        wait_until(lambda: self.process.poll() is not None or condition(), what)


def counts(summary):
    """(captured, received, dropped) of the lines at the end."""
    return tuple(map(int, re.findall(r"^(\d+) packets? (?:captured|received by filter|dropped by kernel)$", summary,
                                     flags=re.M)))


def sequence(path):
    """The numbers in a file of either format, as our own reader and dpkt read it."""
    with hugepcap.open_offline(path) as reader:
        numbers = [sequence_of(data) for _, data in reader]
    kind = dpkt.pcapng if ".pcapng" in path.name else dpkt.pcap
    with path.open("rb") as file:
        assert [sequence_of(data) for _, data in kind.Reader(file)] == numbers
    return numbers


def is_written(path, size):
    return path.exists() and path.stat().st_size >= size


# ---- into a file ----

MILLION = 1_000_000


def numbers_in(path):
    """The sequence numbers of a file of packets of one size, all at once: record by record takes too long for a
    million. The header's 24 bytes, then records of 16 + 60 bytes, the number in the last 6 of the mark behind
    Ethernet, IPv4 and UDP."""
    raw = memoryview(path.read_bytes())
    assert struct.unpack_from("<IHHiIII", raw)[0] == 0xA1B23C4D and (len(raw) - 24) % 76 == 0
    return [high << 32 | low for high, low in struct.iter_unpack(">64xHI6x", raw[24:])]


def test_a_million_packets_are_all_in_the_file(link, tmp_path):
    """Written while they come; read back by tcpdump and by dpkt."""
    path = tmp_path / "million.pcap"
    with Capturing(link, "-w", path, "-c", MILLION, "--ring", "1G") as capture:
        send(link.near, MILLION)
        _, summary = capture.finish()
    assert counts(summary) == (MILLION, MILLION, 0)
    assert numbers_in(path) == list(range(MILLION))
    counted = subprocess.run(["tcpdump", "--count", "-r", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, check=True, timeout=60)
    assert counted.stdout.strip() == f"{MILLION} packets"
    with path.open("rb") as file:
        assert [sequence_of(data) for _, data in dpkt.pcap.Reader(file)] == list(range(MILLION))


def test_ctrl_c_keeps_what_had_come(link, tmp_path):
    path = tmp_path / "out.pcap"
    with Capturing(link, "-w", path) as capture:
        send(link.near, 50_000, **SIZES)
        _, summary = capture.finish(0, signal.SIGINT)
    assert counts(summary) == (50_000, 50_000, 0) and sequence(path) == list(range(50_000))


def test_ctrl_c_keeps_what_is_in_the_ring(link, tmp_path):
    """Lines take longer than packets: most are still in the ring when the signal comes."""
    lines = tmp_path / "lines"
    with lines.open("w") as out, Capturing(link, stdout=out) as capture:
        send(link.near, 100_000)
        _, summary = capture.finish(0, signal.SIGINT)
    assert counts(summary) == (100_000, 100_000, 0) and len(lines.read_text().splitlines()) == 100_000


def test_a_second_ctrl_c_ends_it_at_once(link):
    with Capturing(link, stdout=subprocess.DEVNULL) as capture:
        send(link.near, 500_000)
        capture.process.send_signal(signal.SIGINT)
        _, summary = capture.finish(0, signal.SIGTERM)
    captured, received, dropped = counts(summary)
    assert captured < received - dropped


@pytest.mark.parametrize("arguments, name", [([], "standard output"), (["-w", "-"], "-")])
def test_a_second_ctrl_c_does_not_wait_for_a_pipe_that_is_stuck(link, arguments, name):
    """Nobody reads from the pipe, and nobody closes it."""
    unread, into = os.pipe()
    with open(unread, "rb") as pipe, open(into, "wb") as stdout, \
            Capturing(link, *arguments, stdout=stdout) as capture:
        send(link.near, 20_000)
        wait_until(lambda: not select.select([], [stdout], [], 0)[1], "a full pipe")
        capture.process.send_signal(signal.SIGINT)
        _, said = capture.finish(1, signal.SIGTERM)
        assert pipe.fileno() >= 0
    assert f"hugepcap: {name} takes no more: ended in the middle of a write" in said and counts(said)[1] == 20_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_do_the_same(link, tmp_path, number):
    path = tmp_path / "out.pcap"
    with Capturing(link, "-w", path, prefix=["env", "--default-signal=HUP"]) as capture:    # these may run under nohup
        send(link.near, 100)
        capture.finish(0, number)
    assert sequence(path) == list(range(100))


def test_nohup_holds(link, tmp_path):
    path = tmp_path / "out.pcap"
    with Capturing(link, "-w", path, prefix=["env", "--ignore-signal=HUP"]) as capture:
        capture.process.send_signal(signal.SIGHUP)
        send(link.near, 100)
        capture.wait_for(lambda: is_written(path, 100 * 60), "packets")
        assert capture.process.poll() is None
        capture.finish(0, signal.SIGTERM)
    assert sequence(path) == list(range(100))


CLOSED = ["sh", "-c", 'exec "$@" >&- 2>&-', "sh"]


def test_without_standard_output_and_error(link, tmp_path):
    """As a daemon has it: what is written goes into the file alone."""
    path = tmp_path / "out.pcap"
    done = run("capture", "-i", link.far, "-w", path, "--seconds", "0.3", prefix=CLOSED)
    assert (done.stdout, done.stderr, path.stat().st_size) == ("", "", 24)
    run("read", path, prefix=CLOSED)
    capture = ["capture", "-i", link.far, "-c", 1, "-w", "-"]
    assert "standard output is closed" in refused(*capture, code=2, prefix=["sh", "-c", 'exec "$@" >&-', "sh"])


def test_a_full_disk_behind_standard_error(link, tmp_path):
    """What cannot be said is no reason to end."""
    path = tmp_path / "out.pcap"
    run("capture", "-i", link.far, "-w", path, "--seconds", "0.3", prefix=["sh", "-c", 'exec "$@" 2>/dev/full', "sh"])
    assert path.stat().st_size == 24


def test_nanoseconds_and_lengths(link, tmp_path):
    path = tmp_path / "out.pcap"
    with Capturing(link, "-w", path, "-s", 64, "-c", 200) as capture:
        send(link.near, 200, sizes=(1000, 1000))
        capture.finish()
    fields, records = read_pcap(path)
    assert fields["magic"] == 0xA1B23C4D and fields["linktype"] == 1
    assert {(len(record.data), record.length) for record in records} == {(64, 1000)}
    assert any(record.fraction % 1000 for record in records)


@pytest.mark.parametrize("name, options", [("out.pcapng", []), ("out", ["--format", "pcapng"])])
def test_pcapng(link, tmp_path, name, options):
    """The same times, lengths and bytes as our reader has them of a pcap file; tshark reads it, too."""
    path = tmp_path / name
    with Capturing(link, "-w", path, "-s", 65, "-c", 300, *options) as capture:
        send(link.near, 300, sizes=(60, 200))
        capture.finish()
    assert path.read_bytes()[:4] == b"\n\r\r\n"
    with hugepcap.open_offline(path) as reader:
        packets = [(header.ts_ns, header.getlen(), data) for header, data in reader]
    wanted = [build_packet(number, sizes=(60, 200)) for number in range(300)]
    assert [(length, data) for _, length, data in packets] == [(len(data), data[:65]) for data in wanted]
    times = [time for time, _, _ in packets]
    assert times == sorted(times) and any(time % 1000 for time in times)
    fields = ["-T", "fields", "-e", "frame.time_epoch", "-e", "frame.len"]
    shown = subprocess.run(["tshark", "-r", path, *fields], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True, check=True, timeout=60).stdout
    assert shown.splitlines() == [f"{time // 10**9}.{time % 10**9:09d}\t{length}" for time, length, _ in packets]


def test_count_seconds_and_filter(link, tmp_path):
    path = tmp_path / "out.pcap"
    with Capturing(link, "-w", path, "-c", 5) as capture:
        send(link.near, 50)
        assert counts(capture.finish()[1])[0] == 5
    assert sequence(path) == [0, 1, 2, 3, 4]
    with Capturing(link, "-w", path, "--seconds", 1) as capture:
        send(link.near, 50)
        captured, received, _ = counts(capture.finish()[1])
    assert captured == received and sequence(path) == list(range(captured))    # a slow sender may miss the end
    with Capturing(link, "-w", path, "-c", 10, "-f", "ip[5] & 1 = 1") as capture:
        send(link.near, 100)
        capture.finish()
    assert sequence(path) == list(range(1, 20, 2))


def test_figures_as_json(link, tmp_path):
    with Capturing(link, "-w", tmp_path / "out.pcap", "-c", 30, "--json") as capture:
        send(link.near, 30, sizes=(100, 100))
        figures = json.loads(capture.finish()[0])
    assert figures.items() >= {"packets": 30, "bytes": 3000, "received": 30, "dropped": 0}.items()


def test_into_a_pipe(link):
    """As into tshark: a whole file on standard output."""
    with Capturing(link, "-w", "-", "-c", 1000, stdout=subprocess.PIPE) as capture:
        reader = subprocess.Popen(["tcpdump", "--count", "-r", "-"], stdin=capture.process.stdout,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        send(link.near, 1000)
        assert reader.communicate(timeout=60)[0].strip() == "1000 packets"
        capture.process.stdout = None
        capture.finish()


def test_live_counters_on_a_terminal_only(link, tmp_path):
    path = tmp_path / "out.pcap"
    words = f"{COMMAND} capture -i {link.far} -w {path} -c 500"
    before = rings()
    terminal = subprocess.Popen(["script", "-qec", words, "/dev/null"], stdout=subprocess.PIPE, text=True,
                                env=dict(os.environ, TERM="xterm"))
    wait_until(lambda: rings() > before, "the capture to begin")
    send(link.near, 500)
    text = terminal.communicate(timeout=60)[0]
    assert terminal.returncode == 0
    for counter in ("packets", "on the wire", "dropped", "full", "Gbit/s", f"{link.far}, ring of 64 MiB, stock"):
        assert counter in text
    with Capturing(link, "-w", path, "-c", 5) as capture:
        send(link.near, 5)
        assert capture.finish()[1].splitlines() == ["5 packets captured", "5 packets received by filter",
                                                    "0 packets dropped by kernel"]


def test_a_device_that_goes_down(link, tmp_path):
    """What came before is in the file, and the error says what happened."""
    path = tmp_path / "out.pcap"
    with Capturing(link, "-w", path) as capture:
        send(link.near, 100)
        netns.ip(f"link set {link.far} down")
        _, said = capture.finish(1)
    assert "far: the device went down" in said and sequence(path) == list(range(100))


# ---- rows of files ----

def row(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", ["pcap", "pcapng"])
def test_rotation_by_size(link, tmp_path, suffix):
    with Capturing(link, "-w", tmp_path / f"r.{suffix}", "--rotate", "100K") as capture:
        send(link.near, 5000, **SIZES)
        capture.finish(0, signal.SIGINT)
    names = row(tmp_path)
    assert names == [f"r.{number:06d}.{suffix}" for number in range(1, len(names) + 1)] and len(names) > 5
    assert sum((sequence(tmp_path / name) for name in names), []) == list(range(5000))
    sizes = [(tmp_path / name).stat().st_size for name in names]
    assert max(sizes) <= 102_400 and min(sizes[:-1]) > 102_400 - 232


def test_rotation_keeps_the_newest(link, tmp_path):
    (tmp_path / "r.000007.pcap").write_bytes(b"of an earlier run")
    with Capturing(link, "-w", tmp_path / "r.pcap", "--rotate", "100K", "--keep", 2) as capture:
        send(link.near, 5000, **SIZES)
        capture.finish(0, signal.SIGINT)
    names = row(tmp_path)
    assert names[0] == "r.000007.pcap" and len(names) == 3
    numbers = sum((sequence(tmp_path / name) for name in names[1:]), [])
    assert numbers == list(range(5000 - len(numbers), 5000))


def test_rotation_by_time(link, tmp_path):
    """A file has its name when it is complete, and then the next one begins."""
    with Capturing(link, "-w", tmp_path / "r.pcap", "--rotate", "1s") as capture:
        send(link.near, 10)
        capture.wait_for(lambda: "r.000001.pcap" in row(tmp_path), "the first file")
        first = sequence(tmp_path / "r.000001.pcap")
        assert first and first == list(range(len(first)))
        capture.wait_for(lambda: row(tmp_path)[-1].endswith(".pcap.part"), "the next file")
        send(link.near, 10, first_seq=10)
        capture.finish(0, signal.SIGINT)
    assert sum((sequence(tmp_path / name) for name in row(tmp_path)), []) == list(range(20))


def test_two_captures_count_in_one_row(link, tmp_path):
    """Each begins its files beside the other's: none is lost, none has packets of both."""
    row_of = ["-w", tmp_path / "r.pcap", "--rotate", "100K"]
    with Capturing(link, *row_of) as one, Capturing(link, *row_of) as other:
        send(link.near, 5000, **SIZES)
        for capture in (one, other):
            assert counts(capture.finish(0, signal.SIGINT)[1]) == (5000, 5000, 0)
    files = [sequence(tmp_path / name) for name in row(tmp_path)]
    assert sorted(sum(files, [])) == sorted([*range(5000), *range(5000)])
    assert all(file == list(range(file[0], file[0] + len(file))) for file in files)


def test_no_empty_files(link, tmp_path):
    with Capturing(link, "-w", tmp_path / "r.pcap", "--rotate", "1s", "--seconds", 1.5) as capture:
        capture.finish()
    assert row(tmp_path) == []


# ---- a full disk ----

def on_a_small_disk(folder):
    """What a command is run under to have /mnt a disk of 1 MiB, whose files then come out as the folder's."""
    script = 'out=$1; shift; mount -t tmpfs -o size=1m none /mnt; "$@"; code=$?; cp -r /mnt/. "$out"; exit $code'
    return ["unshare", "-m", "sh", "-c", script, "sh", str(folder)]


@pytest.mark.parametrize("name, rotation", [("full.pcap", []), ("full.pcapng", []),
                                            ("full.pcap", ["--rotate", "600K"]),
                                            ("full.pcap", ["--fanout", 2, "--fanout-mode", "lb"])])
def test_a_full_disk(link, tmp_path, name, rotation):
    with Capturing(link, "-w", f"/mnt/{name}", *rotation, prefix=on_a_small_disk(tmp_path)) as capture:
        send(link.near, 20_000, **SIZES)
        _, said = capture.finish(1)
    assert re.search(r"^hugepcap: /mnt/full\S*: No space left on device; the disk is full: make room", said, flags=re.M)
    numbers = sum((sequence(tmp_path / name) for name in row(tmp_path)), [])
    assert len(numbers) > 3000 and len(numbers) == counts(said)[0]
    assert "--fanout" in rotation or numbers == list(range(len(numbers)))
    for name in row(tmp_path):
        subprocess.run(["tcpdump", "-r", tmp_path / name], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60)


# ---- as lines ----

def test_lines(link):
    with Capturing(link, "-c", 3) as capture:
        send(link.near, 3)
        lines, summary = capture.finish()
    ends = [f"{socket_end(packet, 26, 34)} > {socket_end(packet, 30, 36)}: UDP, length 18"
            for packet in map(build_packet, range(3))]
    assert [line.split(" IP ")[1] for line in lines.splitlines()] == ends and counts(summary) == (3, 3, 0)


@pytest.mark.parametrize("arguments, numbers", [([], [0, 1, 2]), (["-f", "ip[5] & 1 = 1"], [1, 3, 5])])
def test_lines_of_any_say_where(link, arguments, numbers):
    """In the words of tcpdump: the interface, and that the packet was for another host."""
    with Capturing(link._replace(far="any"), "-c", 3, *arguments) as capture:
        send(link.near, 6)
        lines = capture.finish()[0].splitlines()
    assert [line.split(" ", 1)[1].split(".")[0] for line in lines] == ["far   P   IP 198"] * 3
    wanted = [socket_end(build_packet(number), 26, 34) for number in numbers]
    assert [line.split(" IP ")[1].split(" > ")[0] for line in lines] == wanted


def socket_end(packet, address, port):
    return ".".join(map(str, packet[address:address + 4])) + f".{int.from_bytes(packet[port:port + 2], 'big')}"


def test_lines_of_json(link):
    with Capturing(link, "-c", 20, "--json") as capture:
        send(link.near, 20)
        lines = capture.finish()[0].splitlines()
    assert [sequence_of(bytes.fromhex(json.loads(line)["data"])) for line in lines] == list(range(20))


def test_a_pipe_that_nobody_reads_any_more(link):
    """As with `| head -1`: it ends, and says nothing about it."""
    with Capturing(link) as capture:
        capture.process.stdout.close()
        capture.process.stdout = None
        stop = threading.Event()
        sender = threading.Thread(target=lambda: [send(link.near, 10) for _ in iter(stop.is_set, True)])
        sender.start()
        try:
            said = capture.process.communicate(timeout=60)[1]
        finally:
            stop.set()
            sender.join()
    assert "Traceback" not in said and "Broken pipe" not in said


@pytest.mark.parametrize("arguments, code, words", [
    (["-i", "nosuch0"], 1, "there is no interface 'nosuch0'; there are lo"),
    ([], 2, "Missing option '-i'"),
    (["-i", "lo", "-f", "tcp prot 5"], 1, "compile 'tcp prot 5'"),
    (["-i", "lo", "-c", "0"], 2, "is not in the range"),
    (["-i", "lo", "--rotate", "1G"], 2, "--rotate and --keep are for files"),
    (["-i", "lo", "-w", "x", "--rotate", "1x"], 2, "'1x' is neither a size such as 1G nor a time"),
    (["-i", "lo", "-w", "x", "--keep", "2"], 2, "--keep is for files that --rotate begins"),
    (["-i", "lo", "-w", "/nosuch/x"], 1, "there is no folder /nosuch for /nosuch/x"),
    (["-i", "lo", "-w", "-", "--json"], 2, "-w - is one stream"),
    (["-i", "lo", "--policy", "best"], 2, "'best' is not one of"),
    (["-i", "lo", "--ring", "0"], 2, "'0' is no size"),
    (["-i", "lo", "--ring", "1000T"], 2, "1000T is more than 131070 MiB"),
    (["-i", "lo", "-w", "x", "--rotate", "²s"], 2, "'²s' is neither a size such as 1G nor a time"),
    (["-i", "lo", "-w", "x", "--rotate", "9" * 5000 + "s"], 2, "is neither a size such as 1G nor a time"),
    (["-i", "lo", "-f", "\udcff"], 1, "'\\udcff' cannot be written as utf-8"),
    (["-i", "lo", "--seconds", "nan"], 2, "'nan' is not a number"),
    (["-i", "lo", "--seconds", "inf"], 2, "is not in the range"),
])
def test_wrong_input(network, arguments, code, words):
    assert words in refused("capture", *arguments, code=code)


def test_the_environment_says_what_options_do_not(link):
    """An option counts for more. Kernels without CONFIG_PACKET_HUGE have no policy but stock."""
    environment = ("env", "HUGEPCAP_POLICY=vzalloc", "HUGEPCAP_STRICT=1", "HUGEPCAP_RING=8M")
    assert "CONFIG_PACKET_HUGE" in refused("capture", "-i", link.far, "-c", 1, prefix=environment)
    with Capturing(link, "--no-strict", ring=(), prefix=environment) as capture:
        assert "is of policy stock, not vzalloc" in capture.before and "ring of 8 MiB, stock" in capture.before
    with Capturing(link, "--policy", "stock", "--ring", "4M", ring=(), prefix=environment) as capture:
        assert "ring of 4 MiB, stock" in capture.before and "warning" not in capture.before


def test_without_rights(network):
    assert "try it with sudo" in refused("capture", "-i", "lo", prefix=UNPRIVILEGED)


def test_debug_shows_the_traceback(network):
    done = subprocess.run(argv("capture", "-i", "lo", "-f", "tcp prot 5", "--debug"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "Traceback" in done.stderr and "PcapError" in done.stderr


# ---- several rings ----

@pytest.mark.parametrize("mode", ["hash", "lb"])
def test_fanout(link, tmp_path, mode):
    """Every packet in one file, each file in order; by hash a flow is in one file."""
    with Capturing(link, "-w", tmp_path / "f.pcap", "--fanout", 3, "--fanout-mode", mode, "--ring", "32M",
                   "--json") as capture:
        send(link.near, 30_000, flows=50)
        figures = json.loads(capture.finish(0, signal.SIGINT)[0])
    assert row(tmp_path) == ["f-0.pcap", "f-1.pcap", "f-2.pcap"] and len(figures["rings"]) == 3
    files = [sequence(tmp_path / name) for name in row(tmp_path)]
    assert sorted(sum(files, [])) == list(range(30_000)) and all(file == sorted(file) for file in files)
    assert figures["packets"] == figures["received"] == 30_000
    flows = [{number % 50 for number in file} for file in files]
    assert mode == "lb" or sum(map(len, flows)) == 50
    assert sum(bool(file) for file in files) >= 2


def test_fanout_counts_all_rings_together(link):
    with Capturing(link, "-c", 1000, "--fanout", 2, "--ring", "32M") as capture:
        send(link.near, 1500, flows=50)
        lines, summary = capture.finish()
    assert len(lines.splitlines()) == 1000 and counts(summary)[0] == 1000


def test_fanout_of_rings_that_do_not_all_fit_into_memory(network):
    """Each would, for itself."""
    size = _ring.free_memory_bytes() // 2 >> 20
    said = refused("capture", "-i", "lo", "--fanout", 4, "--ring", f"{size}M", "--strict", "-c", 1)
    assert f"4 rings of {size << 20} bytes do not fit into the memory that is free" in said
    with pytest.warns(RuntimeWarning, match="asking for [0-9]+ bytes each"):
        each = ring_bytes_each(4, size << 20, False)
    assert 0 < each * 4 <= (size << 20) * 2


def test_fanout_with_a_filter(link, tmp_path):
    with Capturing(link, "-w", tmp_path / "f.pcap", "--fanout", 2, "-f", "ip[5] & 1 = 1", "--ring", "32M") as capture:
        send(link.near, 1000, flows=50)
        capture.finish(0, signal.SIGINT)
    assert sorted(sum((sequence(tmp_path / name) for name in row(tmp_path)), [])) == list(range(1, 1000, 2))
