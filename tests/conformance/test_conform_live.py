# SPDX-License-Identifier: BSD-3-Clause
"""Live captures on a veth pair and on lo."""

import itertools
import re
import select
import signal
import struct
import subprocess
import time
from collections import Counter

import pytest

import netns
from differences import differ
from helpers import is_waiting, run_child, send, start_child, wait_until
from helpers.smaps import ring_pages
from outcomes import collect, header, ignore, outcome

NR = 20


@pytest.fixture
def reader(lib, link):
    with lib.open_live(link.far, 65535, 1, 50) as opened:
        yield opened


@pytest.fixture
def filled(reader, link):
    """A Reader with packets 0 to NR - 1 on their way to it."""
    send(link.near, NR)
    return reader


def numbers(datas):
    from hugepcap._generate import sequence_of

    return [sequence_of(data) for data in datas]


def loop(reader, wanted):
    return collect(lambda callback: reader.loop(wanted, callback))


# ---- reading ----

def test_next(filled):
    packets = [filled.next() for _ in range(NR)]
    assert numbers(data for _, data in packets) == list(range(NR))
    assert {header(hdr)[1:] for hdr, _ in packets} == {(60, 60)}


def test_times(reader, link):
    started = time.time_ns() // 1000
    send(link.near, NR)
    _, seen = loop(reader, NR)
    times = [sec * 1_000_000 + usec for ((sec, usec), _, _), _ in seen]
    assert times == sorted(times) and started <= times[0] and times[-1] <= time.time_ns() // 1000
    assert all(usec < 1_000_000 for ((_, usec), _, _), _ in seen)


def test_loop(filled):
    returned, seen = loop(filled, NR)
    assert returned is None and numbers(data for _, data in seen) == list(range(NR))


@pytest.mark.parametrize("cnt", [-1, 0, 1000, NR])
def test_dispatch_takes_what_is_there(filled, cnt):
    taken, seen = collect(lambda callback: filled.dispatch(cnt, callback))
    assert taken == NR and numbers(data for _, data in seen) == list(range(NR))


def test_dispatch_stops_at_its_count(filled):
    takes = [collect(lambda callback: filled.dispatch(8, callback)) for _ in range(3)]
    assert [taken for taken, _ in takes] == [8, 8, 4]
    assert numbers(data for _, seen in takes for _, data in seen) == list(range(NR))


def test_next_batch(reader, link):
    started = time.time_ns() // 1000
    send(link.near, NR)
    packets, records = reader.next_batch(NR)
    times = [sec * 1_000_000 + usec for sec, usec, _, _ in struct.iter_unpack("=IIII", records)]
    assert times == sorted(times) and started <= times[0] and times[-1] <= time.time_ns() // 1000
    assert all(usec < 1_000_000 for _, usec, _, _ in struct.iter_unpack("=IIII", records))
    datas = [packets[offset:offset + caplen] for _, _, offset, caplen in struct.iter_unpack("=IIII", records)]
    assert numbers(datas) == list(range(NR))


def test_loop_filtered(filled):
    counts, seen = collect(lambda callback: filled.loop_filtered(NR, callback))
    assert counts == (NR, 0, NR, 0, 0) and numbers(data for _, data, _ in seen) == list(range(NR))


def test_loop_to_buffer(filled):
    buffer = bytearray(10_000)
    assert filled.loop_to_buffer(NR, buffer) == (NR, 0, 0, NR * 65, NR, 0, 0)
    assert numbers(bytes(buffer[i * 65 + 5:(i + 1) * 65]) for i in range(NR)) == list(range(NR))


def test_flows(lib, reader, link):
    send(link.near, 100, flows=4)
    assert reader.loop_filtered(100, ignore, 0, flow_cutoff=3) == (0, 100, 88, 12, 0)


@pytest.mark.parametrize("method", ["loop", "dispatch", "loop_filtered"])
def test_exception_of_the_callback(filled, method):
    def callback(*packet):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        getattr(filled, method)(NR, callback)


