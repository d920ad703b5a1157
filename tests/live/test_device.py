# SPDX-License-Identifier: BSD-3-Clause
"""A device that goes down or away: everything that was captured is delivered, then the error names it."""

import asyncio

import pytest

import hugepcap
import netns
from helpers import background_read, send, wait_until
from reading import METHODS, by_loop_to_buffer, numbers, read_packets

NR = 5000


@pytest.fixture(params=["down", "deleted"])
def lose(request):
    """Takes the device away; gives the words that the error has."""
    commands = {"down": "link set far down", "deleted": "link del near"}

    def act():
        netns.ip(commands[request.param])
        return {"down": "far.*down", "deleted": "far.*(gone|went)"}[request.param]

    return act


def read_until_error(reader, method, seen):
    read = METHODS[method]
    with pytest.raises(hugepcap.PcapError) as caught:
        while True:
            if method == "loop_to_buffer":
                by_loop_to_buffer(reader, seen.append, max(NR - len(seen), 1))
            else:
                read(reader, seen.append)
    return caught


def test_what_is_in_the_ring_is_delivered_first(reader, link, method, lose):
    send(link.near, NR)
    lose()
    seen = []
    caught = read_until_error(reader, method, seen)
    assert numbers(seen) == list(range(NR))
    assert "far" in str(caught.value) and isinstance(caught.value, OSError) and caught.value.errno


def test_a_waiting_read_is_told(link, method, lose):
    with hugepcap.open_live(link.far, 65535, 1, 0) as reader:
        reading = background_read(lambda: METHODS[method](reader, lambda data: None))
        words = lose()
        with pytest.raises(hugepcap.PcapError, match=words):
            reading.result()


async def by_packets(reader, take):
    async for _, data in reader:
        take(data)


async def by_batches(reader, take):
    async for batch in reader.batches():
        for data in batch:
            take(bytes(data))


@pytest.mark.parametrize("read", [by_packets, by_batches])
def test_a_waiting_task_is_told(link, lose, read):
    async def main(seen):
        reading = asyncio.ensure_future(read(reader, seen.append))
        await asyncio.sleep(0.05)
        send(link.near, NR)
        words = lose()
        with pytest.raises(hugepcap.PcapError, match=words):
            await asyncio.wait_for(reading, 30)

    seen = []
    with hugepcap.open_live(link.far, 65535, 1, 0) as reader:
        asyncio.run(main(seen))
    assert numbers(seen) == list(range(NR))


def test_reads_that_never_wait_are_told(reader, link, lose):
    send(link.near, 1)
    lose()
    seen = []
    with pytest.raises(hugepcap.PcapError, match="far"):
        wait_until(lambda: seen.extend(bytes(data) for data in reader.next_block(timeout=0)), "the error")
    assert numbers(seen) == [0]


def test_the_error_stays(reader, link, lose):
    lose()
    for _ in range(3):
        with pytest.raises(hugepcap.PcapError, match="far"):
            wait_until(lambda: reader.next() != (None, b""), "the error")
    assert reader.stats()[0] == 0


def test_down_and_up_again(reader, link):
    send(link.near, 5)
    netns.ip("link set far down")
    seen = []
    read_until_error(reader, "next", seen)
    netns.set_up("far")
    send(link.near, 5, first_seq=5)
    assert numbers(seen + read_packets(reader, 5)) == list(range(10))


def test_down_and_up_between_two_reads(reader, link):
    """Nobody was reading: there is nothing to tell, and reading goes on."""
    send(link.near, 5)
    netns.ip("link set far down")
    netns.set_up("far")
    send(link.near, 5, first_seq=5)
    assert numbers(read_packets(reader, 10)) == list(range(10))


def test_close_after_the_loss(reader, link, lose):
    lose()
    reader.close()
    with pytest.raises(ValueError):
        reader.next()


def test_stats_and_settings_after_the_loss(reader, link, lose):
    send(link.near, 5)
    wait_until(lambda: reader.stats()[0] == 5, "packets")
    lose()
    assert reader.stats()[:2] == (5, 0) and reader.datalink() == 1
    reader.setfilter("udp")
    assert numbers(read_packets(reader, 5)) == list(range(5))


def test_any_survives_a_device(link):
    with hugepcap.open_live("any", 65535, 0, 20) as reader:
        reader.setfilter("udp")
        send(link.near, 1)
        netns.ip("link del near")
        send("lo", 1, first_seq=1)
        assert numbers(read_packets(reader, 2)) == [0, 1]


def test_the_tunnels_end(network):
    tunnel = netns.tun()
    with hugepcap.open_live(tunnel.name, 65535, 0, 0) as reader:
        reading = background_read(lambda: reader.next())
        tunnel.close()
        with pytest.raises(hugepcap.PcapError, match="tun7"):
            reading.result()
