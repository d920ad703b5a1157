# SPDX-License-Identifier: BSD-3-Clause
"""How a read waits, and everything that ends it: time, signals, breakloop(), close(), exceptions."""

import os
import selectors
import signal
import threading

import pytest

import hugepcap
from helpers import Background, background_read, is_waiting, send, sending, start_child, wait_until
from reading import METHODS, TIMED, by_loop_to_buffer, numbers, read_packets

EMPTY = {"next": (None, b""), "dispatch": 0, "next_batch": (b"", b""), "loop": None,
         "loop_filtered": (0, 0, 0, 0, 0), "loop_to_buffer": (0, 0, 0, 0, 0, 0, 0), "iteration": [],
         "batches": [], "next_block": 0}
READ = {
    "next": lambda reader: reader.next(),
    "dispatch": lambda reader: reader.dispatch(-1, print),
    "next_batch": lambda reader: reader.next_batch(10),
    "loop": lambda reader: reader.loop(-1, print),
    "loop_filtered": lambda reader: reader.loop_filtered(-1, print),
    "loop_to_buffer": lambda reader: reader.loop_to_buffer(-1, bytearray(100)),
    "iteration": lambda reader: list(reader),
    "batches": lambda reader: list(reader.batches()),
    "next_block": lambda reader: len(reader.next_block() or ()),    # None when it was ended
}


@pytest.fixture
def patient(link):
    """A Reader whose reads wait for ever."""
    with hugepcap.open_live(link.far, 65535, 1, 0) as opened:
        yield opened


# ---- time ----

@pytest.mark.parametrize("method", TIMED)
@pytest.mark.parametrize("to_ms", [1, 20, 250])
def test_idle_reads_come_back(link, method, to_ms):
    with hugepcap.open_live(link.far, 65535, 1, to_ms) as reader:
        assert [READ[method](reader) for _ in range(2)] == [EMPTY[method]] * 2


@pytest.mark.parametrize("method", TIMED)
@pytest.mark.parametrize("to_ms", [0, -1])
def test_without_timeout_reads_wait(link, method, to_ms):
    """Through three of the slices that a wait is cut into, and until a packet comes."""
    with hugepcap.open_live(link.far, 65535, 1, to_ms) as reader:
        reading = background_read(lambda: READ[method](reader) if method != "dispatch"
                                  else reader.dispatch(1, lambda *packet: None))
        reading.join(0.35)
        assert reading.is_alive()
        send(link.near, 1)
        assert reading.result() != EMPTY[method]


def test_iteration_waits_beyond_the_timeout(reader, link):
    reading = background_read(lambda: next(iter(reader)))
    reading.join(0.1)
    assert reading.is_alive()
    send(link.near, 1, first_seq=9)
    assert numbers([reading.result()[1]]) == [9]


@pytest.mark.parametrize("to_ms", [0, 20, 10_000])
def test_a_lone_packet_does_not_wait_for_more(link, to_ms):
    """Whatever the read timeout, a packet on a quiet link is delivered, long before it."""
    with hugepcap.open_live(link.far, 65535, 1, to_ms) as reader:
        send(link.near, 1)
        reading = Background(reader.next)
        assert numbers([reading.result(8)[1]]) == [0]


def test_immediate_mode(link):
    with hugepcap.open_live(link.far, 65535, 1, 1000, immediate=True) as reader:
        for number in range(50):
            send(link.near, 1, first_seq=number)
            assert numbers([reader.next()[1]]) == [number]
        assert reader.ring.retire_ms == 1


# ---- Ctrl-C ----

CHILD = """
import sys
import hugepcap
from reading import METHODS
reader = hugepcap.open_live("far", 65535, 1, 0)
count = 0
def take(data):
    global count
    count += 1
print("ready")
try:
    while True:
        METHODS[sys.argv[1]](reader, take)
except KeyboardInterrupt:
    print("interrupted after", count)
"""


def interrupt(child):
    child.send_signal(signal.SIGINT)
    try:
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 0, err
    return out


@pytest.fixture
def children(monkeypatch, link):
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    return lambda *arguments: start_child(CHILD, *arguments)


def test_ctrl_c_on_an_idle_link(children, method):
    child = children(method)
    assert child.stdout.readline() == "ready\n"
    wait_until(lambda: is_waiting(child.pid), "the child to wait")
    assert interrupt(child) == "interrupted after 0\n"


def test_ctrl_c_on_a_busy_link(children, method, link):
    child = children(method)
    assert child.stdout.readline() == "ready\n"
    wait_until(lambda: is_waiting(child.pid), "the child to wait")
    stop = threading.Event()

    def traffic():
        while not stop.is_set():
            send(link.near, 2000, rate_pps=20_000)

    sender = Background(traffic)
    try:
        wait_until(lambda: not is_waiting(child.pid), "the child to read")
        assert interrupt(child).startswith("interrupted after ")
    finally:
        stop.set()
        sender.result()


def test_a_signal_that_does_not_raise_does_not_end_the_wait(patient, link):
    """EINTR is no packet and no timeout."""
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("signal"))
    try:
        main = threading.main_thread().native_id

        def disturb():
            for number in range(1, 4):
                wait_until(lambda: is_waiting("self", main), "the read to wait")
                os.kill(os.getpid(), signal.SIGUSR1)
                wait_until(lambda: len(seen) == number, "the handler")
            send(link.near, 1, first_seq=4)

        disturber = Background(disturb)
        assert numbers([patient.next()[1]]) == [4]
        disturber.result()
        assert seen == ["signal"] * 3
    finally:
        signal.signal(signal.SIGUSR1, before)


