# SPDX-License-Identifier: BSD-3-Clause
"""Several workers on one device: nothing twice, nothing lost, flows kept whole, and an end that loses nothing."""

import ctypes
import functools
import gc
import multiprocessing
import os
import platform
import signal
import socket
import struct
import threading

import pytest

import hugepcap
from helpers import Background, run_child, send, wait_until
from helpers.packets import ethernet, ipv4, udp
from hugepcap._generate import sequence_of
from hugepcap.slots import SLOTS
from test_links import put

KINDS = pytest.mark.parametrize("processes", [False, True])


def run_forked(call):
    """call() in a forked child, which is gone when this returns."""
    child = os.fork()
    if child == 0:
        try:
            call()
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def kill(fanout, number):
    """Kills a worker process, which is gone when this returns."""
    process = fanout._workers[number].process
    process.kill()
    wait_until(lambda: not process.is_alive(), "the worker's end")


def collect(reader):
    """The sequence numbers a worker saw, and its process."""
    return [sequence_of(packet) for batch in reader.batches() for packet in batch], os.getpid()


def numbers_of_datagrams(reader):
    return [int.from_bytes(packet[-8:], "big") for batch in reader.batches() for packet in batch]


@KINDS
@pytest.mark.parametrize("mode", ["hash", "lb", "cpu", "rnd", "qm", "rollover"])
def test_every_packet_goes_to_one_worker(link, mode, processes):
    sent = 5000
    with hugepcap.open_fanout(link.far, 3, mode, processes=processes) as fanout:
        fanout.start(collect)
        send(link.near, sent, flows=64)
        wait_until(lambda: fanout.stats().total[0] == sent, "all packets")
        results = fanout.stop()
        stats = fanout.stats()
    seen = [numbers for numbers, _ in results]
    assert sorted(sum(seen, [])) == list(range(sent))
    assert all(numbers == sorted(numbers) for numbers in seen)
    assert [counts[:2] for counts in stats.workers] == [(len(numbers), 0) for numbers in seen]
    assert stats.total == (sent, 0, 0)
    assert len({pid for _, pid in results}) == (3 if processes else 1)
    if mode in ("lb", "hash", "rnd"):
        assert min(map(len, seen)) > sent // 10, "the traffic was not shared"


@KINDS
def test_loopback_packets_come_once(network, processes):
    """They pass a group twice, on the way out and in. What is sent through a packet socket does not."""
    with hugepcap.open_fanout("lo", 2, "lb", processes=processes, filter="udp") as fanout, \
            socket.socket(type=socket.SOCK_DGRAM) as sock:
        fanout.start(numbers_of_datagrams)
        sock.bind(("127.0.0.1", 0))
        for number in range(100):
            sock.sendto(number.to_bytes(8, "big"), sock.getsockname())
        results = fanout.stop()
        if tuple(map(int, platform.release().split(".")[:2])) >= (6, 12):
            assert fanout.stats().total == (100, 0, 0)
    assert sorted(results[0] + results[1]) == list(range(100))


@KINDS
def test_stop_loses_nothing_that_was_captured(link, processes):
    """Packets that the kernel still holds in a block that is not full come out, too."""
    with hugepcap.open_fanout(link.far, 2, "lb", processes=processes, to_ms=1000) as fanout:
        fanout.start(collect)
        send(link.near, 7)
        results = fanout.stop()
        assert sorted(results[0][0] + results[1][0]) == list(range(7)) and fanout.stats().total == (7, 0, 0)
        send(link.near, 5)
        assert fanout.stats().total == (7, 0, 0)


def flow_of(packet):
    return bytes(packet[26:34]) if bytes(packet[20:22]) != b"\0\0" else bytes(packet[26:38])


