# SPDX-License-Identifier: BSD-3-Clause
"""A million packets numbered in sequence: delivered + dropped == sent, in order, none twice."""

import array
import itertools

import pytest

import hugepcap
from helpers import Background, send, sending, wait_until
from hugepcap._generate import sequence_of
from reading import METHODS, THROUGH_OTHERS, TIMED, by_loop_to_buffer

MILLION = 1_000_000
WAYS = METHODS | THROUGH_OTHERS


class Tally:
    """The sequence numbers of what was delivered."""

    def __init__(self):
        self.seen = array.array("Q")

    def take(self, data):
        self.seen.append(sequence_of(data))

    def is_complete(self, reader, sent, method):
        """Whether nothing more will come. What goes into a buffer is seen only in filtered_stats() until the end."""
        delivered = reader.filtered_stats()[0] if method == "loop_to_buffer" else len(self.seen)
        received, dropped, _ = reader.stats()
        return received == sent and delivered == received - dropped

    def check(self, reader, sent):
        received, dropped, _ = reader.stats()
        assert received == sent
        assert len(self.seen) + dropped == sent
        assert all(first < second for first, second in zip(self.seen, itertools.islice(self.seen, 1, None)))
        return dropped


def read_all(reader, method, tally, sender, sent):
    """Reads until the sender has ended and everything that was not dropped is there."""
    read = WAYS[method]
    if method in TIMED:
        while sender.is_alive() or not tally.is_complete(reader, sent, method):
            read(reader, tally.take)
        return

    def end():
        sender.join()
        try:
            wait_until(lambda: tally.is_complete(reader, sent, method), "all packets")
        finally:
            reader.breakloop()

    ender = Background(end)
    read(reader, tally.take)
    ender.result()


@pytest.mark.parametrize("method", WAYS)
def test_a_million_while_they_come(reader, link, method):
    tally = Tally()
    with sending(link.near, MILLION, flows=16) as sender:
        read_all(reader, method, tally, sender, MILLION)
    tally.check(reader, MILLION)


@pytest.mark.parametrize("method", WAYS)
def test_a_ring_that_overflows(link, method):
    """Nothing is read until everything is sent: most is dropped, the rest is whole."""
    sent = 100_000
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=4 << 20) as reader:
        tally = Tally()
        send(link.near, sent, sizes=(60, 1514))
        read_all(reader, method, tally, Background(lambda: None), sent)
        assert 0 < tally.check(reader, sent) < sent
        assert tally.seen[0] == 0


def test_a_million_through_worker_processes(link):
    """Each worker's packets are in order, and all of them together are what was received."""
    tallies = {}
    with hugepcap.open_fanout(link.far, 2, "hash", processes=True) as fanout:
        batches = fanout.batches()
        with sending(link.near, MILLION, flows=16):
            stopper = Background(lambda: (wait_until(lambda: fanout.stats().total[0] == MILLION, "all packets"),
                                          fanout.stop()))
            for batch in batches:
                with batch:
                    for packet in batch:
                        number = sequence_of(packet)
                        flow = tallies.setdefault(bytes(packet[26:38]), array.array("Q"))
                        assert not flow or flow[-1] < number
                        flow.append(number)
        stopper.result()
        received, dropped, _ = fanout.stats().total
    assert received == MILLION and sum(map(len, tallies.values())) == MILLION - dropped
    assert len(tallies) == 16 and len(set().union(*tallies.values())) == MILLION - dropped


def test_the_ring_goes_on_after_an_overflow(link):
    with hugepcap.open_live(link.far, 65535, 1, 20, ring_bytes=4 << 20) as reader:
        tally = Tally()
        for start in range(0, 200_000, 50_000):
            send(link.near, 50_000, first_seq=start)
            received, dropped, _ = reader.stats()
            reader.loop(received - dropped - len(tally.seen), lambda hdr, data: tally.take(data))
        assert tally.check(reader, 200_000) > 0
        assert tally.seen[-1] > 150_000


@pytest.mark.parametrize("sizes", [(60, 60), (60, 1514), (1514, 1514)])
def test_contents(reader, link, sizes):
    """Every byte of every packet, against the generator."""
    from hugepcap._generate import build_packet

    sent = send(link.near, 20_000, sizes=sizes, flows=7, seed=5)
    number = itertools.count()

    def check(hdr, data):
        expected = build_packet(next(number), sizes=sizes, flows=7, seed=5)
        assert data == expected and hdr.getlen() == hdr.getcaplen() == len(expected)

    reader.loop(sent.packets, check)
    assert next(number) == 20_000


def test_methods_mixed(reader, link):
    """Methods take turns; each goes on with the packet after the other's last."""
    sent = 50_000
    send(link.near, sent, sizes=(60, 400))
    tally = Tally()
    turns = itertools.cycle([
        lambda: METHODS["next"](reader, tally.take),
        lambda: reader.loop(7, lambda hdr, data: tally.take(data)),
        lambda: reader.dispatch(11, lambda hdr, data: tally.take(data)),
        lambda: by_loop_to_buffer(reader, tally.take, 13),
        lambda: reader.loop_filtered(17, lambda hdr, data, cls: tally.take(data)),
        lambda: tally.take(next(iter(reader))[1]),
        lambda: METHODS["next_batch"](reader, tally.take),
    ])
    while len(tally.seen) < sent - 5000:
        next(turns)()
    reader.loop(sent - len(tally.seen), lambda hdr, data: tally.take(data))
    assert tally.check(reader, sent) == 0


@pytest.mark.parametrize("options", [{}, {"addr_set": bytes([192, 0, 2, 1])}], ids=["counted", "looked at"])
@pytest.mark.parametrize("filter", [None, "greater 1"], ids=["no filter", "filter"])
def test_what_loop_filtered_does_not_admit_is_passed_over(link, options, filter):
    """Just so many, wherever in a block it begins and ends; what is only counted needs no walk."""
    sent, at = 50_000, 0
    with hugepcap.open_live(link.far, 65535, 1, 50, ring_bytes=32 << 20) as reader:
        send(link.near, sent, sizes=(60, 400))
        reader.setfilter(filter or "")
        for count in (1, 63, 64, 65, 700, 3, 9000, 12_345, 1, 20_000):
            assert reader.loop_filtered(count, None, 0, **options) == (0, count, count, 0, 0)
            assert sequence_of(reader.next()[1]) == at + count
            at += count + 1
        assert reader.loop_filtered(sent - at, None, 0, **options)[1] == sent - at
        assert reader.next() == (None, b"")