# ---- breakloop ----

def test_breakloop_from_a_thread(patient, method, link):
    reading = background_read(lambda: READ[method](patient))
    patient.breakloop()
    assert reading.result() == EMPTY[method]
    send(link.near, 1, first_seq=5)
    assert numbers(read_packets(patient, 1)) == [5]


def test_breakloop_from_a_signal_handler(patient, method, link):
    before = signal.signal(signal.SIGUSR1, lambda *_: patient.breakloop())
    try:
        main = threading.main_thread().native_id

        def disturb():
            wait_until(lambda: is_waiting("self", main), "the read to wait")
            os.kill(os.getpid(), signal.SIGUSR1)

        disturber = Background(disturb)
        assert READ[method](patient) == EMPTY[method]
        disturber.result()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_breakloop_before_a_read_ends_that_read_only(patient, method, link):
    send(link.near, 1, first_seq=6)
    patient.breakloop()
    assert READ[method](patient) == EMPTY[method]
    assert numbers(read_packets(patient, 1)) == [6]


@pytest.mark.parametrize("method, returned", [("loop", None), ("dispatch", 3), ("loop_filtered", (3, 0, 3, 0, 0))])
def test_breakloop_in_the_callback(patient, link, method, returned):
    send(link.near, 10)
    seen = []

    def callback(hdr, data, *cls):
        seen.append(data)
        if len(seen) == 3:
            patient.breakloop()

    assert getattr(patient, method)(-1, callback) == returned
    assert numbers(seen) == [0, 1, 2]
    assert numbers(read_packets(patient, 7)) == [3, 4, 5, 6, 7, 8, 9]


# ---- exceptions of the callback ----

@pytest.mark.parametrize("method", ["loop", "dispatch", "loop_filtered"])
@pytest.mark.parametrize("at", [1, 5, 10])
def test_exception_of_the_callback(reader, link, method, at):
    send(link.near, 20)
    seen = []

    def callback(hdr, data, *cls):
        seen.append(data)
        if len(seen) == at:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="^mine$"):
        getattr(reader, method)(10, callback)
    assert numbers(seen + read_packets(reader, 20 - at)) == list(range(20))


# ---- close ----

def test_close_from_another_thread(patient, method):
    reading = background_read(lambda: READ[method](patient))
    patient.close()
    assert reading.result() == EMPTY[method]
    with pytest.raises(ValueError, match="^pcap is closed$"):
        patient.next()


def test_close_while_packets_come(reader, method, link):
    seen = []
    with sending(link.near, 200_000) as sender:
        reading = Background(lambda: METHODS[method](reader, seen.append))
        sender.join(0.05)
        reader.close()
        reading.result()
    assert numbers(seen) == list(range(len(seen)))


@pytest.mark.parametrize("method, returned", [("loop", None), ("dispatch", 3), ("loop_filtered", (3, 0, 3, 0, 0))])
def test_close_in_the_callback(reader, link, method, returned):
    send(link.near, 10)
    seen = []

    def callback(hdr, data, *cls):
        seen.append((hdr, data))
        if len(seen) == 3:
            reader.close()

    assert getattr(reader, method)(-1, callback) == returned
    assert numbers(data for _, data in seen) == [0, 1, 2]
    assert [hdr.getlen() for hdr, _ in seen] == [60] * 3
    with pytest.raises(ValueError, match="^pcap is closed$"):
        reader.stats()


def test_close_in_an_iteration(reader, link):
    send(link.near, 10)
    seen = []
    for _, data in reader:
        seen.append(data)
        if len(seen) == 3:
            reader.close()
    assert numbers(seen) == [0, 1, 2]


# ---- select, selectors, asyncio ----

def test_selectors(reader, link):
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        assert selector.select(0) == []
        reader.setnonblock(1)
        send(link.near, 3)
        seen = []
        while len(seen) < 3:
            assert selector.select(30)
            METHODS["dispatch"](reader, seen.append)
    assert numbers(seen) == [0, 1, 2]


def test_asyncio(reader, link):
    import asyncio

    reader.setnonblock(1)
    seen = []

    async def capture():
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def readable():
            METHODS["dispatch"](reader, seen.append)
            if len(seen) == 100 and not done.done():
                done.set_result(None)

        loop.add_reader(reader, readable)
        send(link.near, 100)
        await asyncio.wait_for(done, 30)
        loop.remove_reader(reader)

    asyncio.run(capture())
    assert numbers(seen) == list(range(100))


def test_nonblocking_reads_do_not_wait(patient, link):
    patient.setnonblock(1)
    assert [READ[method](patient) for method in TIMED] == [EMPTY[method] for method in TIMED]
    send(link.near, 5)
    seen = []
    wait_until(lambda: METHODS["next"](patient, seen.append) or len(seen) == 5, "five packets")
    assert numbers(seen) == list(range(5))


def test_to_buffer_stops_at_its_count(reader, link):
    send(link.near, 10)
    seen = []
    by_loop_to_buffer(reader, seen.append, 4)
    by_loop_to_buffer(reader, seen.append, 6)
    assert numbers(seen) == list(range(10))
