# SPDX-License-Identifier: BSD-3-Clause
"""Address sets say what ipaddress says, one network after the other."""

import random
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hugepcap import AddressSet


def networks(kind, bits):
    near = st.integers(0, 2**bits - 1) | st.integers(0, 63) | st.integers(2**bits - 64, 2**bits - 1)
    return st.builds(lambda a, n: kind((a, n), strict=False), near, st.integers(0, bits))


def row_of(address):
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def edges(network):
    """The first and last address of a network, and those beside it."""
    kind = IPv4Address if network.version == 4 else IPv6Address
    first, last = int(network.network_address), int(network.broadcast_address)
    top = 2**network.max_prefixlen - 1
    return [kind(n) for n in (first - 1, first, last, last + 1) if 0 <= n <= top]


@settings(max_examples=600, deadline=None, derandomize=True)
@given(st.lists(networks(IPv4Network, 32) | networks(IPv6Network, 128), max_size=20))
def test_agrees_with_ipaddress(given_networks):
    made = AddressSet(given_networks)
    asked = [address for network in given_networks for address in edges(network)]
    asked = [a for a in asked if a.version == 4 or a.ipv4_mapped is None]
    expected = [any(a in network for network in given_networks) for a in asked]
    assert made.mask(b"".join(map(row_of, asked))).tolist() == expected
    assert [a in made for a in asked] == expected
    assert len(made) == len(set(given_networks))


def test_forms_of_prefixes():
    made = AddressSet(["10.1.2.3/8", "192.0.2.1", IPv6Network("2001:db8::/32"), (bytes((172, 16, 0, 0)), 12)])
    for inside in ("10.255.0.1", "192.0.2.1", "2001:db8:1::", "172.31.0.1", ip_address("10.0.0.0").packed):
        assert inside in made
    for outside in ("11.0.0.0", "192.0.2.0", "2001:db9::", "172.32.0.0"):
        assert outside not in made
    assert len(AddressSet()) == 0 and "::" not in AddressSet()


def test_packed_records():
    records = b"".join(n.to_bytes(4, "big") + bytes((32,)) for n in range(0, 1 << 20, 2))
    made = AddressSet.from_packed(records)
    assert len(made) == 1 << 19 and made.nbytes < 16 << 20
    rows = b"".join(bytes(10) + b"\xff\xff" + n.to_bytes(4, "big") for n in range(1000))
    assert made.mask(rows).tolist() == [1, 0] * 500


def test_a_million_prefixes():
    rng = random.Random(5)
    given_prefixes = [(rng.getrandbits(32), rng.choice((20, 24, 32))) for _ in range(10**6)]
    model = {(number >> 32 - length, length) for number, length in given_prefixes}
    made = AddressSet.from_packed(b"".join(struct.pack("!IB", *prefix) for prefix in given_prefixes))
    assert len(made) == len(model)
    asked = [number ^ rng.getrandbits(rng.choice((1, 9, 13))) for number, _ in given_prefixes[:50_000]]
    expected = [any((number >> 32 - length, length) in model for length in (20, 24, 32)) for number in asked]
    rows = b"".join(bytes(10) + b"\xff\xff" + number.to_bytes(4, "big") for number in asked)
    assert 5000 < sum(expected) < 45_000
    assert made.mask(rows).tolist() == expected


@pytest.mark.parametrize("bad, reason", [
    (lambda: AddressSet(["10.0.0.0/33"]), "10.0.0.0/33"),
    (lambda: AddressSet([(b"abc", 8)]), "4 or 16 bytes"),
    (lambda: AddressSet([(b"abcd", 33)]), "packed address"),
    (lambda: AddressSet.from_packed(bytes(6)), "records of 5"),
    (lambda: AddressSet.from_packed(bytes(5) + bytes((1, 2, 3, 4, 33))), "record 1 has a prefix of 33 bits"),
    (lambda: AddressSet().mask(bytes(17)), "16 bytes"),
    (lambda: "10.0.0.0/8" in AddressSet(), "10.0.0.0/8"),
    (lambda: b"abc" in AddressSet(), "not 3"),
])
def test_what_is_refused(bad, reason):
    with pytest.raises(ValueError, match=reason):
        bad()


def test_a_set_does_not_change():
    made = AddressSet(["10.0.0.0/8"])
    made.__init__(["11.0.0.0/8"])
    assert "10.0.0.1" in made and "11.0.0.1" not in made
    empty = AddressSet.__new__(AddressSet)
    assert len(empty) == 0 and "10.0.0.1" not in empty and empty.mask(bytes(32)).tolist() == [0, 0]


def test_records_that_do_not_end():
    def broken():
        yield "10.0.0.0/8"
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        AddressSet(broken())
