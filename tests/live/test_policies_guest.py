# SPDX-License-Identifier: BSD-3-Clause
"""In a patched guest: rings of every policy, the ladder between them, and views that outlive their Reader."""

from pathlib import Path

import pytest

import hugepcap
from helpers import send
from policies import free_huge_pages, open_with
from reading import numbers, read_packets, take_one

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def pool():
    """A pool of huge pages for the policy hugetlb; afterwards it has to be whole again."""
    pages = Path("/proc/sys/vm/nr_hugepages")
    before = pages.read_text()
    pages.write_text("64")
    assert free_huge_pages() == 64
    yield
    assert free_huge_pages() == 64
    pages.write_text(before)


@pytest.mark.parametrize("policy, user, kernel, pinned", [
    ("hugetlb", 2 * MIB, 2 * MIB, 16 * MIB), ("thp", 2 * MIB, 2 * MIB, 0), ("vzalloc", 4 * KIB, 4 * KIB, 0),
    ("auto", 2 * MIB, 2 * MIB, 16 * MIB)])
def test_pages_of_each_policy(link, pool, policy, user, kernel, pinned):
    reader, said = open_with(link.far, policy=policy, ring_bytes=16 * MIB, strict=True)
    ring = reader.ring
    assert said == [] and ring.refused == {}
    assert (ring.user_page_bytes, ring.kernel_page_bytes, ring.pinned_bytes) == (user, kernel, pinned)
    assert ring.policy == ("hugetlb" if policy == "auto" else policy) and ring.numa_node in (0, 1)
    reader.close()


def test_the_ladder_goes_down_and_says_why(link):
    reader, said = open_with(link.far, policy="hugetlb", ring_bytes=16 * MIB)
    assert reader.ring.policy == "stock" and len(said) == 1 and "8 pages of 2048 KiB needed, 0 free" in said[0]
    reader.close()
    reader, said = open_with(link.far, ring_bytes=16 * MIB)
    assert reader.ring.policy == "thp" and len(said) == 1 and "nr_hugepages" in reader.ring.refused["hugetlb"]
    reader.close()
    with pytest.raises(hugepcap.PcapError, match="0 free"):
        hugepcap.open_live(link.far, 65535, 1, 20, policy="hugetlb", ring_bytes=16 * MIB, strict=True)


@pytest.mark.parametrize("policy", ["hugetlb", "thp", "vzalloc", "stock"])
def test_views_outlive_readers_of_every_policy(link, pool, policy):
    reader, _ = open_with(link.far, policy=policy, ring_bytes=16 * MIB, strict=True)
    batch = take_one(reader, link, 10)
    view, copy = batch[7], bytes(batch[7])
    reader.close()
    batch.release()
    del reader, batch
    with open_with(link.far, policy=policy, ring_bytes=16 * MIB)[0] as other:
        send(link.near, 1000)
        assert numbers(read_packets(other, 1000)) == list(range(1000))
    assert bytes(view) == copy
    if policy == "hugetlb":
        assert free_huge_pages() == 56
    del view
