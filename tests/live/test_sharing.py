# SPDX-License-Identifier: BSD-3-Clause
"""One Reader in two threads, in its own callback, over a fork; several Readers on one device."""

import collections
import gc
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

import hugepcap
from helpers import Background, background_read, run_child, send, sending, wait_until
from helpers.savefile import numbered, write_pcap
from reading import METHODS, TIMED, by_loop_to_buffer, numbers, read_packets


# ---- threads ----

def test_a_second_thread_is_refused(link, method):
    with hugepcap.open_live(link.far, 65535, 1, 0) as reader:
        reading = background_read(lambda: METHODS[method](reader, lambda data: None))
        with pytest.raises(hugepcap.PcapError, match="another thread is reading"):
            reader.next()
        send(link.near, 1)
        reader.breakloop()
        reading.result()


def test_two_threads_lose_nothing(reader, link):
    """Each takes turns; a refused call takes no packet."""
    sent = 20_000
    seen = {0: [], 1: []}
    refused = collections.Counter()

    def read(name):
        while sum(map(len, seen.values())) < sent:
            try:
                METHODS["next_batch"](reader, seen[name].append)
            except hugepcap.PcapError as error:
                assert "another thread" in str(error)
                refused[name] += 1

    with sending(link.near, sent):
        readers = [Background(read, name) for name in seen]
        for each in readers:
            each.result()
    assert sorted(numbers(seen[0] + seen[1])) == list(range(sent))


def test_other_methods_while_a_thread_reads(link):
    with hugepcap.open_live(link.far, 65535, 1, 0) as reader:
        seen = []
        reading = background_read(lambda: METHODS["loop"](reader, seen.append))
        reader.setfilter("greater 100")
        send(link.near, 5)
        send(link.near, 5, sizes=(100, 100), first_seq=5)
        wait_until(lambda: len(seen) == 5, "what the filter lets through")
        assert reader.stats()[1:] == (0, 0)
        assert (reader.datalink(), reader.getnonblock()) == (1, 0) and reader.getfd() >= 0
        reader.breakloop()
        reading.result()
    assert numbers(seen) == [5, 6, 7, 8, 9]


def test_readers_in_threads_of_their_own(link):
    sent = 50_000
    readers = [hugepcap.open_live(link.far, 65535, 1, 20) for _ in range(3)]
    reading = [Background(read_packets, reader, sent) for reader in readers]
    send(link.near, sent, rate_pps=100_000)
    assert [numbers(each.result()) == list(range(sent)) for each in reading] == [True] * 3
    for reader in readers:
        reader.close()


CLOSING = """
import collections, sys, threading
from concurrent.futures import ThreadPoolExecutor
import hugepcap, netns
CALLS = {
    "setfilter": lambda reader, i: reader.setfilter((LONG, "udp")[i % 2]),
    "set_datalink": lambda reader, i: reader.set_datalink((113, 276)[i % 2]),
    "sendpacket": lambda reader, i: reader.sendpacket(bytes(60)),
}
# a good while's work for the kernel
LONG = hugepcap.compile(1, 65535, " or ".join(f"host 10.0.{i}.1" for i in range(15)), 0, 0)
ended = collections.Counter()

def work(reader, call, running):
    number = 0
    try:
        while True:
            call(reader, number)
            number += 1
            running.set()
    except Exception as error:
        ended[repr(error)] += 1

def close_at_work(number):
    device = "any" if sys.argv[1] == "set_datalink" else "lo"
    reader = hugepcap.open_live(device, 65535, 0, 10, ring_bytes=1 << 20)
    running = threading.Event()
    workers = [threading.Thread(target=work, args=(reader, CALLS[sys.argv[1]], running)) for _ in range(2)]
    for each in workers:
        each.start()
    running.wait()
    reader.close()
    for each in workers:
        each.join()

with netns.namespace(), ThreadPoolExecutor(4) as pool:    # side by side the kernel's waits at closing are one
    list(pool.map(close_at_work, range(60)))
print(dict(ended))
"""


@pytest.mark.parametrize("call", ["setfilter", "set_datalink", "sendpacket"])
def test_close_while_another_thread_sets(network, call):
    """What it is doing is done on the open capture; its next call is refused."""
    done = run_child(CLOSING, call)
    assert (done.stdout.strip(), done.returncode) == ("""{"ValueError('pcap is closed')": 120}""", 0), done.stderr