def test_flows_and_their_fragments_stay_together(link):
    with hugepcap.open_fanout(link.far, 4, "hash") as fanout:
        fanout.start(lambda reader: [bytes(packet) for batch in reader.batches() for packet in batch])
        packets = [ethernet(ipv4(udp(1000 + flow, 53), 17, src=f"10.1.0.{flow + 1}"))
                   for flow in range(40)]
        put(link.near, *packets * 5)
        wait_until(lambda: fanout.stats().total[0] == 200, "all packets")
        seen = fanout.stop()
    assert sum(map(len, seen)) == 200 and sum(map(bool, seen)) > 1
    homes = {}
    for worker, datas in enumerate(seen):
        for data in datas:
            assert homes.setdefault(data, worker) == worker


def test_a_program_chooses(link):
    """ldb [15]; ret a: by the last byte of an IPv4 packet's source."""
    with hugepcap.open_fanout(link.far, 3, "cbpf", program=[(0x30, 0, 0, 15), (0x16, 0, 0, 0)]) as fanout:
        fanout.start(lambda reader: [packet[29] for batch in reader.batches() for packet in batch])
        put(link.near, *[ethernet(ipv4(udp(1000, 53), 17, src=f"10.1.0.{last}")) for last in range(30)])
        wait_until(lambda: fanout.stats().total[0] == 30, "all packets")
        assert fanout.stop() == [list(range(worker, 30, 3)) for worker in range(3)]


