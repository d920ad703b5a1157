# SPDX-License-Identifier: BSD-3-Clause
"""A capture's threads: one lane for each ring, and what they have in common."""

import threading
import time

from .rings import RING_FACTS

CHUNK = 4096
QUIET_S = STUCK_S = 1.0


class Budget:
    """How many packets all lanes together may still take; None: no end."""

    def __init__(self, count):
        self.left = count
        self.reserved = 0
        self.queue = []    # of lanes that ask: one with an empty ring must not have the last packets again and again
        self.changed = threading.Condition()

    def reserve(self, most):
        """How many a lane may take now; 0 when all are taken. Waits where others may still give some back."""
        if self.left is None:
            return most
        with self.changed:
            place = object()
            self.queue.append(place)
            self.changed.wait_for(lambda: self.queue[0] is place and (self.left or not self.reserved))
            del self.queue[0]
            self.changed.notify_all()
            share = min(most, (self.left + 1) // 2)
            self.left -= share
            self.reserved += share
            return share

    def settle(self, reserved, taken):
        """What became of a reservation."""
        if self.left is None:
            return
        with self.changed:
            self.reserved -= reserved
            self.left += reserved - taken
            self.changed.notify_all()


class Lane(threading.Thread):
    """Moves packets from one reader to its output until it is told to stop, or the budget is used up.

    After stop() it still takes what had come by then. Ends with `error` set where something went wrong.
    """

    def __init__(self, reader, output, budget):
        super().__init__(daemon=True)
        self.reader, self.output, self.budget = reader, output, budget
        self.error = None
        self.last = None    # how many packets there are to take altogether, once that is known

    def run(self):
        try:
            try:
                self.move_all()
            finally:
                self.output.close()
        except BaseException as error:    # passed on by the main thread
            self.error = error

    def move_all(self):
        busy = time.monotonic()
        while self.last is None or self.output.packets < self.last:
            share = self.budget.reserve(CHUNK)
            if share == 0:
                return
            before = self.output.packets
            try:
                moved = self.output.move(self.reader, share)
            finally:
                self.budget.settle(share, self.output.packets - before)
            if moved or self.last is None:
                busy = time.monotonic()
            elif time.monotonic() - busy > QUIET_S:
                return

    def stop(self):
        """Lets nothing more in. A filter that the kernel cannot run leaves less to take than was received."""
        if self.reader.ring is not None:
            self.reader.stop()
        received, dropped, _ = self.reader.stats()
        self.last = received - dropped

    def abandon(self):
        """Stops without taking what has come."""
        self.last = 0
        self.reader.breakloop()


class Capture:
    """All lanes of one capture; its figures may be asked for at any time."""

    def __init__(self, lanes):
        self.lanes = lanes
        self.begun = time.monotonic()
        self.asked_to_stop = 0    # by a signal; twice: at once
        self.abandoned = None    # when that was

    def start(self):
        for lane in self.lanes:
            lane.start()

    def is_running(self):
        return any(lane.is_alive() for lane in self.lanes)

    def has_ended_early(self):
        return any(lane.error is not None for lane in self.lanes)

    def stop(self):
        at_once = self.asked_to_stop > 1
        if at_once and self.abandoned is None:
            self.abandoned = time.monotonic()
        for lane in self.lanes:
            if at_once:
                lane.abandon()
            elif lane.is_alive() and lane.last is None:
                lane.stop()

    def is_stuck(self):
        """Whether a lane has not ended long after it was to end at once: what it writes to takes no more."""
        return self.abandoned is not None and self.is_running() and time.monotonic() - self.abandoned > STUCK_S

    def is_over(self, seconds):
        return seconds is not None and time.monotonic() - self.begun >= seconds

    def wait(self, seconds):
        """Returns earlier when a lane ends."""
        for lane in self.lanes:
            if lane.is_alive():
                lane.join(seconds)
                return

    def figures(self):
        """{packets, bytes, received, dropped, fill (0 to 1), seconds} of all lanes, and what rings they have."""
        stats = [lane.reader.stats() for lane in self.lanes]
        rings = [lane.reader.ring for lane in self.lanes if lane.reader.ring is not None]
        return {
            "packets": sum(lane.output.packets for lane in self.lanes),
            "bytes": sum(lane.output.wire_bytes for lane in self.lanes),
            "received": sum(received for received, _, _ in stats),
            "dropped": sum(dropped for _, dropped, _ in stats),
            "fill": max((ring.pending_blocks / ring.block_nr for ring in rings), default=0.0),
            "seconds": time.monotonic() - self.begun,
            "rings": list(map(ring_facts, rings)),
        }


def ring_facts(ring):
    return {name: getattr(ring, name) for name in RING_FACTS}
