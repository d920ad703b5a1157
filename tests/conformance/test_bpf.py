# SPDX-License-Identifier: BSD-3-Clause
"""compile(), BPFProgram and setfilter() on files."""

import pytest

from differences import differ
from helpers.packets import CORPUS
from outcomes import collect, outcome

IP_PROGRAM = [(40, 0, 0, 12), (21, 0, 1, 2048), (6, 0, 0, 65536), (6, 0, 0, 0)]
RAW_PROGRAM = [(48, 0, 0, 0), (84, 0, 0, 240), (21, 0, 1, 64), (6, 0, 0, 65536), (6, 0, 0, 0)]

CASES = {
    "program": (lambda lib: lib.BPFProgram("ip").get_bpf(), IP_PROGRAM),
    "program for a link type": (lambda lib: lib.BPFProgram("ip", 12).get_bpf(), RAW_PROGRAM),
    "program that does not parse": (lambda lib: lib.BPFProgram("bogus bogus"), "BPFError"),
    "program for no link type": (lambda lib: lib.BPFProgram("ip", 99999), "BPFError"),
    "program of None": (lambda lib: lib.BPFProgram(None), "TypeError"),
    "program of nothing": (lambda lib: lib.BPFProgram(), "TypeError"),
    "program by keyword": (lambda lib: lib.BPFProgram(filter="ip"), "TypeError"),
    "program for a str": (lambda lib: lib.BPFProgram("ip", "x"), "TypeError"),
    "program with NUL": (lambda lib: lib.BPFProgram("ip\0"), "ValueError"),
    "filter a str": (lambda lib: lib.BPFProgram("ip").filter("x"), "TypeError"),
    "filter nothing": (lambda lib: lib.BPFProgram("ip").filter(), "TypeError"),
    "compile": (lambda lib: lib.compile(1, 65536, "ip", 1, 0).get_bpf(), IP_PROGRAM),
    "compile cuts at snaplen": (lambda lib: lib.compile(1, 96, "ip", 1, 0).get_bpf()[2], (6, 0, 0, 96)),
    "compile optimizes": (lambda lib: len(lib.compile(1, 96, "udp port 53", 1, 0).get_bpf()), 20),
    "compile without optimizing": (lambda lib: len(lib.compile(1, 96, "udp port 53", 0, 0).get_bpf()), 22),
    "compile with a negative mask": (lambda lib: lib.compile(1, 65536, "ip", 1, -1).get_bpf(), IP_PROGRAM),
    "compile with a mask over 32 bits": (lambda lib: lib.compile(1, 65536, "ip", 1, 2**32 + 5).get_bpf(), IP_PROGRAM),
    "compile with a negative snaplen": (lambda lib: lib.compile(1, -1, "ip", 1, 0).get_bpf()[2], (6, 0, 0, 2**32 - 1)),
    "compile of None": (lambda lib: lib.compile(1, 96, None, 1, 0), "TypeError"),
    "compile of four": (lambda lib: lib.compile(1, 96, "ip", 1), "TypeError"),
    "compile by keyword": (
        lambda lib: lib.compile(linktype=1, snaplen=96, filter="ip", optimize=1, netmask=0), "TypeError"),
    "compile for 2^31": (lambda lib: lib.compile(2**31, 96, "ip", 1, 0), "OverflowError"),
}


@pytest.mark.parametrize("name", CASES)
def test_case(lib, name):
    call, expected = CASES[name]
    assert outcome(lib, lambda: call(lib)) == expected


# pcapy-ng reads the reason from a handle that it has freed: its message may be anything.
@pytest.mark.parametrize("text", ["bogus bogus", "wlan type mgt", "ip and (", "host 1.2.3.4.5"])
def test_compile_refuses(lib, text):
    assert outcome(lib, lambda: lib.compile(1, 96, text, 1, 0)) == "PcapError"


def test_bad_program_says_why(lib):
    with pytest.raises(lib.BPFError) as caught:
        lib.BPFProgram("bogus bogus")
    assert ("syntax error" in str(caught.value)) == differ(lib, "reasons of BPFProgram", False, True)


def test_keywords_of_a_program(lib):
    programs = [outcome(lib, lambda: lib.BPFProgram("ip", **keyword).get_bpf()) for keyword in (
        {"linktype": 12}, {"foo": 1})]
    assert programs == differ(lib, "keywords of BPFProgram", [IP_PROGRAM, IP_PROGRAM], [RAW_PROGRAM, "TypeError"])


