# SPDX-License-Identifier: BSD-3-Clause
"""The thesis's experiments, small: both programs see what was sent, and what is not there is said, not invented."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "bench"))

from policies import kernel_has_policies  # noqa: E402
from thesis import experiment, measure, traffic  # noqa: E402

PACKETS = 3000
pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc: the capture programs are C")


@pytest.fixture
def pair(link):
    return traffic.Link(link.near, link.far)


@pytest.mark.parametrize("program", ["lowlevel", "libpcap"])
def test_every_packet_is_seen_with_the_right_hash(pair, program):
    load = traffic.Traffic(PACKETS)
    result = measure.run(measure.Setup(program, "RX_RING", 4, 0), pair, load)
    assert result["packets"] == result["received"] == PACKETS and result["dropped"] == 0
    assert measure.correct(result, traffic.expected(load))
    assert not measure.correct({**result, "hash": result["hash"] ^ 1}, traffic.expected(load))


def test_the_levels_of_the_ring_and_the_events_there_are(pair):
    result = measure.run(measure.Setup("lowlevel", "RX_RING", 4, 0), pair, traffic.Traffic(PACKETS), mapping=True)
    assert result["levels"]["user_page_bytes"] == 4096
    assert sum(count for _, count in result["levels"]["frame_runs"]) * 4096 == 16 << 20
    assert result["events"]["page_faults"]["user"] is not None


@pytest.mark.skipif(kernel_has_policies(), reason="needs a kernel without the policies")
@pytest.mark.parametrize("program", ["lowlevel", "libpcap"])
def test_a_policy_that_the_kernel_has_not_is_missing(pair, program):
    reasons = experiment.missing_policies([program], measure.POLICIES, pair)
    assert sorted(reasons) == sorted(set(measure.POLICIES) - {"RX_RING"})
    assert all("this kernel has no" in reason for reason in reasons.values())
