# SPDX-License-Identifier: BSD-3-Clause
"""The series compiled out (`kernel/build V off`), and no series at all (`stock`): packet sockets are what they were.
Of this folder, such a kernel runs this file alone."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

import rings
from rings import MIB, Ring, info, option, packet_socket, request
from test_delivery import BATCH, BLOCKS, deliver


def test_the_probe_is_refused():
    for tx in (False, True):
        with packet_socket() as sock, pytest.raises(OSError) as refused:
            info(sock, tx)
        assert refused.value.errno == errno.ENOPROTOOPT


@pytest.mark.parametrize("tx", [False, True], ids=["RX", "TX"])
@pytest.mark.parametrize("policy", rings.POLICIES[2:])
def test_no_ring_option_is_there(policy, tx):
    with packet_socket() as sock, pytest.raises(OSError) as refused:
        sock.setsockopt(rings.SOL_PACKET, option(policy, tx), request(256 << 10, 2 * MIB, 2048))
    assert refused.value.errno == errno.ENOPROTOOPT


def test_memory_is_not_taken():
    with packet_socket() as sock, pytest.raises(OSError) as refused:
        rings.enable(sock, 2 * MIB, 2 * MIB)
    assert refused.value.errno == errno.ENOPROTOOPT


def test_there_is_no_sysctl():
    assert not Path("/proc/sys/net/packet").exists()


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("block", BLOCKS)
def test_stock_rings_deliver(block, version, pair, sender):
    with Ring("STOCK", BLOCKS[block], 8 * MIB, version).bind(pair[1]) as ring:
        deliver(ring, sender, 3 * BATCH)


def test_kernel_selftest_psock_tpacket():
    """RX and TX rings of V1 and V2, RX of V3, and TX of V3: six runs, where the series on makes 36."""
    done = subprocess.run([os.environ["HUGEPCAP_KERNEL"] + "/psock_tpacket"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("100 pkts") == 6
