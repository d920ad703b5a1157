# SPDX-License-Identifier: BSD-3-Clause
"""The same tests over pcapy-ng and hugepcap."""

from __future__ import annotations

import importlib

import pytest

from helpers.packets import CORPUS
from helpers.savefile import numbered, write_pcap


@pytest.fixture(params=["pcapy", "hugepcap"])
def lib(request):
    return importlib.import_module(request.param)


@pytest.fixture(scope="session")
def corpus_path(tmp_path_factory):
    return write_pcap(tmp_path_factory.mktemp("corpus") / "corpus.pcap", numbered(CORPUS.values()))


@pytest.fixture
def offline(lib, corpus_path):
    reader = lib.open_offline(corpus_path)
    yield reader
    reader.close()