# ---- non-blocking ----

def test_nonblocking(lib, reader, link):
    assert (reader.getnonblock(), reader.setnonblock(1), reader.getnonblock()) == (0, None, 1)
    assert (reader.next(), reader.dispatch(-1, ignore), reader.next_batch(9)) == ((None, b""), 0, (b"", b""))
    send(link.near, 3)
    assert wait_until(lambda: reader.dispatch(-1, ignore), "packets") == 3
    reader.setnonblock(0)
    assert reader.getnonblock() == 0


def test_getfd_becomes_readable(reader, link):
    assert select.select([reader.getfd()], [], [], 0)[0] == []
    send(link.near, 1)
    assert select.select([reader.getfd()], [], [], 30)[0] == [reader.getfd()]
    assert reader.next()[0] is not None


# ---- settings ----

@pytest.mark.parametrize("snaplen, caplen", [(33, 33), (1, 1), (99, 99), (100, 100), (101, 100), (0, 100), (-1, 100),
                                             (2**31 - 1, 100)])
def test_snaplen(lib, link, snaplen, caplen):
    with lib.open_live(link.far, snaplen, 1, 50) as reader:
        send(link.near, 1, sizes=(100, 100))
        hdr, data = reader.next()
    assert (header(hdr)[1:], len(data)) == ((caplen, 100), caplen)


def test_setfilter(reader, link):
    assert reader.setfilter("udp and greater 100") is None
    for size in (60, 100, 60, 101):
        send(link.near, 1, sizes=(size, size), first_seq=size)
    _, seen = loop(reader, 2)
    assert numbers(data for _, data in seen) == [100, 101]
    assert reader.stats()[:2] == (2, 0)


@pytest.mark.parametrize("filter, expected", [("bogus (", "PcapError"), ("wlan type mgt", "PcapError"),
                                              (None, "TypeError"), ("ip\0", "ValueError"), ("", None)])
def test_setfilter_arguments(lib, reader, filter, expected):
    assert outcome(lib, lambda: reader.setfilter(filter)) == expected


def test_stats_grow(reader, link):
    assert reader.stats() == (0, 0, 0)
    send(link.near, 10)
    wait_until(lambda: reader.stats()[0] == 10, "ten packets")
    send(link.near, 10)
    wait_until(lambda: reader.stats()[0] == 20, "ten more")
    assert [type(value) for value in reader.stats()] == [int] * 3


@pytest.mark.parametrize("direction, expected", [("PCAP_D_INOUT", [1, 2]), ("PCAP_D_IN", [1]), ("PCAP_D_OUT", [2])])
def test_setdirection(lib, reader, link, direction, expected):
    assert reader.setdirection(getattr(lib, direction)) is None
    send(link.near, 1, first_seq=1)
    send(link.far, 1, first_seq=2, qdisc_bypass=False)
    send(link.near, 1, first_seq=3)
    _, seen = loop(reader, len(expected) + (1 in expected))
    assert numbers(data for _, data in seen)[:len(expected)] == expected


@pytest.mark.parametrize("direction", [3, -1, 99])
def test_unknown_directions(lib, reader, direction):
    assert outcome(lib, lambda: reader.setdirection(direction)) == differ(lib, "unknown directions", None, "PcapError")


@pytest.mark.parametrize("setting, value", [("set_snaplen", 1), ("set_promisc", 1), ("set_timeout", 1),
                                            ("set_buffer_size", 1), ("set_rfmon", 1)])
def test_set_after_activate(reader, setting, value):
    assert getattr(reader, setting)(value) == -4 and reader.activate() == -4


def test_create_and_activate(lib, link):
    reader = lib.create(link.far)
    settings = [reader.set_snaplen(60), reader.set_promisc(1), reader.set_timeout(50), reader.set_buffer_size(1 << 20)]
    assert settings + [reader.activate()] == [0] * 5
    send(link.near, NR, sizes=(80, 80))
    assert {(header(hdr)[1:], len(data)) for hdr, data in [reader.next() for _ in range(NR)]} == {((60, 80), 60)}


