# SPDX-License-Identifier: BSD-3-Clause
"""The table of differences itself."""

from pathlib import Path

import pytest

from differences import DIFFERENCES, TABLE, as_markdown

HERE = Path(__file__).parent
TESTS = "".join(path.read_text() for path in HERE.glob("test_*.py"))


@pytest.mark.parametrize("name", DIFFERENCES)
def test_each_is_shown_by_a_test(name):
    assert f'differ(lib, "{name}"' in TESTS or f'"{name}", ' in TESTS


def test_names_are_unique():
    assert len(DIFFERENCES) == sum(map(len, TABLE.values()))


def test_the_page_is_in_step():
    page = HERE.parent.parent / "docs" / "differences.md"
    assert page.read_text() == as_markdown(), "run: python tests/conformance/differences.py > docs/differences.md"
