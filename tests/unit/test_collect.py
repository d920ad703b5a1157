# SPDX-License-Identifier: BSD-3-Clause
"""Rings of many blocks: read as columns, whose blocks are walked side by side, and packet by packet: the same."""

SEED, RINGS = 0x5DEECE66D, 60_000


def test_columns_are_the_packets(harness):
    (rings, packets, refused, tagged, inside), = harness("collect")(b"", SEED, RINGS)
    assert int(rings) == RINGS
    assert int(packets) > 20 * RINGS and int(tagged) > RINGS    # of each kind, enough to have seen it
    assert int(refused) > RINGS // 5 and int(inside) > RINGS
