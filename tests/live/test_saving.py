# SPDX-License-Identifier: BSD-3-Clause
"""Captures written to files, read back by tcpdump, by ourselves and byte by byte."""

import subprocess

import pytest

import hugepcap
from helpers import send
from helpers.savefile import MICRO, NANO, read_pcap
from hugepcap._generate import build_packet, sequence_of
from reading import numbers, read_packets


def tcpdump(*arguments):
    done = subprocess.run(["tcpdump", "-n", *map(str, arguments)], text=True, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_tcpdump_reads_it(reader, link, tmp_path):
    path = tmp_path / "out.pcap"
    send(link.near, 1000, sizes=(60, 1514), flows=10)
    with reader.dump_open(path) as dumper:
        reader.loop(1000, dumper.dump)
    lines = tcpdump("-r", path, "-v", "udp")
    assert sum("UDP, length" in line for line in lines) == 1000
    assert not any("bad cksum" in line or "bad udp cksum" in line for line in lines)


def test_the_same_packets_come_back(reader, link, tmp_path):
    path = tmp_path / "out.pcap"
    send(link.near, 200, sizes=(60, 1514))
    headers = []
    with reader.dump_open(path) as dumper:
        reader.loop(200, lambda hdr, data: (headers.append(hdr), dumper.dump(hdr, data)))
    head, records = read_pcap(path)
    assert (head["magic"], head["linktype"], head["snaplen"]) == (MICRO, 1, 65535)
    assert [record.data for record in records] == [build_packet(i, sizes=(60, 1514)) for i in range(200)]
    assert [(record.sec, record.fraction) for record in records] == [hdr.getts() for hdr in headers]


def test_nanoseconds(link, tmp_path):
    path = tmp_path / "nano.pcap"
    with hugepcap.open_live(link.far, 65535, 1, 20, tstamp_precision=1) as reader:
        send(link.near, 100)
        headers = []
        with reader.dump_open(path) as dumper:
            reader.loop(100, lambda hdr, data: (headers.append(hdr), dumper.dump(hdr, data)))
    head, records = read_pcap(path)
    assert head["magic"] == NANO
    times = [hdr.ts_ns for hdr in headers]
    assert [record.sec * 10**9 + record.fraction for record in records] == times == sorted(times)
    assert any(time % 1000 for time in times)
    with hugepcap.open_offline(path) as copy:
        assert [hdr.ts_ns for hdr, _ in copy] == times


def test_append(reader, link, tmp_path):
    path = tmp_path / "out.pcap"
    for start in (0, 5):
        send(link.near, 5, first_seq=start)
        with reader.dump_open(path, append=start > 0) as dumper:
            reader.loop(5, dumper.dump)
    assert [sequence_of(record.data) for record in read_pcap(path)[1]] == list(range(10))


def test_flush(reader, link, tmp_path):
    path = tmp_path / "out.pcap"
    send(link.near, 1)
    with reader.dump_open(path) as dumper:
        dumper.dump(*reader.next())
        dumper.flush()
        assert len(read_pcap(path)[1]) == 1


def test_a_full_disk(reader, link):
    send(link.near, 2000, sizes=(1400, 1400))
    with pytest.raises(hugepcap.PcapError, match="(?i)no space") as caught:
        dumper = reader.dump_open("/dev/full")
        reader.loop(2000, dumper.dump)
        dumper.close()
    assert caught.value.errno == 28


def test_raw_and_cooked_files(link, tmp_path):
    path = tmp_path / "any.pcap"
    with hugepcap.open_live("any", 65535, 0, 20) as reader:
        reader.setfilter("udp")
        reader.set_datalink(hugepcap.DLT_LINUX_SLL2)
        reader.setfilter("udp")
        send(link.near, 3)
        with reader.dump_open(path) as dumper:
            reader.loop(3, dumper.dump)
    assert len(tcpdump("-r", path)) == 3
    with hugepcap.open_offline(path) as copy:
        assert copy.datalink() == hugepcap.DLT_LINUX_SLL2
        assert numbers(read_packets(copy, 3)) == [0, 1, 2]


def test_sendpacket_replays_a_file(reader, link, tmp_path):
    path = tmp_path / "out.pcap"
    send(link.near, 20, sizes=(60, 1500))
    with reader.dump_open(path) as dumper:
        reader.loop(20, dumper.dump)
    with hugepcap.open_live(link.near, 65535, 1, 20) as sender, hugepcap.open_offline(path) as file:
        for _, data in file:
            sender.sendpacket(memoryview(data))
    assert read_packets(reader, 20) == [build_packet(i, sizes=(60, 1500)) for i in range(20)]
