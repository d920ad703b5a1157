# SPDX-License-Identifier: BSD-3-Clause
"""What a reader saw of the generator's packets, held against what the generator sends. seen.h is the same in C.

A packet's hash is the first 8 bytes of its SHA3-256, over every byte; a reader's is their sum.
"""

import functools
from array import array
from hashlib import sha3_256

from hugepcap._generate import build_packet, sequence_of

MASK = (1 << 64) - 1


class Wrong(Exception):
    """A measured process did not answer, or its packets were not those that were sent. The text says which."""


def hash_of(data):
    return int.from_bytes(sha3_256(data).digest()[:8], "big")


def number_of(data):
    """-1: it is none of the generator's."""
    try:
        return sequence_of(data)
    except ValueError:
        return -1


class Seen:
    """Packets, the sum of their hashes, whether their numbers only ever rose, and [first, end) of those missing."""

    def __init__(self, first=0):
        self.packets, self.hash, self.next, self.rising, self.gaps = 0, 0, first, True, []

    def see(self, data):
        self.hash += hash_of(data)
        number = number_of(data)
        if number != self.next:
            self.jump(number)
        self.packets, self.next = self.packets + 1, number + 1

    def jump(self, number):
        if number < self.next:
            self.rising = False
        else:
            self.gaps.append((self.next, number))

    def told(self):
        return {"packets": self.packets, "hash": self.hash & MASK, "next": self.next, "rising": self.rising,
                "gaps": self.gaps}


class Manifest:
    """Of a generator's packets from number `first` on; they are built and hashed as far as they are asked for."""

    def __init__(self, first, **spec):
        self.first, self.spec, self.sums = first, spec, array("Q", [0])

    def hash(self, first, end):
        for number in range(self.first + len(self.sums) - 1, end):
            self.sums.append((self.sums[-1] + hash_of(build_packet(number, **self.spec))) & MASK)
        return (self.sums[end - self.first] - self.sums[first - self.first]) & MASK

    def check(self, who, seen, end, dropped=0):
        """Raises Wrong unless `seen` has every packet before `end` once and in order, but for `dropped` of them."""
        gaps = [*seen["gaps"], (seen["next"], end)]
        lost = sum(last - start for start, last in gaps)
        whole = seen["rising"] and lost == dropped and seen["packets"] + dropped == end - self.first
        if not whole or seen["hash"] != self.hash(self.first, end) - sum(self.hash(*gap) for gap in gaps) & MASK:
            raise Wrong(f"{who}: of packets {self.first} to {end - 1}, {dropped} said to be dropped, it saw "
                        f"{ {**seen, 'gaps': f'{len(gaps) - 1}, {lost} packets'} }")


@functools.cache
def manifest(first, sizes, **spec):
    return Manifest(first, sizes=sizes, **spec)
