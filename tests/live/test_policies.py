# SPDX-License-Identifier: BSD-3-Clause
"""Where a ring's memory comes from: what was asked for, what it got and why. On a stock kernel."""

import pytest

import hugepcap
from helpers import send
from policies import open_with
from reading import numbers, read_packets

KIB, MIB = 1 << 10, 1 << 20
POLICIES = ("auto", "hugetlb", "thp", "gfpnoretry", "vzalloc", "gfpretry", "stock")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_captures(link, policy):
    reader, _ = open_with(link.far, policy=policy, ring_bytes=4 * MIB)
    with reader:
        send(link.near, 3000)
        assert numbers(read_packets(reader, 3000)) == list(range(3000))


@pytest.mark.parametrize("block_bytes", [4 * KIB, 12 * KIB, 256 * KIB, 3 * MIB])
def test_block_sizes(link, block_bytes):
    reader, said = open_with(link.far, ring_bytes=12 * MIB, block_bytes=block_bytes, policy="stock")
    with reader:
        assert (reader.ring.block_bytes, reader.ring.ring_bytes, said) == (block_bytes, 12 * MIB, [])
        send(link.near, 500)
        assert numbers(read_packets(reader, 500)) == list(range(500))


def test_setters_are_the_arguments(link):
    reader = hugepcap.create(link.far)
    assert [reader.set_policy("stock"), reader.set_block_bytes(8192), reader.set_strict(True),
            reader.set_buffer_size(MIB)] == [0] * 4
    assert reader.activate() == 0
    assert (reader.ring.policy, reader.ring.block_bytes, reader.ring.ring_bytes) == ("stock", 8192, MIB)
    assert [reader.set_policy("thp"), reader.set_block_bytes(0), reader.set_strict(False)] == [-4] * 3
    reader.close()


@pytest.mark.parametrize("options, match", [
    ({"policy": "huge"}, "auto, hugetlb, thp"), ({"policy": ""}, "auto"), ({"block_bytes": 5000}, "multiple of 4096"),
    ({"block_bytes": -4096}, "multiple"), ({"ring_bytes": -1}, "0 leaves it to hugepcap"),
    ({"block_bytes": 2 << 30}, "at most"),
])
def test_bad_settings(link, options, match):
    with pytest.raises(ValueError, match=match):
        hugepcap.open_live(link.far, 65535, 1, 20, **options)


def test_the_environment_stands_in_for_arguments(link, monkeypatch):
    monkeypatch.setenv("HUGEPCAP_POLICY", "stock")
    monkeypatch.setenv("HUGEPCAP_RING", "3M")
    with open_with(link.far)[0] as reader:
        assert (reader.ring.policy, reader.ring.ring_bytes) == ("stock", 3 * MIB)
    with open_with(link.far, ring_bytes=MIB)[0] as reader:
        assert reader.ring.ring_bytes == MIB


@pytest.mark.parametrize("name, value, match", [
    ("POLICY", "huge", "auto, hugetlb, thp"), ("RING", "lots", "256M"), ("RING", "0", "256M"), ("STRICT", "yes", "0, 1"),
])
def test_values_that_make_no_sense_are_named_and_left_out(link, monkeypatch, name, value, match):
    monkeypatch.setenv(f"HUGEPCAP_{name}", value)
    reader, said = open_with(link.far)
    assert len(said) == 1 and f"HUGEPCAP_{name} is ignored" in said[0] and match in said[0]
    assert reader.ring.ring_bytes == 64 * MIB
    reader.close()


def test_a_ring_tells_of_itself(link):
    with open_with(link.far, policy="stock")[0] as reader:
        ring = reader.ring
        assert ring.refused == {} and ring.pinned_bytes == 0 and ring.user_page_bytes == 4096
        assert ring.block_nr * ring.block_bytes == ring.ring_bytes and ring.numa_node in (0, 1)


def test_auto_is_silent_where_there_is_no_choice(link):
    reader, said = open_with(link.far)
    assert said == [] and reader.ring.policy == "stock" and set(reader.ring.refused) == {"hugetlb", "thp"}
    assert all("CONFIG_PACKET_HUGE" in reason for reason in reader.ring.refused.values())
    reader.close()


@pytest.mark.parametrize("policy", ["hugetlb", "thp", "gfpnoretry", "vzalloc", "gfpretry"])
def test_a_policy_that_is_not_there(link, policy):
    reader, said = open_with(link.far, policy=policy)
    assert len(said) == 1 and f"not {policy}" in said[0] and "CONFIG_PACKET_HUGE" in said[0]
    assert reader.ring.policy == "stock" and reader.ring.kernel_page_bytes is None
    reader.close()
    with pytest.raises(hugepcap.PcapError, match=f"CONFIG_PACKET_HUGE .for a ring on far of policy {policy}, strict"):
        hugepcap.open_live(link.far, 65535, 1, 20, policy=policy, strict=True)
