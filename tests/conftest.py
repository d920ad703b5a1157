# SPDX-License-Identifier: BSD-3-Clause
"""For every test: a deadline, skips that count as failures under HUGEPCAP_CI=1, private networks."""

from __future__ import annotations

import faulthandler
import os
import signal

import pytest

import netns

# A test that takes longer has failed; pytest.mark.deadline(seconds) gives one more. Twice that ends the whole run,
# with every thread's stack: what hangs in C, as pcapy-ng may, cannot be ended otherwise.
TEST_S = float(os.environ.get("HUGEPCAP_TEST_S", 120))
STRICT = os.environ.get("HUGEPCAP_CI") == "1"


def pytest_configure():
    """A shell starts what runs in its background with SIGINT ignored, and so would be every program tested here."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _refuse_skip(report):
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"HUGEPCAP_CI=1 allows no skip: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    outcome = yield
    _refuse_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    outcome = yield
    _refuse_skip(outcome.get_result())


@pytest.fixture(autouse=True)
def time_limit(request):
    marker = request.node.get_closest_marker("deadline")
    seconds = max(TEST_S, marker.args[0]) if marker else TEST_S

    def give_up(*_):
        raise TimeoutError(f"the test took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(2 * seconds, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def root():
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces and packet sockets")


@pytest.fixture
def network(root):
    """A network namespace of the test's own around the test's thread."""
    with netns.namespace():
        yield


@pytest.fixture
def link(network):
    """A veth pair in a namespace of its own: what is sent on link.near is captured on link.far."""
    return netns.veth()
