# SPDX-License-Identifier: BSD-3-Clause
"""Tests once more, on the build of sanitized.py: what reads or writes outside its memory fails, and fails there."""

import pytest

UNIT = ("bpf_programs", "dumper", "flows", "pipes", "property_file", "regular", "savefiles", "shared", "writer")
LIVE = ("arrow", "batches", "fanout", "filtering", "links", "masks", "property", "saving", "sharing", "waiting")
MODULES = [f"tests/unit/test_{name}.py" for name in UNIT] + [f"tests/live/test_{name}.py" for name in LIVE]
# They measure memory, and ASan keeps what was freed.
BUT = "not (leave and nothing)"


@pytest.mark.deadline(300)
@pytest.mark.parametrize("module", MODULES)
def test_under_asan(sanitized, module):
    # -s: what AddressSanitizer writes last comes out.
    done = sanitized.pytest(module, "-q", "-p", "no:cacheprovider", "-s", "-k", BUT, deadline_s=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[:3000]