def ebpf_program(result):
    """The descriptor of a loaded eBPF socket filter that returns a number: mov r0, result; exit. Source: bpf(2)."""
    insns = struct.pack("=BBhiBBhi", 0xB7, 0, 0, result, 0x95, 0, 0, 0)
    code, licence = ctypes.create_string_buffer(insns), ctypes.create_string_buffer(b"BSD")
    attributes = ctypes.create_string_buffer(
        struct.pack("=IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(licence)).ljust(128, b"\0"), 128)
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall({"x86_64": 321, "aarch64": 280}[platform.machine()], 5, attributes, 128)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


@KINDS
def test_an_ebpf_program_chooses(link, processes):
    fd = ebpf_program(1)
    try:
        with hugepcap.open_fanout(link.far, 3, "ebpf", program=fd, processes=processes) as fanout:
            fanout.start(collect)
            send(link.near, 100, flows=16)
            wait_until(lambda: fanout.stats().total[0] == 100, "all packets")
            assert [numbers for numbers, _ in fanout.stop()] == [[], list(range(100)), []]
    finally:
        os.close(fd)


@pytest.mark.parametrize("mode, options", [("rollover", {}), ("hash", {"rollover": True})])
def test_a_full_ring_rolls_over(link, mode, options):
    """Of one flow, what the first ring had no room for goes to the next worker, and nothing is dropped. In small blocks:
    a sender that a busy machine holds up leaves many half full."""
    sent = 8000
    with hugepcap.open_fanout(link.far, 2, mode, ring_bytes=1 << 20, block_bytes=16 << 10, **options) as fanout:
        send(link.near, sent)
        fanout.start(collect)
        seen = [numbers for numbers, _ in fanout.stop()]
        assert fanout.stats().total == (sent, 0, 0)
    assert sorted(seen[0] + seen[1]) == list(range(sent)) and min(map(len, seen)) > 500
    assert max(seen[0][0], seen[1][0]) > 500, "the second worker had packets before the first one's ring was full"


def fragments(source, payload):
    """One UDP packet in two fragments, as put() sends them."""
    whole = udp(5000, 53, payload)
    first, rest = whole[:800], whole[800:]
    return [ethernet(ipv4(first, 17, src=source, fragment=0x2000)),
            ethernet(ipv4(rest, 17, src=source, fragment=len(first) // 8))]


def test_fragments_are_put_together(link):
    """PACKET_FANOUT_FLAG_DEFRAG: the members see whole packets. The headers need their checksums for that."""
    with hugepcap.open_fanout(link.far, 2, "hash") as fanout:
        fanout.start(lambda reader: [bytes(packet) for batch in reader.batches() for packet in batch])
        put(link.near, *[checked(each) for each in fragments("10.1.0.9", bytes(1200))])
        wait_until(lambda: fanout.stats().total[0] == 1, "the packet")
        datas, = [datas for datas in fanout.stop() if datas]
    assert len(datas) == 1 and len(datas[0]) == 14 + 20 + 8 + 1200


def checked(packet):
    """The packet with the checksum of its IPv4 header."""
    head = bytearray(packet[14:34])
    total = sum(int.from_bytes(head[i:i + 2], "big") for i in range(0, 20, 2))
    total = (total & 0xFFFF) + (total >> 16)
    head[10:12] = (0xFFFF - total - (total >> 16) & 0xFFFF).to_bytes(2, "big")
    return packet[:14] + bytes(head) + packet[34:]


def fail(reader):
    raise RuntimeError("a worker's own")


@KINDS
def test_what_a_worker_raises_comes_out(link, processes):
    with hugepcap.open_fanout(link.far, 2, processes=processes) as fanout:
        fanout.start(fail)
        with pytest.raises(RuntimeError, match="a worker's own"):
            fanout.stop()


def fail_or_collect(path, reader):
    """One worker, the first that gets there, raises."""
    try:
        os.mkdir(path)
    except FileExistsError:
        return collect(reader)
    raise RuntimeError("a worker's own")


def test_stop_again_gives_the_same_again(link):
    with hugepcap.open_fanout(link.far, 2, "lb", processes=True) as fanout:
        fanout.start(collect)
        send(link.near, 10)
        results = fanout.stop()
        assert len(results) == 2 and Background(fanout.stop).result() == results


def test_stop_again_raises_the_same_again(link, tmp_path):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        fanout.start(functools.partial(fail_or_collect, str(tmp_path / "taken")))
        for _ in range(2):
            with pytest.raises(RuntimeError, match="a worker's own"):
                Background(fanout.stop).result()


def test_two_threads_stop(link):
    with hugepcap.open_fanout(link.far, 2, "lb", processes=True) as fanout:
        fanout.start(collect)
        send(link.near, 10)
        first, second = [Background(fanout.stop) for _ in range(2)]
        assert first.result() == second.result()


def test_what_a_worker_answered_outlives_it(link):
    with hugepcap.open_fanout(link.far, 2, "lb", processes=True) as fanout:
        fanout.start(collect)
        send(link.near, 10)
        results = fanout.stop()
        kill(fanout, 1)
        assert fanout.stop() == results and fanout.stats().total == (10, 0, 0)


def collect_into(folder, reader):
    """A file, named after the process, says that the work has ended."""
    collect(reader)
    open(os.path.join(folder, str(os.getpid())), "w").close()


@pytest.mark.parametrize("killed", [0, 1])
def test_stop_reaches_the_workers_beside_a_dead_one(link, tmp_path, killed):
    with hugepcap.open_fanout(link.far, 3, "lb", processes=True) as fanout:
        fanout.start(functools.partial(collect_into, str(tmp_path)))
        send(link.near, 30)
        kill(fanout, killed)
        alive = [worker.process.pid for number, worker in enumerate(fanout._workers) if number != killed]
        for _ in range(2):
            with pytest.raises(hugepcap.PcapError, match="signal 9"):
                Background(fanout.stop).result()
            assert sorted(os.listdir(tmp_path)) == sorted(map(str, alive))
        before = fanout.stats()
        send(link.near, 30)
        assert fanout.stats() == before


def test_a_dead_worker_is_told_of_by_start_and_stop(link):
    with hugepcap.open_fanout(link.far, 3, processes=True) as fanout:
        kill(fanout, 1)
        with pytest.raises(hugepcap.PcapError, match="signal 9"):
            fanout.start(collect)
        with pytest.raises(hugepcap.PcapError, match="signal 9"):
            Background(fanout.stop).result()


class Unreadable:
    """It can be pickled, and cannot be unpickled in another process."""

    def __call__(self, reader):
        pass

    def __reduce__(self):
        return refuse_elsewhere, (os.getpid(),)


def return_unreadable(reader):
    return Unreadable()


def refuse_elsewhere(pid):
    assert os.getpid() == pid, "not to be had here"


def test_a_request_that_fails_does_not_end_the_worker(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        with pytest.raises(AssertionError, match="not to be had here"):
            fanout.start(Unreadable())
        assert fanout.stats().total == (0, 0, 0) and all(worker.process.is_alive() for worker in fanout._workers)


def test_a_result_that_cannot_be_read(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        fanout.start(return_unreadable)
        for _ in range(2):
            with pytest.raises(AssertionError, match="not to be had here"):
                Background(fanout.stop).result()


@KINDS
def test_a_closed_fanout_says_so(link, processes):
    fanout = hugepcap.open_fanout(link.far, 1, processes=processes)
    fanout.start(collect)
    fanout.close()
    fanout.close()
    for call in fanout.stats, fanout.stop, lambda: fanout.start(collect):
        with pytest.raises(ValueError, match="fanout is closed"):
            call()


class TwoArguments(Exception):
    """Pickled, it comes back as TypeError."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def fail_with_two(reader):
    raise TwoArguments("one", "two")


def fail_with_a_lock(reader):
    error = RuntimeError("held")
    error.lock = threading.Lock()
    raise error


def return_a_lock(reader):
    return threading.Lock()


@pytest.mark.parametrize("work, error, match", [
    (fail_with_two, hugepcap.PcapError, "TwoArguments: one and two(?s:.*)in fail_with_two"),
    (fail_with_a_lock, hugepcap.PcapError, "RuntimeError: held"), (return_a_lock, TypeError, "pickle")])
def test_what_cannot_be_pickled_comes_out_too(link, work, error, match):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        fanout.start(work)
        with pytest.raises(error, match=match):
            Background(fanout.stop).result()


def test_work_that_cannot_be_sent_is_refused(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        with pytest.raises(hugepcap.PcapError, match="lambda.* function of a module"):
            fanout.start(lambda reader: None)
        fanout.start(collect)
        assert [numbers for numbers, _ in Background(fanout.stop).result()] == [[], []]


def interrupt_workers(fanout):
    """What a terminal's Ctrl-C does to them."""
    for worker in fanout._workers:
        os.kill(worker.process.pid, signal.SIGINT)


def test_ctrl_c_loses_nothing(link):
    with hugepcap.open_fanout(link.far, 2, "lb", processes=True) as fanout:
        fanout.start(collect)
        interrupt_workers(fanout)
        send(link.near, 1000)
        results = fanout.stop()
        assert sorted(results[0][0] + results[1][0]) == list(range(1000))


def test_ctrl_c_under_batches_loses_nothing(link):
    with hugepcap.open_fanout(link.far, 2, "lb", processes=True) as fanout:
        batches = fanout.batches()
        interrupt_workers(fanout)
        send(link.near, 1000)
        fanout.stop()
        assert sorted(sequence_of(packet) for batch in batches for packet in batch) == list(range(1000))


@KINDS
def test_nothing_stays_behind(link, processes):
    gc.collect()    # what tests before it raised
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        with hugepcap.open_fanout(link.far, 2, processes=processes) as fanout:
            fanout.start(collect)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    with open("/proc/thread-self/net/packet") as lines:
        assert len(list(lines)) == 1


def test_one_of_two_is_closed(link):
    """The second's workers were forked when the first's pipes were there."""
    with hugepcap.open_fanout(link.far, 2, processes=True) as second_to_end:
        with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
            fanout.start(collect)
            Background(second_to_end.close).result()
            send(link.near, 10)
            assert sum(len(numbers) for numbers, _ in fanout.stop()) == 10


def test_closed_beside_a_forked_child(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        child = os.fork()
        if child == 0:
            signal.pause()
        try:
            Background(fanout.close).result()
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_forked_child_leaves_its_parents_workers_alone(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        fanout.start(collect)

        def use():
            with fanout, pytest.raises(hugepcap.PcapError, match="before a fork"):
                fanout.stop()

        run_forked(use)
        send(link.near, 10)
        assert sum(len(numbers) for numbers, _ in fanout.stop()) == 10


def test_a_worker_that_is_killed_can_be_closed(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        kill(fanout, 0)
        Background(fanout.close).result()


def test_several_threads_ask(link):
    """stop() from one, stats() from others, which go on while it waits."""
    with hugepcap.open_fanout(link.far, 2, "lb", processes=True) as fanout:
        fanout.start(collect)
        send(link.near, 100)
        stopped = threading.Event()

        def ask():
            asked = 0
            while not stopped.is_set() or asked < 200:
                assert fanout.stats().total == (100, 0, 0)
                asked += 1

        askers = [Background(ask) for _ in range(3)]
        assert sum(len(numbers) for numbers, _ in Background(fanout.stop).result()) == 100
        stopped.set()
        for asker in askers:
            asker.result()


def work_until_told(path, reader):
    collect(reader)
    with open(path) as fifo:
        return fifo.read()


def test_stats_come_while_stop_waits(link, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with hugepcap.open_fanout(link.far, 1, processes=True) as fanout:
        fanout.start(functools.partial(work_until_told, str(tmp_path / "fifo")))
        send(link.near, 5)
        stopping = Background(fanout.stop)
        with open(tmp_path / "fifo", "w") as fifo:    # opens when the worker has read its ring
            assert Background(fanout.stats).result().total == (5, 0, 0)
            assert stopping.is_alive()
            fifo.write("now")
        assert stopping.result() == ["now"]


class Interrupted(Exception):
    pass


def interrupt(*_):
    raise Interrupted


def test_an_interrupted_call_leaves_no_answer_behind(link):
    """What is asked next gets its own answer."""
    with hugepcap.open_fanout(link.far, 1, processes=True) as fanout:
        fanout.start(collect)
        send(link.near, 5)
        worker = fanout._workers[0].process.pid
        before = signal.signal(signal.SIGUSR1, interrupt)
        os.kill(worker, signal.SIGSTOP)
        try:
            threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGUSR1)).start()
            with pytest.raises(Interrupted):
                fanout.stats()
        finally:
            signal.signal(signal.SIGUSR1, before)
            os.kill(worker, signal.SIGCONT)
        fanout.stop()
        assert fanout.stats().total == (5, 0, 0)


@pytest.mark.parametrize("device, workers, options, error, match", [
    ("far", 0, {}, ValueError, "1 to 256"), ("far", 257, {}, ValueError, "1 to 256"),
    ("far", 2, {"mode": "fair"}, ValueError, "hash, lb"), ("far", 2, {"mode": "ebpf"}, ValueError, "descriptor"),
    ("far", 2, {"program": 3}, ValueError, "descriptor"), ("far", 2, {"mode": "cbpf"}, ValueError, "instructions"),
    ("far", 2, {"mode": "cbpf", "program": 3}, ValueError, "instructions"),
    ("far", 2, {"mode": "cbpf", "program": []}, OSError, "Invalid"), ("no such", 2, {}, hugepcap.PcapError, "no such"),
    ("far", 2, {"policy": "none"}, ValueError, "policy"), ("far", 2, {"processes": True, "policy": "x"}, ValueError, "x"),
])
def test_bad_requests(link, device, workers, options, error, match):
    with pytest.raises(error, match=match):
        hugepcap.open_fanout(device, workers, **options)


def test_start_and_stop_are_once(link):
    with hugepcap.open_fanout(link.far, 1) as fanout:
        with pytest.raises(hugepcap.PcapError, match="not started"):
            fanout.stop()
        fanout.start(collect)
        with pytest.raises(hugepcap.PcapError, match="already"):
            fanout.start(collect)
        assert len(fanout) == 1 and fanout.stop()[0][0] == []


# ---- batches from worker processes ----

def test_batches_of_processes(link):
    """Every packet once, each worker's in order, in columns as a Reader's; stop() loses nothing."""
    sent = 20_000
    with hugepcap.open_fanout(link.far, 2, "hash", processes=True) as fanout:
        batches = fanout.batches()
        send(link.near, sent, flows=64, sizes=(60, 1400))
        fanout.stop()
        seen = []
        for batch in batches:
            assert list(batch.caplen) == [len(packet) for packet in batch] == list(batch.len)
            assert list(batch.flows().proto) == [17] * len(batch) and set(batch.direction) == {hugepcap.PCAP_D_IN}
            assert list(batch.ts_ns) == sorted(batch.ts_ns)
            seen += [sequence_of(packet) for packet in batch]
        assert sorted(seen) == list(range(sent)) and fanout.stats().total == (sent, 0, 0)


def test_held_slots_hold_the_worker_up_and_views_keep_theirs(link):
    """With every slot held the worker waits; a slot that is given back goes on. Views outlive the Fanout."""
    with hugepcap.open_fanout(link.far, 1, processes=True, to_ms=20) as fanout:
        batches = fanout.batches()
        held = []
        for number in range(SLOTS):
            send(link.near, 1, first_seq=number)
            held.append(next(batches))
        send(link.near, 1, first_seq=SLOTS)
        worker, = fanout._workers
        assert not worker.slots.filled.poll(0.3), "a slot was filled that is held"
        view = held.pop(0)[0]
        assert not worker.slots.filled.poll(0.1), "a slot was filled that has a view"
        assert sequence_of(view) == 0
        del view
        assert [sequence_of(packet) for packet in next(batches)] == [SLOTS]
        kept = held[0][0]
    gc.collect()
    assert sequence_of(kept) == 1 and [sequence_of(batch[0]) for batch in held] == list(range(1, SLOTS))


def test_a_forked_child_gives_no_slot_back(link):
    """A batch that it drops is still held here, and so is its slot."""
    with hugepcap.open_fanout(link.far, 1, processes=True, to_ms=20) as fanout:
        batches = fanout.batches()
        send(link.near, 1)
        held = [next(batches)]
        run_forked(lambda: (batches.close(), held.clear()))
        for number in range(1, 2 * SLOTS):
            send(link.near, 1, first_seq=number)
            assert [sequence_of(packet) for packet in next(batches)] == [number]
            assert sequence_of(held[0][0]) == 0, "the worker filled a slot that is held"


def test_a_worker_that_is_killed(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        batches = fanout.batches()
        os.kill(fanout._workers[1].process.pid, signal.SIGKILL)
        with pytest.raises(hugepcap.PcapError, match="signal 9"):
            list(batches)
        with pytest.raises(hugepcap.PcapError, match="signal 9"):
            fanout.stop()


def test_batches_take_processes_and_come_once(link):
    with hugepcap.open_fanout(link.far, 1) as fanout, pytest.raises(hugepcap.PcapError, match="processes=True"):
        fanout.batches()
    with hugepcap.open_fanout(link.far, 1, processes=True) as fanout:
        fanout.batches()
        with pytest.raises(hugepcap.PcapError, match="already"):
            fanout.start(collect)


# ---- stop() and admit() of one Reader ----

def test_stop_reads_out_and_ends(link, method):
    from reading import ENDLESS, METHODS
    with hugepcap.open_live(link.far, 65535, 1, 20) as reader:
        send(link.near, 50)
        reader.stop()
        reader.stop()
        send(link.near, 50, first_seq=50)
        seen = []
        while len(seen) < 50:
            METHODS[method](reader, seen.append)
        METHODS[method](reader, seen.append)
        assert [sequence_of(data) for data in seen] == list(range(50))
        assert method in ENDLESS or reader.next() == (None, b"")


def test_held_back_until_admitted(link):
    with hugepcap.open_live(link.far, 65535, 1, 20, held=True, filter="udp") as reader:
        send(link.near, 10)
        reader.setfilter("greater 100")
        send(link.near, 10, sizes=(200, 200))
        reader.admit()
        send(link.near, 10, first_seq=20)
        send(link.near, 10, first_seq=30, sizes=(200, 200))
        wait_until(lambda: reader.stats()[0] == 10, "what was admitted")
        assert [sequence_of(reader.next()[1]) for _ in range(10)] == list(range(30, 40))


def test_stop_needs_a_ring(tmp_path):
    path = tmp_path / "empty.pcap"
    path.write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    with hugepcap.open_offline(path) as reader, pytest.raises(hugepcap.PcapError, match="ring engine"):
        reader.stop()


def close_it(fanout):
    fanout.close()


def close_it_elsewhere(fanout):
    Background(fanout.close).join(20)


@pytest.mark.parametrize("close", [close_it, close_it_elsewhere])
def test_the_iteration_ends_with_close(link, close):
    with hugepcap.open_fanout(link.far, 2, processes=True, to_ms=10) as fanout:
        batches = fanout.batches()
        send(link.near, 100)
        first = next(batches)
        close(fanout)
        assert len(first) and list(batches) == []


def test_closed_while_the_iteration_waits(link):
    with hugepcap.open_fanout(link.far, 2, processes=True) as fanout:
        taken = Background(list, fanout.batches())
        taken.join(0.2)
        assert taken.is_alive()
        fanout.close()
        assert taken.result() == []


def read_fifty_and_close(reader):
    with reader:
        return sum(len(batch) for batch in reader.batches(limit=50))


@KINDS
def test_work_may_close_its_reader(link, processes):
    with hugepcap.open_fanout(link.far, 1, processes=processes) as fanout:
        send(link.near, 50)
        wait_until(lambda: fanout.stats().total == (50, 0, 0), "the packets")
        fanout.start(read_fifty_and_close)
        assert fanout.stop() == [50] and fanout.stats().total == (50, 0, 0)


def test_a_worker_does_not_stop_its_fanout(link):
    with hugepcap.open_fanout(link.far, 1) as fanout:
        fanout.start(lambda reader: fanout.stop())
        pytest.raises(hugepcap.PcapError, fanout.stop).match("cannot wait for itself")


def test_workers_that_cannot_open_leave_nothing(link):
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(hugepcap.PcapError) as caught:
        hugepcap.open_fanout(link.far, 2, processes=True, filter="bogus (")
    assert len(os.listdir("/proc/self/fd")) == before and not multiprocessing.active_children()
    del caught


# A finalizer that looks at a slot's packets while the worker has more to fill it with.
FINAL_LOOK = """
import gc, sys, threading, time
import hugepcap
from helpers import send

near, far = sys.argv[1:]
same = []

class Session:
    def __del__(self):
        before = bytes(self.view)
        while len(later) < 8:
            time.sleep(0.01)
        same.append(bytes(self.view) == before)

gc.disable()
later = []
with hugepcap.open_fanout(far, 1, processes=True, to_ms=10) as fanout:
    batches = fanout.batches()
    send(near, 10)
    view = next(batches)[0]
    session = Session()
    session.me, session.view = session, view
    del view

    def go_on():
        for batch in batches:
            later.append(len(batch))
            batch.release()

    going_on = threading.Thread(target=go_on)
    going_on.start()

    def send_more():
        while len(later) < 8:
            send(near, 10, first_seq=1000)
            time.sleep(0.02)

    sending = threading.Thread(target=send_more)
    sending.start()
    del session
    gc.collect()
    sending.join()
    fanout.stop()
    going_on.join()
assert same == [True], same
"""


def test_a_slot_is_not_filled_before_the_last_look_at_it(link):
    child = run_child(FINAL_LOOK, link.near, link.far)
    assert (child.returncode, child.stderr) == (0, "")
