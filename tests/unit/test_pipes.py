# SPDX-License-Identifier: BSD-3-Clause
"""Savefiles that come through pipes."""

import os
import subprocess
import sys

import pytest

import hugepcap
from helpers import Background, child_environment
from helpers.packets import CORPUS, udp4
from helpers.savefile import numbered, pcap_bytes, pcapng_bytes

PACKETS = list(CORPUS.values())
RAW = pcap_bytes(numbered(PACKETS))
READ_STDIN = """
import sys, hugepcap
reader = hugepcap.open_offline("-")
for hdr, data in reader:
    print(data.hex())
print("fd", reader.fileno() >= 0)
"""


def through_stdin(code, raw):
    return subprocess.run([sys.executable, "-c", code], input=raw, capture_output=True, env=child_environment(),
                          timeout=60)


@pytest.mark.parametrize("raw", [RAW, pcapng_bytes(numbered(PACKETS))], ids=["pcap", "pcapng"])
def test_standard_input(raw):
    ended = through_stdin(READ_STDIN, raw)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.decode().split("\n") == [packet.hex() for packet in PACKETS] + ["fd True", ""]


def test_truncated_standard_input():
    ended = through_stdin(READ_STDIN, RAW[:-3])
    assert ended.returncode == 1
    assert ended.stdout.decode().split("\n")[:-1] == [packet.hex() for packet in PACKETS[:-1]]
    assert b"PcapCorruptError: read -: after %d packets" % (len(PACKETS) - 1) in ended.stderr


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def feed(path, *parts):
    with open(path, "wb", buffering=0) as pipe:
        for part in parts:
            pipe.write(part)


def test_fifo(fifo):
    writer = Background(feed, fifo, RAW[:10], RAW[10:100], RAW[100:])
    with hugepcap.open_offline(fifo) as reader:
        assert [data for _, data in reader] == PACKETS
    writer.result()


def test_packets_come_as_they_are_written(fifo):
    """The reader has the first packet before the second is written."""
    first = 24 + 16 + len(PACKETS[0])
    writing = Background(open, fifo, "wb", buffering=0)
    opening = Background(hugepcap.open_offline, fifo)
    with writing.result() as pipe:
        pipe.write(RAW[:first])
        with opening.result() as reader:
            assert reader.next()[1] == PACKETS[0]
            pipe.write(RAW[first:first + 16])
            reading = Background(reader.next)
            pipe.write(RAW[first + 16:first + 16 + len(PACKETS[1])])
            assert reading.result()[1] == PACKETS[1]
            pipe.close()
            assert reader.next() == (None, b"")


WHILE_READING = """
import ctypes, sys, threading
import hugepcap
M_MMAP_THRESHOLD = -3
ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 14)    # what is freed is not there any more
texts = [" or ".join(f"host 10.{n}.{i}.1" for i in range(1, 250)) + " or udp" for n in range(1, 4)]
programs = [hugepcap.compile(hugepcap.DLT_EN10MB, 65535, text, 0, 0) for text in texts]
reader = hugepcap.open_offline("-")

def filters():
    number = 0
    try:
        while True:
            number += 1
            reader.setfilter(programs[number % 3])
    except ValueError:    # closed
        pass

thread = threading.Thread(target=filters)
thread.start()
left, seen = int(sys.argv[1]), 0
while left:
    seen += reader.loop_to_buffer(min(left, 500), bytearray(1))[2]
    left -= min(left, 500)
reader.close()
thread.join()
print(seen)
"""


def test_setfilter_while_a_thread_reads():
    """Reading lets other threads run; the filter before goes only when it is no longer run."""
    packets = [udp4(payload=bytes(40))] * 5000
    ended = subprocess.run([sys.executable, "-c", WHILE_READING, str(len(packets))],
                           input=pcap_bytes(numbered(packets)), capture_output=True, env=child_environment(), timeout=60)
    assert (ended.stdout, ended.returncode) == (b"5000\n", 0), ended.stderr


@pytest.mark.parametrize("raw", [RAW, pcapng_bytes(numbered(PACKETS))], ids=["pcap", "pcapng"])
def test_filtered_pipe(fifo, raw):
    writer = Background(feed, fifo, raw)
    wanted = hugepcap.BPFProgram("udp")
    with hugepcap.open_offline(fifo) as reader:
        reader.setfilter("udp")
        with pytest.raises(hugepcap.PcapError, match="live"):
            reader.setfilter("inbound")
        assert [data for _, data in reader] == [packet for packet in PACKETS if wanted.filter(packet)]
    writer.result()


def test_foreign_fifo(fifo):
    writer = Background(feed, fifo, b"nonsense" * 10)
    pytest.raises(hugepcap.PcapError, hugepcap.open_offline, fifo)
    writer.result()
