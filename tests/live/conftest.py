# SPDX-License-Identifier: BSD-3-Clause
"""Live captures: a Reader on a private link, and each method of reading as one function."""

from __future__ import annotations

import shutil

import pytest

import hugepcap
from policies import kernel_has_policies
from reading import METHODS
from sanitized import Sanitized

TO_MS = 20

# For the patched kernels, and for those without: make guest-policies
collect_ignore = ["test_policies.py"] if kernel_has_policies() else ["test_policies_guest.py"]


@pytest.fixture
def reader(link):
    with hugepcap.open_live(link.far, 65535, 1, TO_MS) as opened:
        yield opened


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.fixture(scope="session")
def sanitized(root):
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc: builds the package under AddressSanitizer")
    return Sanitized()