def test_the_link_type_stays_while_another_thread_reads(network):
    """A batch is of one link type."""
    with hugepcap.open_live("any", 65535, 0, 0) as reader:
        reading = background_read(lambda: METHODS["batches"](reader, lambda data: None))
        with pytest.raises(hugepcap.PcapError, match="set_datalink: another thread is reading"):
            reader.set_datalink(hugepcap.DLT_LINUX_SLL2)
        reader.breakloop()
        reading.result()
        reader.set_datalink(hugepcap.DLT_LINUX_SLL2)
        assert reader.datalink() == hugepcap.DLT_LINUX_SLL2


def test_two_threads_set_filters(link):
    """One that the kernel runs and one that it cannot: whichever came last, it is in force as a whole."""
    programs = [hugepcap.compile(hugepcap.DLT_EN10MB, 65535, "udp and (" + " or ".join(
        ["greater 100"] + [f"host 10.0.{i}.1" for i in range(nr)]) + ")", 0, 0) for nr in (30, 150)]
    for _ in range(20):
        with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=1 << 20) as reader:
            for each in [Background(reader.setfilter, program) for program in programs]:
                each.result()
            send(link.near, 5)
            send(link.near, 1, sizes=(100, 100), first_seq=5)
            assert numbers(read_packets(reader, 1)) == [5]


# ---- re-entry ----

@pytest.mark.parametrize("outer", ["loop", "dispatch", "loop_filtered"])
def test_reading_in_the_callback_is_refused(reader, link, outer, method):
    send(link.near, 3)

    def callback(hdr, data, *cls):
        METHODS[method](reader, lambda data: None)

    with pytest.raises(hugepcap.PcapError, match="callback"):
        getattr(reader, outer)(3, callback)
    assert numbers(read_packets(reader, 2)) == [1, 2]


def test_settings_in_the_callback(reader, link, tmp_path):
    send(link.near, 3)
    answers = []

    def callback(hdr, data):
        dumper = reader.dump_open(tmp_path / "out")
        dumper.dump(hdr, data)
        dumper.close()
        answers.append((reader.stats()[0], reader.datalink(), reader.setnonblock(0), reader.setfilter("udp")))

    reader.loop(3, callback)
    assert answers == [(3, 1, None, None)] * 3


# ---- fork ----

FORK = """
import os, sys
import hugepcap
from helpers import send
reader = hugepcap.open_live("far", 65535, 1, 20)
send("near", 10)
assert reader.next()[0] is not None
CALLS = {
    "next": (), "loop": (1, print), "dispatch": (1, print), "next_batch": (1,), "next_block": (),
    "loop_filtered": (1, print), "loop_to_buffer": (1, bytearray(9)), "__next__": (),
    "setfilter": ("tcp port 1",), "stop": (), "stats": (), "set_fanout": (7,), "setdirection": (2,),
    "set_datalink": (1,), "admit": (), "sendpacket": (bytes(60),),
}
pid = os.fork()
if pid == 0:
    for name, arguments in CALLS.items():
        try:
            print(name, "gave", getattr(reader, name)(*arguments))
        except hugepcap.PcapError as error:
            if "fork" not in str(error):
                print(name, error)
    reader.breakloop()
    print(reader.datalink(), reader.getnet(), reader.list_datalinks(), reader.getfd() >= 0, reader.getnonblock())
    reader.close()
    del reader
    with hugepcap.open_live("far", 65535, 1, 20) as own:
        send("near", 1)
        print(own.next()[0] is not None)
    sys.stdout.flush()
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
send("near", 5)
seen = []
reader.loop(15, lambda hdr, data: seen.append(data))
print(code, len(seen), reader.stats()[:2])
reader.close()
"""


def test_fork(link):
    """The child is refused and cannot disturb the parent's capture; it opens its own."""
    done = run_child(FORK)
    child, parent = "1 0.0.0.0 [1] True 0", "0 15 (16, 0)"
    assert done.stdout.splitlines() == [child, "True", parent] and done.returncode == 0, done.stdout + done.stderr


FORK_OF_A_FILE = """
import os, sys
import hugepcap
reader = hugepcap.open_offline(sys.argv[1])
if os.fork() == 0:
    try:
        reader.next()
    except hugepcap.PcapError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
print(len(list(reader)))
"""


