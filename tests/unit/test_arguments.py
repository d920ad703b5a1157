# SPDX-License-Identifier: BSD-3-Clause
"""What an error says of an argument: the method, the argument, what it may be."""

import pytest

import hugepcap
from helpers.packets import udp4
from helpers.savefile import numbered, write_pcap


@pytest.fixture
def reader(tmp_path):
    with hugepcap.open_offline(write_pcap(tmp_path / "file", numbered([udp4()]))) as opened:
        yield opened


@pytest.mark.parametrize("call, name", [
    (lambda reader, value: hugepcap.open_live("lo", value, 0, 10), "open_live(snaplen)"),
    (lambda reader, value: hugepcap.open_live("lo", 1, 0, value), "open_live(to_ms)"),
    (lambda reader, value: hugepcap.create("lo").set_snaplen(value), "set_snaplen(snaplen)"),
    (lambda reader, value: reader.loop(value, print), "loop(cnt)"),
    (lambda reader, value: reader.next_batch(value), "next_batch(max_n)"),
    (lambda reader, value: reader.loop_filtered(value, print), "loop_filtered(cnt)"),
    (lambda reader, value: reader.set_fanout(value), "set_fanout(group_id)"),
])
def test_what_is_no_int(reader, call, name):
    for value, shown in ((2**31, "2147483648"), (-2**31 - 1, "-2147483649"), (10**5000, "16610 bits")):
        with pytest.raises(OverflowError) as caught:
            call(reader, value)
        assert name in str(caught.value) and shown in str(caught.value) and "2147483647" in str(caught.value)
    for value in ("1", 1.0, None):
        with pytest.raises(TypeError) as caught:
            call(reader, value)
        assert str(caught.value) == f"{name}: an integer is wanted, not {type(value).__name__}"


def test_no_such_device():
    with pytest.raises(hugepcap.PcapError, match=r"open nosuch0: No such device; findalldevs\(\) lists") as caught:
        hugepcap.open_live("nosuch0", 65535, 0, 10)
    assert isinstance(caught.value, OSError)


def test_a_callback_that_cannot_be_called_is_seen_before_any_packet(reader):
    assert reader.next()[0] is not None and reader.next()[0] is None
    with pytest.raises(TypeError, match="must be callable, not NoneType"):
        reader.loop_filtered(5, None)
    assert reader.loop_filtered(5, None, 0) == (0, 0, 0, 0, 0)    # none is admitted: it is never called
