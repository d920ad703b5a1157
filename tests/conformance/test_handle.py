# SPDX-License-Identifier: BSD-3-Clause
"""A Reader's settings and states: not activated, offline, closed."""

import pytest

from differences import differ
from outcomes import ignore, outcome

# ---- set_* before activate() ----

SETTERS = ["set_snaplen", "set_promisc", "set_timeout", "set_buffer_size", "set_rfmon"]


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("value, expected", [
    (0, 0), (1, 0), (-1, 0), (True, 0), (2**31 - 1, 0), (-2**31, 0),
    (-2**31 - 1, "OverflowError"), ("1", "TypeError"), (1.0, "TypeError"), (None, "TypeError"), (b"", "TypeError"),
])
def test_setter(lib, setter, value, expected):
    reader = lib.create("lo")
    assert outcome(lib, lambda: getattr(reader, setter)(value)) == expected


@pytest.mark.parametrize("setter", [setter for setter in SETTERS if setter != "set_buffer_size"])
def test_setter_beyond_an_int(lib, setter):
    assert outcome(lib, lambda: getattr(lib.create("lo"), setter)(2**31)) == "OverflowError"


@pytest.mark.parametrize("size", [2**31, 65_535 << 21])
def test_buffer_size_beyond_an_int(lib, size):
    assert outcome(lib, lambda: lib.create("lo").set_buffer_size(size)) == differ(lib, "ring size", "OverflowError", 0)


@pytest.mark.parametrize("size", [(65_535 << 21) + 1, 2**63, 2**64])
def test_buffer_size_beyond_any_ring(lib, size):
    assert outcome(lib, lambda: lib.create("lo").set_buffer_size(size)) == "OverflowError"


@pytest.mark.parametrize("setter", SETTERS)
@pytest.mark.parametrize("arguments", [(), (1, 2)])
def test_setter_arguments(lib, setter, arguments):
    assert outcome(lib, lambda: getattr(lib.create("lo"), setter)(*arguments)) == "TypeError"


# ---- not activated ----

@pytest.fixture
def fresh(lib):
    return lib.create("lo")


@pytest.mark.parametrize("call", [
    lambda reader: reader.loop(1, ignore), lambda reader: reader.dispatch(1, ignore),
    lambda reader: reader.next_batch(1), lambda reader: reader.loop_filtered(1, ignore),
    lambda reader: reader.setfilter("ip"), lambda reader: reader.dump_open("/tmp/never"),
    lambda reader: reader.set_fanout(1),
])
def test_not_activated(lib, fresh, call):
    assert outcome(lib, lambda: call(fresh)) == "PcapError"


@pytest.mark.parametrize("call, difference, theirs", [
    (lambda reader: reader.next(), "reading before activate", (None, b"")),
    (lambda reader: reader.sendpacket(bytes(60)), "sending before activate", None),
    (lambda reader: reader.setdirection(1), "setdirection before activate", None),
])
def test_not_activated_unnoticed(lib, fresh, call, difference, theirs):
    assert outcome(lib, lambda: call(fresh)) == differ(lib, difference, theirs, "PcapError")


def test_getnonblock_before_activate(lib, fresh):
    assert fresh.getnonblock() == differ(lib, "getnonblock before activate", -3, 0)


def test_setnonblock_before_activate(lib, fresh):
    assert fresh.setnonblock(1) is None


WRONG_KINDS = [
    (lambda reader: reader.setfilter(None), "TypeError"), (lambda reader: reader.setfilter(b"ip"), "TypeError"),
    (lambda reader: reader.setfilter("ip\0"), "ValueError"), (lambda reader: reader.dump_open(5), "TypeError"),
    (lambda reader: reader.dump_open(None), "TypeError"), (lambda reader: reader.dump_open("a\0"), "ValueError"),
    (lambda reader: reader.sendpacket("x"), "TypeError"), (lambda reader: reader.sendpacket(None), "TypeError"),
]


@pytest.mark.parametrize("call, expected", WRONG_KINDS)
def test_wrong_kinds_before_activate(lib, fresh, call, expected):
    assert outcome(lib, lambda: call(fresh)) == expected


def test_loop_to_buffer_before_activate(lib, fresh):
    answer = outcome(lib, lambda: fresh.loop_to_buffer(1, bytearray(9)))
    assert answer == differ(lib, "reading before activate", (0,) * 7, "PcapError")


def test_setnonblock_after_a_failed_activate(lib, root):
    reader = lib.create("nosuch0")
    assert reader.activate() == -5
    answer = outcome(lib, lambda: reader.setnonblock(1))
    assert answer == differ(lib, "setnonblock after a failed activate", "PcapError", None)


def test_questions_before_activate(lib, fresh):
    assert (fresh.datalink(), fresh.getfd()) == (-3, -1)
    assert (fresh.getnet(), fresh.getmask()) == ("127.0.0.0", "255.0.0.0")


STATS_BEFORE_ACTIVATE = """
import importlib, sys
lib = importlib.import_module(sys.argv[1])
try:
    answer = lib.create("lo").stats()
    print("numbers" if len(answer) == 3 else answer)
except lib.PcapError:
    print("PcapError")
"""


def test_stats_before_activate(lib):
    from helpers import run_child

    answer = run_child(STATS_BEFORE_ACTIVATE, lib.__name__).stdout.strip()
    assert answer == differ(lib, "stats before activate", "numbers", "PcapError")