@pytest.mark.parametrize("size", [-1, 0, 1, 4096, 2**20 + 1])
def test_any_buffer_size(lib, link, size):
    reader = lib.create(link.far)
    reader.set_timeout(50)
    assert (reader.set_buffer_size(size), reader.activate()) == (0, 0)
    send(link.near, 1)
    assert numbers([reader.next()[1]]) == [0]


def test_activate_a_device_that_is_down(lib, link):
    netns.ip(f"link set {link.far} down")
    assert lib.create(link.far).activate() == -9
    with pytest.raises(lib.PcapError, match=link.far):
        lib.open_live(link.far, 65535, 1, 50)


def test_activate_without_monitor_mode(lib, link):
    reader = lib.create(link.far)
    assert (reader.set_rfmon(1), reader.activate()) == (0, -6)


WITHOUT_RIGHTS = """
import importlib, sys
from helpers import drop_rights
lib = importlib.import_module(sys.argv[1])
drop_rights()
status = lib.create(sys.argv[2]).activate()
try:
    lib.open_live(sys.argv[2], 65535, 1, 50)
except lib.PcapError as error:
    print(status, "PcapError", isinstance(error, PermissionError))
"""


def test_without_rights(lib, link):
    said = run_child(WITHOUT_RIGHTS, lib.__name__, link.far).stdout.split()
    assert said == ["-8", "PcapError", str(differ(lib, "error classes", False, True))]


NFLOG_WITHOUT_RIGHTS = """
import hugepcap
from helpers import drop_rights
drop_rights()
try:
    hugepcap.open_live("nflog", 65535, 1, 50)
except PermissionError as error:
    print(isinstance(error, hugepcap.PcapError), "CAP_NET_ADMIN" in str(error))
"""


def test_without_rights_to_a_device_of_libpcap(root):
    assert run_child(NFLOG_WITHOUT_RIGHTS).stdout.split() == ["True", "True"]


def test_promiscuous(lib, link):
    def promiscuity():
        shown = subprocess.run(["ip", "-d", "link", "show", link.far], stdout=subprocess.PIPE, text=True).stdout
        return int(re.search(r"promiscuity (\d+)", shown)[1])

    with lib.open_live(link.far, 65535, 0, 50):
        without = promiscuity()
    with lib.open_live(link.far, 65535, 1, 50):
        assert promiscuity() == without + 1
    wait_until(lambda: promiscuity() == without, "the device to leave promiscuous mode")


def test_options_of_open_live(lib, link):
    opened = outcome(lib, lambda: lib.open_live(link.far, 65535, 1, 50, ring_bytes=1 << 20).close())
    assert opened == differ(lib, "options of open_live", "TypeError", None)


def test_network_of_a_device(lib, link):
    netns.ip(f"address add 192.0.2.77/28 dev {link.far}")
    reader = lib.open_live(link.far, 65535, 0, 50)
    assert (reader.getnet(), reader.getmask()) == ("192.0.2.64", "255.255.255.240")


@pytest.mark.parametrize("device, linktype", [("any", 113), ("lo", 1), ("far", 1)])
def test_link_types(lib, link, device, linktype):
    assert lib.open_live(device, 65535, 1, 50).datalink() == linktype
    reader = lib.create(device)
    assert (reader.activate(), reader.datalink()) == (0, linktype)


def test_default_ring(lib, link):
    before = Counter(ring_pages())
    with lib.open_live(link.far, 65535, 1, 50):
        assert [size for size, _ in Counter(ring_pages()) - before] == [differ(lib, "default ring", 2 << 20, 64 << 20)]


def test_tags_are_put_back(lib, reader, link):
    from hugepcap._generate import build_packet

    send(link.near, 1, vlan=42, sizes=(80, 80))
    assert reader.next()[1] == build_packet(0, vlan=42, sizes=(80, 80))


