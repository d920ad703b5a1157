# SPDX-License-Identifier: BSD-3-Clause
"""Unmodified programs capture numbered traffic, each packet once and in order, on the ring they were given."""

from __future__ import annotations

import signal
import sys

import pytest

from helpers import send, wait_until
from helpers.savefile import read_pcap
from programs import READERS, TOOLS, missing
from shim import MIB, Program

from hugepcap._generate import generate, sequence_of

COUNT = 3000    # less than any of these programs' own rings holds


@pytest.fixture(params=TOOLS)
def tool(request):
    reason = missing(TOOLS[request.param])
    if reason:
        pytest.skip(reason)
    return TOOLS[request.param]


def captured(program, tool, file):
    """The numbers of the packets in the file, once the program has ended well."""
    if not tool.ends:
        whole = 24 + COUNT * (16 + 60)    # a pcap file's header, and each packet's
        wait_until(lambda: file.stat().st_size >= whole, f"{COUNT} packets in the file")
        program.child.send_signal(signal.SIGINT)
    assert program.finish() == 0, program.said()
    return [sequence_of(record.data) for record in read_pcap(file)[1]]


def test_capture_at_the_programs_own_size(link, tool, tmp_path):
    file = tmp_path / "out.pcap"
    with Program(tool.command(link.far, COUNT, file), tool.ready, verbose=1) as program:
        assert not any(ring.bytes == 64 * MIB for ring in program.rings())
        assert "RX ring: asked" in program.said()
        send(link.near, COUNT)
        assert captured(program, tool, file) == list(range(COUNT))


def test_capture_on_a_deeper_ring(link, tool, tmp_path):
    file = tmp_path / "out.pcap"
    with Program(tool.command(link.far, COUNT, file), tool.ready, ring="64M", verbose=1) as program:
        assert [ring.bytes for ring in program.rings()] == [64 * MIB], program.said()
        assert "got 64 MiB" in program.said()
        send(link.near, COUNT)
        assert captured(program, tool, file) == list(range(COUNT))


def test_any_device(link, tmp_path):
    command = ["tcpdump", "-n", "-Z", "root", "-i", "any", "-Q", "in", "-c", COUNT, "-w", tmp_path / "out.pcap"]
    with Program(command, "listening on", ring="64M", verbose=1) as program:
        assert [ring.bytes for ring in program.rings()] == [64 * MIB], program.said()
        send(link.near, COUNT)
        assert program.finish() == 0, program.said()
    assert len(read_pcap(tmp_path / "out.pcap")[1]) == COUNT


def test_same_packets_as_without_the_shim(link, tmp_path):
    """Two tcpdumps side by side."""
    files = [tmp_path / "with.pcap", tmp_path / "without.pcap"]
    commands = [TOOLS["tcpdump"].command(link.far, COUNT, file) for file in files]
    with Program(commands[0], "listening on", ring="64M") as deep, \
            Program(commands[1], "listening on", shim=False) as plain:
        send(link.near, COUNT, sizes=(60, 500), flows=50)
        assert (deep.finish(), plain.finish()) == (0, 0)
    (deep_head, deep_records), (plain_head, plain_records) = map(read_pcap, files)
    assert deep_head == plain_head
    assert [(r.data, r.length) for r in deep_records] == [(r.data, r.length) for r in plain_records]
    assert len(deep_records) == COUNT


def slow_reader_gets(link, count, **settings):
    """How many of `count` packets an unmodified pcapy-ng program sees that begins to read after the last."""
    with Program([sys.executable, READERS / "slow.py", link.far, count], "ready", **settings) as reader:
        send(link.near, count)
        reader.tell("read now")

        def ended():
            generate(link.near, 1, first_seq=count)    # again: the ring may still be full
            return reader.child.poll() is not None

        wait_until(ended, "the reader to see the last packet")
        assert reader.finish() == 0, reader.said()
        return int(reader.said().split("got ")[1].split()[0])


def test_slow_reader_loses_without_and_nothing_with(link):
    count = 60_000
    pytest.importorskip("pcapy", reason="pip install pcapy-ng")
    assert slow_reader_gets(link, count) < count
    assert slow_reader_gets(link, count, ring="64M") == count
