# SPDX-License-Identifier: BSD-3-Clause
"""Savefiles that come through a pipe: read as they come, and every wait can be ended. Needs no rights."""

import os
import signal
import subprocess
import sys

import pytest

import hugepcap
from helpers import DEADLINE_S, background_read, child_environment, is_waiting, wait_until
from helpers.packets import udp4
from helpers.savefile import numbered, pcap_bytes
from reading import METHODS, read_packets

PACKETS = [udp4(payload=bytes([number]) * 40) for number in range(10)]
WHOLE = pcap_bytes(numbered(PACKETS))
HEAD = 24
EACH = 16 + len(PACKETS[0])
# These give nothing before their call ends.
COLLECTING = ("next_batch", "loop_to_buffer")


class Stream:
    """A Reader on a pipe, and the pipe's other end."""

    def __init__(self):
        source, self.into = os.pipe()
        self.write(WHOLE[:HEAD])
        self.reader = hugepcap.open_offline(f"/dev/fd/{source}")
        os.close(source)
        self.at = HEAD

    def write(self, data):
        os.write(self.into, data)

    def more(self, length):
        self.write(WHOLE[self.at:self.at + length])
        self.at += length

    def end(self):
        if self.into is not None:
            os.close(self.into)
        self.into = None


@pytest.fixture
def stream():
    made = Stream()
    yield made
    made.end()
    made.reader.close()


def test_packets_as_they_come(stream):
    for number in range(3):
        stream.more(EACH)
        assert stream.reader.next()[1] == PACKETS[number]
    stream.more(3 * EACH)
    assert read_packets(stream.reader, 3) == PACKETS[3:6]
    stream.end()
    assert stream.reader.next() == (None, b"")


def test_a_packet_in_pieces(stream):
    reading = background_read(stream.reader.next)
    for piece in (3, 13, 30, EACH - 46):
        stream.more(piece)
    assert reading.result()[1] == PACKETS[0]


@pytest.mark.parametrize("method", METHODS)
def test_close_from_another_thread(stream, method):
    reading = background_read(lambda: METHODS[method](stream.reader, lambda data: None))
    stream.reader.close()
    reading.result()
    with pytest.raises(ValueError, match="closed"):
        stream.reader.next()


@pytest.mark.parametrize("method", METHODS)
def test_breakloop_from_another_thread(stream, method):
    seen = []
    reading = background_read(lambda: METHODS[method](stream.reader, seen.append))
    stream.reader.breakloop()
    reading.result()
    stream.more(EACH)
    assert seen == [] and stream.reader.next()[1] == PACKETS[0]


@pytest.mark.parametrize("written", [1, 15, 16, 30])
def test_breakloop_within_a_packet(stream, written):
    """What has come of a packet is not lost."""
    stream.more(written)
    reading = background_read(stream.reader.next)
    stream.reader.breakloop()
    assert reading.result() == (None, b"")
    stream.more(2 * EACH - written)
    assert read_packets(stream.reader, 2) == PACKETS[:2]


def test_a_pipe_that_ends_within_a_packet(stream):
    stream.more(EACH + 20)
    stream.end()
    assert stream.reader.next()[1] == PACKETS[0]
    with pytest.raises(hugepcap.PcapError, match="(?i)trunc"):
        stream.reader.next()


CHILD = """
import sys
import hugepcap
from reading import METHODS
print("ready")
try:
    reader = hugepcap.open_offline("-")
    while True:
        METHODS[sys.argv[1]](reader, lambda data: print(len(data)))
        if sys.argv[2:]:
            break
except KeyboardInterrupt:
    print("interrupted")
"""


def start(*arguments):
    environment = dict(child_environment())
    environment["PYTHONPATH"] = os.path.dirname(__file__) + os.pathsep + environment["PYTHONPATH"]
    return subprocess.Popen([sys.executable, "-u", "-c", CHILD, *arguments], env=environment, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("before", [0, HEAD, HEAD + 20, HEAD + EACH])
def test_ctrl_c(method, before):
    """Before the file's header, between packets, within one. A batch gives the packets it has first."""
    child = start(method)
    try:
        assert child.stdout.readline() == b"ready\n"
        child.stdin.write(WHOLE[:before])
        child.stdin.flush()
        if before == HEAD + EACH and method not in COLLECTING:
            assert int(child.stdout.readline()) == len(PACKETS[0])
        wait_until(lambda: is_waiting(child.pid), "the child to wait")
        child.send_signal(signal.SIGINT)
        assert child.wait(DEADLINE_S) == 0
        assert child.stdout.read().endswith(b"interrupted\n")
    finally:
        child.kill()
        child.communicate()


def test_standard_input():
    child = start("loop", "once")
    out, _ = child.communicate(WHOLE, timeout=DEADLINE_S)
    assert out.split() == [b"ready"] + [b"%d" % len(packet) for packet in PACKETS]