def test_order_of_instructions(lib):
    code = lib.compile(1, 96, "tcp", 1, 0).get_bpf()
    first = next(k for _, jt, jf, k in code if jt or jf)
    assert first == differ(lib, "order of instructions", 0x86DD, 0x0800)
    assert sorted(k for *_, k in code) == [0, 6, 6, 6, 12, 20, 23, 44, 54, 96, 0x0800, 0x86DD]


@pytest.mark.parametrize("text", ["", "ip", "udp port 53", "tcp[tcpflags] & tcp-syn != 0", "vlan 42 and udp", "ip6",
                                  "greater 60", "net 203.0.113.0/24", "vlan and vlan and udp", "icmp or arp"])
def test_program_on_the_corpus(text):
    import hugepcap
    import pcapy

    theirs, ours = pcapy.BPFProgram(text), hugepcap.BPFProgram(text)
    accepted = [ours.filter(packet) for packet in CORPUS.values()]
    assert accepted == [theirs.filter(packet) for packet in CORPUS.values()]
    assert any(accepted) and (text == "" or not all(accepted))


@pytest.mark.parametrize("buffer", [bytearray, lambda data: memoryview(bytearray(data))])
def test_program_takes_buffers(lib, buffer):
    accepted = outcome(lib, lambda: lib.BPFProgram("udp").filter(buffer(CORPUS["udp"])))
    assert accepted == differ(lib, "buffers", "TypeError", 65536)


def test_program_can_be_subclassed(lib):
    made = outcome(lib, lambda: type("Special", (lib.BPFProgram,), {})("ip").filter(CORPUS["udp"]))
    assert made == differ(lib, "subclasses of BPFProgram", "TypeError", 65536)


@pytest.mark.parametrize("text, expected", [
    ("udp port 53", ["dns query", "dns answer", "dns of the watched", "ip options"]),
    ("vlan 42 and udp", ["vlan", "vlan dns", "vlan cut in ip"]),
    ("icmp", ["icmp", "icmp of the watched"]),
])
def test_setfilter_on_a_file(lib, offline, text, expected):
    assert offline.setfilter(text) is None
    _, seen = collect(lambda callback: offline.loop(-1, callback))
    names = [name for name, packet in CORPUS.items() if packet in [data for _, data in seen]]
    wanted = lib.BPFProgram(text)
    assert [data for _, data in seen] == [packet for packet in CORPUS.values() if wanted.filter(packet)]
    assert set(expected) <= set(names)


def test_setfilter_counts_only_what_passes(lib, offline):
    offline.setfilter("arp")
    _, seen = collect(lambda callback: offline.loop(1, callback))
    assert [data for _, data in seen] == [CORPUS["arp"]]
    assert offline.next() == (None, b"")


def test_setfilter_in_the_middle(lib, offline):
    first = offline.next()[1]
    offline.setfilter("arp")
    assert first == CORPUS["udp"] and offline.next()[1] == CORPUS["arp"]


@pytest.mark.parametrize("filter, expected", [
    ("", None), ("bogus bogus", "PcapError"), ("wlan type mgt", "PcapError"), ("ip\0", "ValueError"),
    (None, "TypeError"), (7, "TypeError"), (b"ip", "TypeError"),
])
def test_setfilter_arguments(lib, offline, filter, expected):
    assert outcome(lib, lambda: offline.setfilter(filter)) == expected


def test_refused_filter_leaves_the_old_one(lib, offline):
    offline.setfilter("arp")
    assert outcome(lib, lambda: offline.setfilter("bogus bogus")) == "PcapError"
    assert offline.next()[1] == CORPUS["arp"]


def test_setfilter_takes_a_program(lib, offline):
    set_it = outcome(lib, lambda: offline.setfilter(lib.compile(1, 65535, "arp", 1, 0)))
    assert set_it == differ(lib, "programs as filters", "TypeError", None)


SETFILTER_GROWTH = """
import importlib, mmap, sys
lib = importlib.import_module(sys.argv[1])
reader = lib.open_offline(sys.argv[2])
def run(times):
    for _ in range(times):
        reader.setfilter("udp port 53 or tcp port 80 or host 10.1.2.3")
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * mmap.PAGESIZE
before = run(2000)
print((run(6000) - before) // 6000)
"""


def test_setfilter_leaks_nothing(lib, corpus_path):
    from helpers import run_child

    done = run_child(SETFILTER_GROWTH, lib.__name__, corpus_path)
    assert done.returncode == 0, done.stderr
    bytes_each = int(done.stdout)
    assert (bytes_each > 100) == differ(lib, "setfilter keeps its memory", True, False), f"{bytes_each} bytes each"
