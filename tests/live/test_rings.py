# SPDX-License-Identifier: BSD-3-Clause
"""Sizes of rings, memory that is not there, rights that are not there."""

import pytest

import hugepcap
import netns
from helpers import run_child, send
from hugepcap._generate import sequence_of
from reading import numbers, read_packets

MIB = 1 << 20


def open_ring(device, size, **options):
    return hugepcap.open_live(device, 65535, 1, 20, ring_bytes=size, **options)


def test_default_is_64_mib(reader):
    assert reader.ring.ring_bytes == 64 * MIB
    assert reader.ring.block_bytes in (256 << 10, 512 << 10, MIB, 2 * MIB)


@pytest.mark.parametrize("size", [1, 4096, 256 << 10, MIB, 3 * MIB + 7, 64 * MIB, 200 * MIB])
def test_sizes(link, size):
    with open_ring(link.far, size) as reader:
        ring = reader.ring
        assert ring.ring_bytes >= size or ring.ring_bytes >= 256 << 10
        assert ring.ring_bytes < size + 4 * MIB
        assert 256 << 10 <= ring.block_bytes <= 2 * MIB and 1 <= ring.block_nr <= 65_535
        send(link.near, 10)
        assert numbers(read_packets(reader, 10)) == list(range(10))


def test_smallest_ring_goes_round(link):
    with open_ring(link.far, 1) as reader:
        seen = []
        for start in range(0, 30_000, 500):
            send(link.near, 500, first_seq=start)
            received, dropped, _ = reader.stats()
            seen += read_packets(reader, received - dropped - len(seen))
        assert len(seen) + reader.stats()[1] == 30_000 and len(seen) > 10_000
        assert numbers(seen) == sorted(set(numbers(seen)))


def available_mib():
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))


def test_a_ring_of_more_than_2_gib(network):
    """Filled from end to end before it is read: offsets beyond 2^31 are right."""
    size, count = 2816 * MIB, 37_000    # blocks to spare: those the timer hands over are not full
    if available_mib() < 6000:
        pytest.skip(f"needs 6000 MiB of free memory, there are {available_mib()}")
    link = netns.veth(mtu=60_000)
    with hugepcap.open_live(link.far, 65535, 1, 1000, ring_bytes=size) as reader:
        assert reader.ring.ring_bytes == size
        assert send(link.near, count, sizes=(59_000, 60_014)).bytes > 2**31
        assert reader.stats()[:2] == (count, 0)
        seen = []
        reader.loop(count, lambda hdr, data: seen.append(sequence_of(data)))
        assert seen == list(range(count))
        send(link.near, 1000, sizes=(59_000, 60_014), first_seq=count)
        reader.loop(1000, lambda hdr, data: seen.append(sequence_of(data)))
        assert seen == list(range(count + 1000))


def test_more_than_any_ring():
    with pytest.raises(OverflowError, match=str(65_535 << 21)):
        hugepcap.create("lo").set_buffer_size((65_535 << 21) + 1)


SHORT_OF_MEMORY = """
import resource, warnings, sys
import hugepcap
from helpers import send
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20),) * 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    reader = hugepcap.open_live("far", 65535, 1, 20, ring_bytes=256 << 20)
resource.setrlimit(resource.RLIMIT_AS, (resource.getrlimit(resource.RLIMIT_AS)[1],) * 2)
print(reader.ring.ring_bytes, [str(each.message) for each in caught if each.category is RuntimeWarning])
send("near", 10)
seen = []
reader.loop(10, lambda hdr, data: seen.append(data))
print(len(seen))
"""


def test_shrinking_ring(link):
    """Where the whole ring does not fit, a smaller one is made, with a warning that says how small."""
    done = run_child(SHORT_OF_MEMORY)
    assert done.returncode == 0, done.stderr
    made, read = done.stdout.splitlines()
    size, said = made.split(" ", 1)
    assert 0 < int(size) <= 48 * MIB and read == "10"
    assert "far" in said and said != "[]"


NO_MEMORY = """
import resource
import hugepcap
with open("/proc/self/statm") as statm:
    used = int(statm.read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used,) * 2)
try:
    hugepcap.open_live("far", 65535, 1, 20)
except hugepcap.PcapError as error:
    print(isinstance(error, MemoryError), hugepcap.create("far").activate())
"""


def test_no_memory_at_all(link):
    done = run_child(NO_MEMORY)
    assert done.stdout.split() == ["True", "-1"], done.stderr


def test_more_than_is_free(link, monkeypatch):
    """Most of the free memory is not asked for: the kernel would kill processes to give it.

    The machine's own is not tried: a test must not take three quarters of it.
    """
    monkeypatch.setattr(hugepcap._ring, "free_memory_bytes", lambda: 128 * MIB)
    with pytest.warns(RuntimeWarning, match="memory"):
        with open_ring(link.far, 256 * MIB) as reader:
            assert 64 * MIB <= reader.ring.ring_bytes < 128 * MIB


WITHOUT_RIGHTS = """
import hugepcap
from helpers import drop_rights
drop_rights()
try:
    hugepcap.open_live("far", 65535, 1, 20)
except PermissionError as error:
    print(error)
"""


def test_without_rights(link):
    said = run_child(WITHOUT_RIGHTS).stdout
    assert "far" in said and "CAP_NET_RAW" in said and "root" in said


@pytest.mark.parametrize("options, expected", [
    ({"ring_bytes": 0}, None), ({"ring_bytes": -1}, ValueError), ({"ring_bytes": "1"}, TypeError),
    ({"ring_bytes": 2**60}, OverflowError),
    ({"filter": 7}, TypeError), ({"filter": "bogus ("}, hugepcap.PcapError),
    ({"tstamp_type": "sundial"}, hugepcap.PcapError),
    ({"tstamp_precision": 5}, hugepcap.PcapError), ({"immediate": True, "filter": "udp"}, None),
    ({"tstamp_type": "host", "tstamp_precision": 1}, None), ({"unknown": 1}, TypeError),
])
def test_options(link, options, expected):
    if expected is None:
        hugepcap.open_live(link.far, 65535, 1, 20, **options).close()
    else:
        with pytest.raises(expected):
            hugepcap.open_live(link.far, 65535, 1, 20, **options)


@pytest.mark.parametrize("kind", ["adapter", "adapter_unsynced", 3])
def test_time_stamps_that_the_device_has_not(link, kind):
    with pytest.raises(hugepcap.PcapError, match=f"far: the device offers no time stamps of type {kind!r}"):
        hugepcap.open_live(link.far, 65535, 1, 20, tstamp_type=kind)
