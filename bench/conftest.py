# SPDX-License-Identifier: BSD-3-Clause
"""For every measurement: a private network, the C programs, huge pages for the policies that want them."""

import os
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "live"), str(ROOT / "bench")]

import netns  # noqa: E402
from engines import POLICIES, programs  # noqa: E402
from pinned import CPU  # noqa: E402
from pool import HUGE, pool  # noqa: E402
from record import cpu_model  # noqa: E402

# A skip is a failure here, too, under HUGEPCAP_CI=1.
_of_tests = runpy.run_path(str(ROOT / "tests" / "conftest.py"))
pytest_runtest_makereport = _of_tests["pytest_runtest_makereport"]
pytest_make_collect_report = _of_tests["pytest_make_collect_report"]


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="few packets, one round: whether it works, not how fast")


@pytest.fixture(scope="session")
def quick(request):
    return request.config.getoption("--quick")


@pytest.fixture(scope="session")
def chosen(request):
    """Of cells of a suite, those whose tests were chosen (-k): no others are measured."""
    asked = {(item.path.stem, item.callspec.params.get("cell")) for item in request.session.items if hasattr(item, "callspec")}
    return lambda suite, cells: [cell for cell in cells if (f"test_{suite}", cell) in asked]


@pytest.fixture(scope="session")
def link():
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a network namespace")
    with netns.namespace():
        yield netns.veth()


@pytest.fixture(scope="session")
def c_programs(tmp_path_factory):
    return programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def huge_pages():
    """Room for a ring of the hugetlb policy: huge_pages(ring_bytes) is a context."""
    return lambda ring_bytes: pool(ring_bytes // HUGE + 4 if "hugetlb" in POLICIES else 0)


@pytest.fixture
def other_cpus():
    """Keeps the generator off the reader's CPU, and what else the machine does off the generator's."""
    before, nice = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    os.sched_setaffinity(0, before - {CPU} or before)
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    yield
    os.setpriority(os.PRIO_PROCESS, 0, nice)
    os.sched_setaffinity(0, before)


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info.update(kernel=os.uname().release, cpu_model=cpu_model(), cores=os.cpu_count(),
                        emulated="QEMU TCG" in cpu_model() or os.environ.get("HUGEPCAP_GUEST") == "1")
