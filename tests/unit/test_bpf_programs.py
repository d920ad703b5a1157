# SPDX-License-Identifier: BSD-3-Clause
"""compile, BPFProgram, Pkthdr; filters that leave no memory behind."""

import gc
import os
import tracemalloc

import pytest

import hugepcap
from files import enhanced, interface, section
from helpers.packets import CORPUS, udp4
from helpers.savefile import numbered, write_pcap

MATCHES = {name for name, packet in CORPUS.items() if packet[12:14] == b"\x08\0" and len(packet) > 23
           and packet[23] == 17}


@pytest.mark.parametrize("make", [lambda text: hugepcap.BPFProgram(text), lambda text: hugepcap.BPFProgram(text, 1),
                                  lambda text: hugepcap.compile(1, 65535, text, 1, 0),
                                  lambda text: hugepcap.compile(1, 65535, text, 0, 0xFFFFFFFF)])
def test_matches(make):
    program = make("ip proto 17")
    assert {name for name, packet in CORPUS.items() if program.filter(packet)} == MATCHES
    assert len(program) == len(program.get_bpf()) > 2
    assert all(len(insn) == 4 for insn in program.get_bpf())


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_any_buffer(view):
    assert hugepcap.BPFProgram("udp").filter(view(udp4())) > 0
    assert hugepcap.BPFProgram("arp").filter(view(udp4())) == 0


def test_buffer_that_is_not_contiguous():
    pytest.raises(BufferError, hugepcap.BPFProgram("udp").filter, memoryview(udp4())[::2])


@pytest.mark.parametrize("text", ["nonsense", "udp and", "port 99999", "host 300.1.1.1", "(", "vlan 5000",
                                  "ether[70000000000]"])
def test_what_does_not_compile(text):
    with pytest.raises(hugepcap.BPFError, match="Couldn't compile BPF program: "):
        hugepcap.BPFProgram(text)
    with pytest.raises(hugepcap.PcapError) as caught:
        hugepcap.compile(1, 65535, text, 1, 0)
    assert repr(text) in str(caught.value) and "link type 1" in str(caught.value)


def test_not_for_this_link_type():
    with pytest.raises(hugepcap.PcapError, match="vlan.*link type 12"):
        hugepcap.compile(12, 65535, "vlan 5", 1, 0)


@pytest.mark.parametrize("arguments, error", [
    ((), TypeError), ((b"udp",), TypeError), ((None,), TypeError), (("udp", "1"), TypeError), (("udp", 1, 2), TypeError),
    (("udp\0",), ValueError), (("udp", 2**40), OverflowError)])
def test_wrong_arguments_of_a_program(arguments, error):
    pytest.raises(error, hugepcap.BPFProgram, *arguments)


def test_of_another_link_type(tmp_path):
    with hugepcap.open_offline(write_pcap(tmp_path / "file", numbered([udp4()]))) as reader:
        with pytest.raises(hugepcap.PcapError, match="link type 113.*type 1"):
            reader.setfilter(hugepcap.BPFProgram("udp", 113))
        pytest.raises(TypeError, reader.setfilter, b"udp")
        pytest.raises(hugepcap.PcapError, reader.setfilter, "nonsense")
        assert reader.next()[1] == udp4()    # none of these left a filter


def test_pkthdr():
    hdr = hugepcap.Pkthdr(ts_ns=1_500_000_000_123_456_789, caplen=60, len=1500)
    assert (hdr.getts(), hdr.getcaplen(), hdr.getlen()) == ((1_500_000_000, 123_456), 60, 1500)
    assert hdr.ts_ns == 1_500_000_000_123_456_789
    assert repr(hdr) == "<hugepcap.Pkthdr ts_ns=1500000000123456789 caplen=60 len=1500>"
    assert hugepcap.Pkthdr().ts_ns == 0
    for wrong in ({"caplen": -1}, {"len": 2**32}, {"ts_ns": 2**63}):
        pytest.raises(OverflowError, hugepcap.Pkthdr, **wrong)
    pytest.raises(TypeError, hugepcap.Pkthdr, 1)


def test_times_that_64_bits_of_nanoseconds_do_not_hold(tmp_path):
    """A pcapng file may say that its times begin ten thousand years from now."""
    offset_s = 315_000_000_000
    path = tmp_path / "file"
    path.write_bytes(section() + interface(offset=offset_s) + enhanced(b"x", 1_000_001))
    with hugepcap.open_offline(path) as reader:
        hdr, _ = reader.next()
    assert hdr.getts() == (offset_s + 1, 1) and hdr.ts_ns == (offset_s + 1) * 10**9 + 1000


def test_times_before_1970():
    hdr = hugepcap.Pkthdr(ts_ns=-1)
    assert hdr.ts_ns == -1 and hdr.getts() == (-1, 999_999)


# ---- memory ----

def resident_bytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def growth(repeat, count):
    """(resident, traced) bytes that `count` repetitions leave behind, after a tenth of them to warm up."""
    for _ in range(count // 10):
        repeat()
    gc.collect()
    tracemalloc.start()
    try:
        resident, (traced, _) = resident_bytes(), tracemalloc.get_traced_memory()
        for _ in range(count):
            repeat()
        gc.collect()
        return resident_bytes() - resident, tracemalloc.get_traced_memory()[0] - traced
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("given", [lambda: "udp port 53 or tcp port 80", lambda: hugepcap.BPFProgram("udp port 53")],
                         ids=["text", "program"])
def test_setfilter_leaves_nothing(tmp_path, given):
    """Each program is some 200 bytes: 20,000 of them leaked would be 4 MB (pcapy-ng: 7)."""
    with hugepcap.open_offline(write_pcap(tmp_path / "file", numbered([udp4()]))) as reader:
        resident, traced = growth(lambda: reader.setfilter(given()), 20_000)
    assert resident < 1 << 20 and traced < 1 << 16


def test_refused_filters_leave_nothing():
    def refused():
        try:
            hugepcap.compile(1, 65535, "udp and nonsense", 1, 0)
        except hugepcap.PcapError:
            pass

    resident, traced = growth(refused, 5000)
    assert resident < 1 << 20 and traced < 1 << 16