@pytest.mark.parametrize("device", ["nosuch0", "", "a" * 100])
def test_activate_no_such_device(lib, root, device):
    reader = lib.create(device)
    assert [reader.activate(), reader.activate()] == [-5, -5]
    assert (reader.set_snaplen(9), reader.getfd(), reader.datalink()) == (0, -1, -3)


# ---- files ----

def test_questions_to_a_file(lib, offline):
    assert (offline.datalink(), offline.getnonblock()) == (1, 0)
    assert (offline.getnet(), offline.getmask()) == ("0.0.0.0", "0.0.0.0")
    assert offline.getfd() > 2


@pytest.mark.parametrize("call", [
    lambda reader: reader.stats(), lambda reader: reader.setnonblock(1), lambda reader: reader.setnonblock(0),
    lambda reader: reader.setdirection(1), lambda reader: reader.setdirection(9),
    lambda reader: reader.sendpacket(bytes(60)), lambda reader: reader.set_fanout(1),
])
def test_what_files_cannot(lib, offline, call):
    assert outcome(lib, lambda: call(offline)) == "PcapError"


def test_files_are_activated(lib, offline):
    assert [getattr(offline, setter)(1) for setter in SETTERS] + [offline.activate()] == [-4] * 6


@pytest.mark.parametrize("call", [
    lambda reader: reader.setnonblock("x"), lambda reader: reader.setdirection("x"),
    lambda reader: reader.sendpacket("x"), lambda reader: reader.sendpacket(),
    lambda reader: reader.set_fanout(), lambda reader: reader.set_fanout("x"), lambda reader: reader.next(1),
    lambda reader: reader.stats(1), lambda reader: reader.close(1), lambda reader: reader.activate(1),
    lambda reader: reader.filtered_stats(1), lambda reader: reader.dump_open(), lambda reader: reader.dump_open(None),
    lambda reader: reader.setfilter(),
])
def test_wrong_types(lib, offline, call):
    assert outcome(lib, lambda: call(offline)) == "TypeError"


@pytest.mark.parametrize("method", ["datalink", "getnet", "getmask", "getnonblock"])
def test_stray_arguments(lib, offline, method):
    call = getattr(offline, method)
    assert outcome(lib, lambda: call(1)) == differ(lib, "stray arguments", call(), "TypeError")


# ---- closed ----

CALLS = {
    "activate": (), "datalink": (), "dispatch": (1, ignore), "dump_open": ("/tmp/never",), "getfd": (), "getmask": (),
    "getnet": (), "getnonblock": (), "loop": (1, ignore), "loop_filtered": (1, ignore),
    "loop_to_buffer": (1, bytearray(9)), "next": (), "next_batch": (1,), "sendpacket": (b"x",), "set_buffer_size": (1,),
    "set_fanout": (1,), "set_promisc": (1,), "set_rfmon": (1,), "set_snaplen": (1,), "set_timeout": (1,),
    "setdirection": (0,), "setfilter": ("ip",), "setnonblock": (0,), "stats": (), "__enter__": (),
}


@pytest.mark.parametrize("method", CALLS)
def test_closed(lib, offline, method):
    offline.close()
    with pytest.raises(ValueError, match="^pcap is closed$"):
        getattr(offline, method)(*CALLS[method])


CLOSED_AND_WRONG = [(setter, (wrong,)) for setter in SETTERS for wrong in ("x", 1.5, -2**31 - 1)] + [
    ("loop", ("x", ignore)), ("loop", (2**31, ignore)), ("loop", (1, None)), ("dispatch", (1.5, ignore)),
    ("dispatch", (1, None)), ("next_batch", (1.5,)), ("next_batch", (2**31,)), ("loop_filtered", ("x", ignore)),
    ("loop_to_buffer", (2**31, bytearray(9))), ("setfilter", (None,)), ("setnonblock", ("x",)),
    ("setdirection", (2**31,)), ("dump_open", (5,)), ("sendpacket", ("x",)), ("set_fanout", ("x",)),
    ("set_fanout", (1, None)),
]


@pytest.mark.parametrize("method, arguments", CLOSED_AND_WRONG)
def test_closed_with_wrong_kinds(lib, offline, method, arguments):
    offline.close()
    with pytest.raises(ValueError, match="^pcap is closed$"):
        getattr(offline, method)(*arguments)


@pytest.mark.parametrize("method", ["setfilter", "loop"])
def test_closed_with_wrong_arguments(lib, offline, method):
    offline.close()
    raised = outcome(lib, getattr(offline, method))
    assert raised == differ(lib, "wrong arguments on a closed Reader", "ValueError", "TypeError")


def test_close_again(lib, offline):
    assert [offline.close() for _ in range(3)] == [None] * 3
    assert offline.__exit__(None, None, None) is None


def test_context_manager(lib, corpus_path):
    with lib.open_offline(corpus_path) as reader:
        assert reader.next()[1] != b""
    assert outcome(lib, reader.next) == "ValueError"


def test_context_manager_passes_exceptions(lib, corpus_path):
    with pytest.raises(LookupError):
        with lib.open_offline(corpus_path) as reader:
            raise LookupError
    assert outcome(lib, reader.next) == "ValueError"


def test_counts_after_close(lib, offline):
    counts = offline.loop_filtered(-1, ignore, 0)
    offline.close()
    assert offline.filtered_stats() == counts
