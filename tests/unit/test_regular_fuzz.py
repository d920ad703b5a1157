# SPDX-License-Identifier: BSD-3-Clause
"""Mutated files under ASan and UBSan, each read by hp_file and by libpcap: both must say the same."""

import subprocess

import pytest
from files import all_forms
from helpers.packets import CORPUS
from helpers.savefile import numbered
from native import CSRC, FLAGS, HERE, Harness, blob, words

# A few seconds' worth; 10^6 of another seed agreed, too.
COUNT = 30_000


# Of a chunk: none beyond what a record needs, a few records, all of a file.
@pytest.fixture(scope="module", params=[1, 600, 1 << 18])
def both(request, tmp_path_factory):
    program = tmp_path_factory.mktemp("regular") / "regular"
    sources = [HERE / "csrc" / "regular.c", CSRC / "hp_pcapng.c", CSRC / "hp_err.c"]
    subprocess.run(["gcc", *FLAGS, f"-DHP_FILE_CHUNK_BYTES={request.param}", f"-DHP_FILE_STRETCH_BYTES={request.param}",
                    f"-I{CSRC}", "-o", program, *sources, "-lpcap"], check=True)
    return Harness(program)


def files():
    found = all_forms([record._replace(length=len(record.data) + 9) for record in numbered(CORPUS.values())][:6])
    return words(len(found)) + b"".join(map(blob, found.values())), len(found)


def test_most_open(both):
    """Most files open and have packets: what is mutated are good files."""
    given, _ = files()
    (opened, packets, _), = both(given, 1, 500)
    assert int(opened) > 250 and int(packets) > 500


@pytest.mark.parametrize("seed", [7, 11])
def test_mutated(both, seed):
    given, _ = files()
    (opened, packets, errors), = both(given, seed, COUNT)
    assert int(opened) > COUNT / 2 and int(packets) > COUNT and int(errors) > COUNT / 20