def test_fork_of_a_file(tmp_path):
    done = run_child(FORK_OF_A_FILE, write_pcap(tmp_path / "file", numbered([bytes(60)] * 3)))
    refused, parent = done.stdout.splitlines()
    assert "fork" in refused and "ring" not in refused and parent == "3", done.stderr


# ---- fanout ----

@pytest.mark.parametrize("mode", ["PACKET_FANOUT_HASH", "PACKET_FANOUT_LB"])
def test_fanout(link, mode):
    sent = 100_000
    with hugepcap.open_live(link.far, 65535, 1, 20) as one, hugepcap.open_live(link.far, 65535, 1, 20) as two:
        for reader in (one, two):
            reader.set_fanout(os.getpid(), getattr(hugepcap, mode))
        seen = [[], []]
        stop = threading.Event()

        def read(reader, into):
            while not stop.is_set():
                METHODS["next_batch"](reader, into.append)

        reading = [Background(read, reader, into) for reader, into in zip((one, two), seen)]
        send(link.near, sent, flows=64, rate_pps=200_000)
        wait_until(lambda: sum(map(len, seen)) + one.stats()[1] + two.stats()[1] == sent, "all packets")
        stop.set()
        for each in reading:
            each.result()
    sequence = numbers(seen[0]), numbers(seen[1])
    assert all(list(part) == sorted(part) for part in sequence) and min(map(len, sequence)) > 0
    assert len(set(sequence[0]) | set(sequence[1])) == len(sequence[0]) + len(sequence[1]) <= sent
    if mode == "PACKET_FANOUT_HASH":
        assert not {number % 64 for number in sequence[0]} & {number % 64 for number in sequence[1]}


# ---- the end of a Reader ----

def test_unclosed_readers_warn(link):
    reader = hugepcap.open_live(link.far, 65535, 1, 20)
    with pytest.warns(ResourceWarning, match="unclosed.*far"):
        del reader
        gc.collect()


@pytest.mark.parametrize("end", ["close", "with", "never activated"])
def test_closed_readers_do_not_warn(link, end):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader = hugepcap.create(link.far)
        if end != "never activated":
            reader.activate()
        if end == "close":
            reader.close()
        if end == "with":
            with reader:
                pass
        del reader
        gc.collect()


def held():
    """Descriptors, mappings of sockets, resident KiB."""
    with open("/proc/self/maps") as maps:
        sockets = sum("socket:[" in line for line in maps)
    with open("/proc/self/statm") as statm:
        resident = int(statm.read().split()[1]) * 4
    return len(os.listdir("/proc/self/fd")), sockets, resident


def open_and_read(link, number):
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=1 << 20, filter="udp") as reader:
        reader.setfilter("ip")
        if number % 10 == 0:
            send(link.near, 10)
            read_packets(reader, 5)


def test_a_thousand_readers_leave_nothing(link):
    # closing a ring waits for the kernel (RCU): side by side these waits are one
    with ThreadPoolExecutor(16) as pool:
        def run(number):
            collections.deque(pool.map(lambda each: open_and_read(link, each), range(number)), maxlen=0)
            gc.collect()
            return held()

        fds, sockets, resident = run(100)
        after = run(1000)
    assert after[:2] == (fds, sockets)
    # a leak of one 16 KiB program or table in each would be 16 MiB
    assert after[2] - resident < 4096


def test_packets_leave_nothing(reader, link, method):
    def run(number):
        for _ in range(number):
            send(link.near, 5000, sizes=(1400, 1400))
            left = [5000]
            while left[0]:
                read_some(reader, method, left)
        gc.collect()
        return held()[2]

    before = run(4)
    # a leak of headers alone would be 40,000 x 48 bytes
    assert run(8) - before < 1500


def read_some(reader, method, left):
    def take(data):
        left[0] -= 1
        if left[0] == 0 and method not in TIMED:
            reader.breakloop()

    if method == "loop_to_buffer":
        by_loop_to_buffer(reader, take, left[0])
    else:
        METHODS[method](reader, take)


def test_failed_opens_leave_nothing(link):
    def fail():
        for arguments, options in [(("nosuch0", 65535, 1, 20), {}), ((link.far, 65535, 1, 20), {"filter": "bogus ("})]:
            with pytest.raises(hugepcap.PcapError):
                hugepcap.open_live(*arguments, **options)

    fail()
    gc.collect()
    before = held()[:2]
    for _ in range(100):
        fail()
    gc.collect()
    assert held()[:2] == before
