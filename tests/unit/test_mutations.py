# SPDX-License-Identifier: BSD-3-Clause
"""A million blocks with wrong contents: each read ends, inside the block, with what is plausible or a refusal."""

import hugepcap
from fakering import ARPHRD_LOOPBACK, DLT, ETHER, LINKS, OUTGOING, Frame, Vlan, align, block
from helpers.packets import CORPUS
from native import blob, source, words

SEED = 0x9E3779B97F4A7C15
BLOCKS = 1_000_000
# Of each kind of mutation, the share that is refused with this seed; every "lie" must be.
REFUSED = {"lie": 1.0, "field": 0.32, "words": 0.18, "ones": 0.42, "truncate": 0.515, "chain": 0.90, "swap": 0.31,
           "nudge": 0.275}


def sample_frames(link, tagged):
    cut = 0 if link == ETHER else 14
    packets = [packet[cut:] for packet in CORPUS.values() if len(packet) >= 14]
    frames = [Frame(packet, nsec=i, vlan=Vlan(i) if tagged else None) for i, packet in enumerate(packets)]
    frames[1] = frames[1]._replace(pkttype=OUTGOING)
    frames[2] = frames[2]._replace(pkttype=OUTGOING, hatype=ARPHRD_LOOPBACK)
    return frames


def samples():
    """Settings and a block each: every link type, with and without tags, directions, filters, a small snaplen."""
    for link in LINKS:
        program = hugepcap.compile(DLT[link], 65535, "udp or arp", 1, 0).get_bpf()
        for tagged in (False, True):
            frames = sample_frames(link, tagged)
            # room is left behind the frames: a chain may go on there
            blocks = [block(frames[i:i + 5], link, 1536) for i in (0, 5, 20)]
            settings = [source(link), source(link, snaplen=30), source(link, direction=1, loopback=1),
                        source(link, program=program), source(link, program=program, tests_vlan=1, snaplen=50)]
            for setting in settings:
                for raw in blocks:
                    yield setting + blob(raw)
            tight = block(frames[:3], link)
            yield source(link) + blob(block(frames[:3], link, align(len(tight), 8)))    # no room behind the last one


def test_mutated_blocks(harness):
    given = list(samples())
    lines = harness("mutate")(words(len(given)) + b"".join(given), SEED, BLOCKS)
    counts = {kind: tuple(map(int, numbers)) for kind, *numbers in lines}
    assert sum(blocks for blocks, _, _ in counts.values()) == BLOCKS
    assert counts.keys() == REFUSED.keys()
    for kind, (blocks, refused, packets) in counts.items():
        assert blocks > BLOCKS // 10 and packets > blocks // 2
        assert abs(refused / blocks - REFUSED[kind]) < (0.02 if kind != "lie" else 1e-9), (kind, refused / blocks)
