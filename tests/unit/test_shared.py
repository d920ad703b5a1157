# SPDX-License-Identifier: BSD-3-Clause
"""Batches in slots of shared memory: what was packed comes out, however small the slot."""

import weakref

import pytest

import hugepcap
from helpers.packets import CORPUS
from helpers.savefile import numbered, pcap_bytes
from hugepcap._shared import pack, unpack

BEYOND = b"\xa5" * 8192
COLUMNS = ("ts_ns", "caplen", "len", "vlan_tci", "vlan_tpid", "rxhash", "status", "direction")


class Keeper:
    pass


@pytest.fixture
def batch(tmp_path):
    path = tmp_path / "file.pcap"
    path.write_bytes(pcap_bytes(numbered(CORPUS.values())))
    with hugepcap.open_offline(path) as reader:
        yield next(reader.batches())


def rows(batch):
    return list(zip(*(getattr(batch, name) for name in COLUMNS), map(bytes, batch)))


@pytest.mark.parametrize("slot_bytes", [800, 1000, 4096, 1 << 20])
def test_what_was_packed_comes_out(batch, slot_bytes):
    seen, start, slots = [], 0, 0
    while start < len(batch):
        memory = bytearray(slot_bytes) + BEYOND
        slot = memoryview(memory)[:slot_bytes]
        taken = pack(batch, start, slot)
        assert taken > 0, "a packet that no slot has room for"
        assert memory[slot_bytes:] == BEYOND
        there = unpack(slot, None)
        assert len(there) == taken and there.datalink == batch.datalink
        seen += rows(there)
        start += taken
        slots += 1
    assert seen == rows(batch) and (slots == 1) == (slot_bytes > 1 << 16)


def test_the_keeper_goes_with_the_last_view(batch):
    slot, keeper = bytearray(1 << 20), Keeper()
    gone = weakref.ref(keeper)
    pack(batch, 0, slot)
    there = unpack(slot, keeper)
    del keeper
    view, sizes = there[0], there.caplen
    there.release()
    assert gone() is not None and bytes(view) == batch.bytes(0)
    del view
    assert gone() is None and list(sizes) == list(batch.caplen)


def test_what_cannot_be_packed(batch):
    assert pack(batch, 0, bytearray(700)) == 0
    with pytest.raises(ValueError, match="10 bytes"):
        pack(batch, 0, bytearray(10))
    with pytest.raises(IndexError):
        pack(batch, len(batch) + 1, bytearray(1000))
    with pytest.raises(BufferError):
        pack(batch, 0, bytes(1000))
    batch.release()
    with pytest.raises(ValueError, match="released"):
        pack(batch, 0, bytearray(1000))