@pytest.mark.parametrize("filter, expected", [("vlan 42", [1]), ("vlan", [1, 2]), ("vlan 42 and udp", [1]),
                                              ("not vlan", [0, 3]), ("udp", [0, 1, 2, 3]), ("", [0, 1, 2, 3])])
def test_filters_for_tags(lib, reader, link, filter, expected):
    reader.setfilter(filter)
    for number, tag in enumerate((None, 42, 43, None)):
        send(link.near, 1, first_seq=number, vlan=tag, sizes=(80, 80))
    _, seen = loop(reader, len(expected))
    assert numbers(data for _, data in seen) == expected


def test_filters_for_directions(lib, reader, link):
    """Packets come until one is delivered: the first, or one from a block that the kernel began after the filter."""
    reader.setfilter("inbound")
    reader.setnonblock(1)
    seen, number = [], itertools.count()

    def one_more():
        send(link.near, 1, first_seq=next(number))
        return reader.dispatch(-1, lambda hdr, data: seen.append(data))

    wait_until(one_more, "a packet")
    first_is_lost = numbers(seen)[0] > 0
    assert first_is_lost == differ(lib, "filters for directions", True, False)


# ---- any, lo ----

def test_cooked_header(lib, link):
    with lib.open_live("any", 65535, 0, 50) as reader:
        reader.setfilter("udp")
        send(link.near, 1)
        hdr, data = reader.next()
    kind, hatype, length, address, protocol = struct.unpack("!HHH8sH", data[:16])
    assert (kind, hatype, length, protocol) == (3, 1, 6, 0x0800)
    assert header(hdr)[1:] == (60 - 14 + 16,) * 2 and numbers([data]) == [0]


def test_loopback_delivers_once_and_counts(lib, network):
    with lib.open_live("lo", 65535, 0, 50) as reader:
        send("lo", NR, qdisc_bypass=False)
        _, seen = loop(reader, NR)
        reader.setnonblock(1)
        assert reader.next() == (None, b"")
        assert numbers(data for _, data in seen) == list(range(NR))
        assert reader.stats()[0] == differ(lib, "counting on loopback", 2 * NR, NR)


# ---- sending, dumping, fanout ----

def test_sendpacket(lib, link):
    from hugepcap._generate import build_packet

    with lib.open_live(link.near, 65535, 0, 50) as sender, lib.open_live(link.far, 65535, 0, 50) as reader:
        assert sender.sendpacket(build_packet(5)) is None
        assert numbers([reader.next()[1]]) == [5]


@pytest.mark.parametrize("packet, expected", [(b"", "PcapError"), (b"x" * 10, "PcapError"), (b"x" * 2000, "PcapError"),
                                              ("x" * 60, "TypeError"), (None, "TypeError")])
def test_sendpacket_refuses(lib, reader, packet, expected):
    assert outcome(lib, lambda: reader.sendpacket(packet)) == expected


def test_sendpacket_takes_buffers(lib, reader):
    sent = outcome(lib, lambda: reader.sendpacket(bytearray(60)))
    assert sent == differ(lib, "buffers", "TypeError", None)


def test_any_cannot_send(lib, link):
    assert outcome(lib, lambda: lib.open_live("any", 65535, 0, 50).sendpacket(bytes(60))) == "PcapError"


def test_dump_of_a_live_capture(lib, filled, tmp_path):
    dumper = filled.dump_open(str(tmp_path / "out"))
    filled.loop(NR, dumper.dump)
    dumper.close()
    copy = lib.open_offline(str(tmp_path / "out"))
    assert copy.datalink() == 1
    assert numbers(data for _, data in loop(copy, -1)[1]) == list(range(NR))


