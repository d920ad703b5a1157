# SPDX-License-Identifier: BSD-3-Clause
"""hp_geometry_fit: whatever is asked for, a ring that the kernel can keep in step."""

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, given, settings

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BLOCK_SIZES = [256 * KIB, 512 * KIB, MIB, 2 * MIB]
BLOCKS_MAX = 65535    # af_packet keeps the active block's number in 16 bits
SNAPLEN_MAX = 262144
HEADERS = 48 + 68 + 16 + 14    # of a block, of a frame, its alignment, a link header

sizes = st.one_of(st.integers(1, 1 << 40), st.integers(0, 40).map(lambda bits: 1 << bits),
                  st.integers(1, 1 << 18).map(lambda nr: nr * 256 * KIB - 1))
wishes = st.lists(st.tuples(sizes, st.integers(1, SNAPLEN_MAX), st.integers(1, 65535)), min_size=1, max_size=200)
given_blocks = st.integers(1, 1024).map(lambda pages: pages * 4096)


def fit(harness, asked, block=0):
    text = "".join(f"{size} {block} {snaplen} {retire}\n" for size, snaplen, retire in asked)
    return [tuple(map(int, line)) for line in harness("fit")(text.encode())]


@settings(max_examples=60, deadline=None, derandomize=True,
          phases=[Phase.explicit, Phase.generate],
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(asked=wishes)
def test_every_fit(harness, asked):
    got = fit(harness, asked)
    assert len(got) == len(asked)
    for (size, snaplen, retire), (block, number, retire_got) in zip(asked, got):
        assert block in BLOCK_SIZES and 2 <= number <= BLOCKS_MAX and retire_got == retire
        assert snaplen + HEADERS <= block
        covered = block * number
        assert covered >= size or (number, block) == (BLOCKS_MAX, 2 * MIB)
        assert covered - size < block or number in (2, BLOCKS_MAX)


@settings(max_examples=30, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
          suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(asked=wishes, wanted=given_blocks)
def test_blocks_of_a_given_size(harness, asked, wanted):
    for (size, _, _), (block, number, _) in zip(asked, fit(harness, asked, wanted)):
        assert block == wanted and number == min(max(-(-size // wanted), 2), BLOCKS_MAX)


def test_named_sizes(harness):
    got = fit(harness, [(64 * MIB, 65535, 10), (1, 96, 1), (4 * GIB, SNAPLEN_MAX, 1), (200 * GIB, 96, 1),
                        (2 * MIB, SNAPLEN_MAX, 1)])
    assert got == [(256 * KIB, 256, 10), (256 * KIB, 2, 1), (MIB, 4096, 1), (2 * MIB, BLOCKS_MAX, 1),
                   (512 * KIB, 4, 1)]
