# SPDX-License-Identifier: BSD-3-Clause
"""The C harnesses: each is compiled once, with the core's sources, under ASan and UBSan."""

import native
import pytest


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    where = tmp_path_factory.mktemp("harness")
    built = {}

    def get(name):
        if name not in built:
            built[name] = native.build(name, where)
        return built[name]

    return get