@pytest.mark.parametrize("arguments, keywords, expected", [
    ((1,), {}, None), ((1, 1), {}, None), ((), {"group_id": 7, "fanout_type": 2}, None), ((-1,), {}, None),
    ((65536 + 5,), {}, None), ((8, 3), {}, None), ((9, 0x8000), {}, None), ((1, 99), {}, "PcapError"),
    ((), {}, "TypeError"), (("1",), {}, "TypeError"), ((2**31,), {}, "OverflowError"), ((1, None), {}, "TypeError"),
])
def test_set_fanout(lib, reader, arguments, keywords, expected):
    assert outcome(lib, lambda: reader.set_fanout(*arguments, **keywords)) == expected


def test_set_fanout_again(lib, reader):
    reader.set_fanout(1)
    assert outcome(lib, lambda: reader.set_fanout(2)) == "PcapError"


# ---- pcapy-ng's hangs and crashes, each in a process of its own ----

IDLE = """
import importlib, sys, threading
lib = importlib.import_module(sys.argv[1])
reader = lib.open_live("far", 65535, 1, 20)
sender = lib.open_live("near", 65535, 1, 20)
wake = threading.Timer(1.5, sender.sendpacket, [bytes(60)])
wake.start()
answer = {"next": lambda: reader.next()[0] is not None,
          "dispatch": lambda: reader.dispatch(-1, lambda *packet: None),
          "next_batch": lambda: len(reader.next_batch(9)[1])}[sys.argv[2]]()
wake.cancel()
print("packet" if answer else "empty")
"""


@pytest.mark.parametrize("method", ["next", "dispatch", "next_batch"])
def test_idle_reads_return(lib, link, method):
    said = run_child(IDLE, lib.__name__, method).stdout.strip()
    assert said == differ(lib, "idle reads return", "packet", "empty")


INTERRUPTED = """
import importlib, sys
lib = importlib.import_module(sys.argv[1])
reader = lib.open_live("far", 65535, 1, 20)
print("ready")
reader.loop(-1, lambda *packet: None)
"""


def test_ctrl_c_ends_a_wait(lib, link):
    child = start_child(INTERRUPTED, lib.__name__)
    try:
        assert child.stdout.readline() == "ready\n"
        wait_until(lambda: is_waiting(child.pid), "the child to wait for packets")
        child.send_signal(signal.SIGINT)
        try:
            said = child.communicate(timeout=1.5 if lib.__name__ == "pcapy" else 30)[1]
            ended = "KeyboardInterrupt" in said
        except subprocess.TimeoutExpired:
            ended = False
    finally:
        child.kill()
        child.communicate()
    assert ended == differ(lib, "Ctrl-C ends a wait", False, True)


CLOSE_IN_CALLBACK = """
import importlib, sys
lib = importlib.import_module(sys.argv[1])
reader = lib.open_offline(sys.argv[2])
seen = []
def callback(hdr, data):
    seen.append(data)
    reader.close()
reader.loop(-1, callback)
print(len(seen))
"""


def test_close_in_the_callback(lib, corpus_path):
    done = run_child(CLOSE_IN_CALLBACK, lib.__name__, corpus_path)
    came_to = done.stdout.strip() if done.returncode == 0 else "died"
    assert came_to == differ(lib, "close in the callback", "died", "1")


CLOSE_ELSEWHERE = """
import importlib, os, sys, threading
lib = importlib.import_module(sys.argv[1])
reader = lib.open_live("far", 65535, 1, 20)
thread = threading.Thread(target=reader.loop, args=(-1, lambda *packet: None), daemon=True)
thread.start()
thread.join(0.2)
reader.close()
thread.join(1.5 if lib.__name__ == "pcapy" else 30)
print("goes on" if thread.is_alive() else "ended", flush=True)
os._exit(0)
"""


def test_close_from_another_thread(lib, link):
    done = run_child(CLOSE_ELSEWHERE, lib.__name__)
    ended = done.returncode == 0 and done.stdout.strip() == "ended"
    assert ended == differ(lib, "close from another thread", False, True)
