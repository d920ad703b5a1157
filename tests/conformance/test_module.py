# SPDX-License-Identifier: BSD-3-Clause
"""The module's functions, constants and types."""

import pytest

from differences import differ
from outcomes import outcome

CONSTANTS = {
    "DLT_NULL": 0, "DLT_EN10MB": 1, "DLT_IEEE802": 6, "DLT_ARCNET": 7, "DLT_SLIP": 8, "DLT_PPP": 9, "DLT_FDDI": 10,
    "DLT_ATM_RFC1483": 11, "DLT_RAW": 12, "DLT_PPP_SERIAL": 50, "DLT_PPP_ETHER": 51, "DLT_C_HDLC": 104,
    "DLT_IEEE802_11": 105, "DLT_LOOP": 108, "DLT_LINUX_SLL": 113, "DLT_LTALK": 114,
    "PCAP_D_INOUT": 0, "PCAP_D_IN": 1, "PCAP_D_OUT": 2,
    "PACKET_FANOUT_HASH": 0, "PACKET_FANOUT_LB": 1, "PACKET_FANOUT_CPU": 2, "PACKET_FANOUT_ROLLOVER": 3,
    "PACKET_FANOUT_RND": 4,
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constant(lib, name):
    assert getattr(lib, name) == CONSTANTS[name]


def test_every_name_of_pcapy_is_there():
    import hugepcap
    import pcapy

    names = {name for name in dir(pcapy) if not name.startswith("_")}
    assert {name for name in names if name.isupper()} == set(CONSTANTS)
    assert names <= set(dir(hugepcap))


def test_every_method_of_pcapy_is_there(corpus_path):
    import hugepcap
    import pcapy

    def members(lib):
        reader = lib.open_offline(corpus_path)
        dumper = reader.dump_open("/dev/null")
        objects = reader, reader.next()[0], dumper, lib.BPFProgram("ip")
        return {(type(each).__name__, name) for each in objects for name in dir(each)
                if not name.startswith("_") or name in ("__enter__", "__exit__")}

    assert members(pcapy) <= members(hugepcap)


def test_type_names(lib, corpus_path):
    reader = lib.open_offline(corpus_path)
    hdr, _ = reader.next()
    types = reader, hdr, reader.dump_open("/dev/null"), lib.BPFProgram("ip")
    assert [type(each).__name__ for each in types] == ["Reader", "Pkthdr", "Dumper", "BPFProgram"]


def test_readers_cannot_be_made_by_hand(lib, offline):
    with pytest.raises(TypeError):
        type(offline)()


def test_types_are_exported(lib):
    exported = [name for name in ("BPFProgram", "Dumper", "Pkthdr", "Reader") if hasattr(lib, name)]
    assert exported == differ(lib, "types", ["BPFProgram"], ["BPFProgram", "Dumper", "Pkthdr", "Reader"])


def test_exceptions(lib):
    assert lib.PcapError.__name__ == "PcapError" and lib.PcapError.__mro__[1] is Exception
    assert lib.BPFError.__name__ == "BPFError" and lib.BPFError.__mro__[1] is Exception


def test_findalldevs(lib):
    names = lib.findalldevs()
    assert type(names) is list and all(type(name) is str for name in names)
    assert {"lo", "any"} <= set(names) and len(names) == len(set(names))


def test_order_of_devices(lib, root):
    names = lib.findalldevs()
    assert (names.index("lo") < names.index("any")) == differ(lib, "order of devices", True, False)


def test_lookupdev_is_a_device(lib):
    found = outcome(lib, lib.lookupdev)
    devices = [name for name in lib.findalldevs() if name not in ("lo", "any")]
    assert found in devices if devices else found == "PcapError"


@pytest.mark.parametrize("function", ["findalldevs", "lookupdev"])
def test_stray_arguments(lib, function):
    call = getattr(lib, function)
    assert outcome(lib, lambda: call(1)) == differ(lib, "stray arguments", outcome(lib, call), "TypeError")


WRONG_CALLS = {
    "open_live without to_ms": (lambda lib: lib.open_live("lo", 1, 0), "TypeError"),
    "open_live with five": (lambda lib: lib.open_live("lo", 1, 0, 1, 5), "TypeError"),
    "open_live by keyword": (lambda lib: lib.open_live("lo", 1, 0, to_ms=1), "TypeError"),
    "open_live of None": (lambda lib: lib.open_live(None, 1, 0, 1), "TypeError"),
    "open_live of bytes": (lambda lib: lib.open_live(b"lo", 1, 0, 1), "TypeError"),
    "open_live with NUL": (lambda lib: lib.open_live("l\0o", 1, 0, 1), "ValueError"),
    "open_live with snaplen 2^31": (lambda lib: lib.open_live("lo", 2**31, 0, 1), "OverflowError"),
    "open_live with a float": (lambda lib: lib.open_live("lo", 1.0, 0, 1), "TypeError"),
    "open_live with timeout 2^31": (lambda lib: lib.open_live("lo", 1, 0, 2**31), "OverflowError"),
    "open_live of nothing": (lambda lib: lib.open_live("nosuch0", 100, 0, 1), "PcapError"),
    "open_live of no name": (lambda lib: lib.open_live("", 100, 0, 1), "PcapError"),
    "open_live of a long name": (lambda lib: lib.open_live("a" * 100, 100, 0, 1), "PcapError"),
    "create of None": (lambda lib: lib.create(None), "TypeError"),
    "create of bytes": (lambda lib: lib.create(b"lo"), "TypeError"),
    "create with NUL": (lambda lib: lib.create("l\0o"), "ValueError"),
    "create by keyword": (lambda lib: lib.create(device="lo"), "TypeError"),
    "create of no argument": (lambda lib: lib.create(), "TypeError"),
    "open_offline of no argument": (lambda lib: lib.open_offline(), "TypeError"),
    "open_offline of None": (lambda lib: lib.open_offline(None), "TypeError"),
    "open_offline of a number": (lambda lib: lib.open_offline(3), "TypeError"),
    "open_offline with NUL": (lambda lib: lib.open_offline("/tmp/\0"), "ValueError"),
    "open_offline of nothing": (lambda lib: lib.open_offline("/nonexistent/x"), "PcapError"),
    "open_offline of a directory": (lambda lib: lib.open_offline("/"), "PcapError"),
    "open_offline of an empty file": (lambda lib: lib.open_offline("/dev/null"), "PcapError"),
    "open_offline of another file": (lambda lib: lib.open_offline(__file__), "PcapError"),
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_wrong_call(lib, name):
    call, expected = WRONG_CALLS[name]
    assert outcome(lib, lambda: call(lib)) == expected


def test_builtin_error_classes(lib):
    with pytest.raises(lib.PcapError) as caught:
        lib.open_offline("/nonexistent/x")
    assert "/nonexistent/x" in str(caught.value)
    assert isinstance(caught.value, FileNotFoundError) == differ(lib, "error classes", False, True)


def test_error_names_the_device(lib):
    with pytest.raises(lib.PcapError, match="nosuch0"):
        lib.open_live("nosuch0", 100, 0, 1)


@pytest.mark.parametrize("convert", ["bytes", "path"])
def test_paths(lib, corpus_path, convert, tmp_path):
    make = {"bytes": str.encode, "path": type(tmp_path)}[convert]

    def read():
        return lib.open_offline(make(corpus_path)).next()[1] != b""

    def dump():
        return lib.open_offline(corpus_path).dump_open(make(str(tmp_path / "out"))).close()

    assert outcome(lib, read) == differ(lib, "paths", "TypeError", True)
    assert outcome(lib, dump) == differ(lib, "paths", "TypeError", None)
