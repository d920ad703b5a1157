# SPDX-License-Identifier: BSD-3-Clause
"""Savefiles that come through a pipe: read as they come, and every wait can be ended. Needs no rights."""

import asyncio
import os
import signal
import struct
import subprocess
import sys

import pytest

import hugepcap
from helpers import DEADLINE_S, Background, background_read, child_environment, is_waiting, run_child, wait_until
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

    def __init__(self, head=WHOLE[:HEAD]):
        source, self.into = os.pipe()
        self.write(head)
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
@pytest.mark.parametrize("method", METHODS)
def test_breakloop_within_a_packet(stream, method, written):
    """What has come of a packet is not lost."""
    seen = []
    stream.more(written)
    reading = background_read(lambda: METHODS[method](stream.reader, seen.append))
    stream.reader.breakloop()
    reading.result()
    stream.more(2 * EACH - written)
    assert seen == [] and read_packets(stream.reader, 2) == PACKETS[:2]


class Raised(Exception):
    pass


def raise_it(*args):
    raise Raised


@pytest.fixture
def alarm():
    """Has a signal's handler raise a little later, in the main thread."""
    before = signal.signal(signal.SIGALRM, raise_it)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.05)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("method", METHODS)
def test_a_handler_that_raises_within_a_packet(stream, alarm, method):
    seen = []
    stream.more(20)
    alarm()
    with pytest.raises(Raised):
        METHODS[method](stream.reader, seen.append)
    stream.more(2 * EACH - 20)
    assert seen == [] and read_packets(stream.reader, 2) == PACKETS[:2]


def by_one_of_batches(reader, take):
    take(bytes(next(reader.batches())[0]))


# These give what is there by the time the first packet is.
AT_ONCE = {name: METHODS[name] for name in ("dispatch", "next_batch", "next_block")} | {"batches": by_one_of_batches}


@pytest.mark.parametrize("method", AT_ONCE)
def test_whole_packets_do_not_wait_for_a_part(stream, method):
    """Nor is it lost, or anything else, when the next read is ended."""
    seen = []
    stream.more(EACH + 8)
    Background(AT_ONCE[method], stream.reader, seen.append).result()
    assert seen == PACKETS[:1]
    reading = background_read(lambda: AT_ONCE[method](stream.reader, seen.append) if method != "batches"
                              else next(stream.reader.batches(), None))
    stream.reader.breakloop()
    reading.result()
    stream.more(2 * EACH - 8)
    assert seen == PACKETS[:1] and read_packets(stream.reader, 2) == PACKETS[1:3]


def test_timeouts_within_a_packet(stream):
    stream.more(20)
    for timeout in (0, 0.05):
        assert len(Background(stream.reader.next_block, timeout=timeout).result()) == 0
        assert len(Background(next, stream.reader.batches(timeout=timeout)).result()) == 0
    stream.more(EACH - 20)
    assert stream.reader.next()[1] == PACKETS[0]


def test_an_event_loop_goes_on_within_a_packet(stream):
    async def give_up_then_read():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stream.reader.__anext__(), 0.05)
        stream.more(EACH - 20)
        return (await stream.reader.__anext__())[1]

    stream.more(20)
    assert Background(lambda: asyncio.run(give_up_then_read())).result() == PACKETS[0]


# ---- pcapng ----

def block(order, kind, body):
    total = len(body) + 12
    return struct.pack(order + "II", kind, total) + body + struct.pack(order + "I", total)


def section(order):
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order, digits):
    """One whose times count in units of 10^-digits seconds."""
    return block(order, 1, struct.pack(order + "HHIHHB3xHH", 1, 0, 65535, 9, 1, digits, 0, 0))


def packet(order, number, ticks):
    return block(order, 6, struct.pack(order + "IIIII", number, 0, ticks, 60, 60) + bytes(60))


@pytest.mark.parametrize("order", "<>")
def test_interfaces_count_once(order):
    """Between a pcapng file's packets are blocks that libpcap must not be given again, wherever a read ends."""
    stream = Stream(section(order) + interface(order, 6))
    rest = [packet(order, 0, 10 ** 6), interface(order, 9), block(order, 4, bytes(8)), packet(order, 1, 2 * 10 ** 9),
            interface(order, 3), packet(order, 2, 3000), section(order), interface(order, 2), interface(order, 1),
            packet(order, 1, 40), packet(order, 0, 500)]
    times = []
    for number in b"".join(rest):
        stream.write(bytes([number]))
        batch = Background(stream.reader.next_block, timeout=0).result()
        times += batch.ts_ns if len(batch) else []
    stream.end()
    assert stream.reader.next() == (None, b"")
    stream.reader.close()
    assert times == [second * 10 ** 9 for second in range(1, 6)]


FORK = """
import os, select, sys
import hugepcap
source, into = os.pipe()
os.write(into, bytes.fromhex(sys.argv[1]))
reader = hugepcap.open_offline(f"/dev/fd/{source}")
waits_on = reader.watch()
if os.fork() == 0:
    getattr(reader, sys.argv[2])()
    os._exit(0)
os.wait()
print(select.select([waits_on], [], [], 0)[0])
os.write(into, bytes.fromhex(sys.argv[3]))
print(reader.next()[1].hex())
"""


@pytest.mark.parametrize("call", ["breakloop", "close"])
def test_a_child_does_not_wake_its_parent(call):
    done = run_child(FORK, WHOLE[:HEAD].hex(), call, WHOLE[HEAD:HEAD + EACH].hex())
    assert done.stdout.splitlines() == ["[]", PACKETS[0].hex()], done.stderr


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
