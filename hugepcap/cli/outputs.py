# SPDX-License-Identifier: BSD-3-Clause
"""Where captured packets go: lines on standard output, one file, or a row of files of which each is complete."""

import itertools
import re
import sys
import time
from pathlib import Path

from . import savefile
from .read import Printer

PART = ".part"
WAIT_S = 0.1


def of_readers(readers, path, form, rotation, lines):
    """An output for each reader: lines where there is no path, a row of files where there is a rotation."""
    for number, reader in enumerate(readers):
        if path is None:
            yield Lines(Printer(reader.datalink(), **lines))
            continue
        own = path if len(readers) == 1 else path_of_lane(path, number)
        kind = form or savefile.format_of(path)
        yield Row(own, reader, kind, **rotation) if rotation else File(own, reader, kind)


def path_of_lane(path, number):
    """trace.pcap of the second ring is trace-1.pcap."""
    path = Path(path)
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


class Lines:
    """Packets as lines, flushed whenever the ring has no more for now."""

    def __init__(self, printer):
        self.printer = printer
        self.packets = self.wire_bytes = 0

    def move(self, reader, most):
        """Takes at most `most` packets; how many."""
        count = reader.dispatch(most, self.print)
        sys.stdout.flush()
        return count

    def print(self, header, data):
        self.printer(header, data)
        self.packets += 1
        self.wire_bytes += header.getlen()

    def close(self):
        sys.stdout.flush()


class Batches:
    """What takes packets by the batch, with write_all(batch) and written(), the packets in its files so far."""

    packets = wire_bytes = 0

    def move(self, reader, most):
        """Takes at most `most` packets; how many. Where it raises, those of the batch that went in are counted."""
        batch = reader.take_batch(most, WAIT_S)
        if batch is None:
            return 0
        with batch:
            try:
                self.write_all(batch)
            finally:
                self.count(batch)
            return len(batch)

    def count(self, batch):
        written = batch[:self.written() - self.packets]
        self.packets += len(written)
        self.wire_bytes += written.wire_bytes


class File(Batches):
    """One file, as -w names it; "-" is standard output."""

    def __init__(self, path, reader, form):
        self.file = savefile.Savefile(path, reader, form)
        self.write_all, self.close = self.file.write, self.file.close

    def written(self):
        return self.file.packets


class Row(Batches):
    """Files numbered from where earlier ones end, each begun beside its name and renamed when it is complete.

    A file ends before the packet that would make it larger than `limit_bytes`, or `limit_s` seconds after it
    began; one without packets is not kept. Of this run's files the newest `keep` stay (None: all).
    """

    def __init__(self, path, reader, form, *, limit_bytes=None, limit_s=None, keep=None):
        self.path, self.reader, self.form = Path(path), reader, form
        self.limit_bytes, self.limit_s, self.keep = limit_bytes, limit_s, keep
        self.numbers = itertools.count(self.first_number())
        self.complete = []
        self.before = 0    # packets in the files before this one
        self.begin()

    def first_number(self):
        pattern = re.compile(re.escape(self.path.stem) + r"\.(\d{6,})" + re.escape(self.path.suffix))
        found = (pattern.fullmatch(path.name) for path in self.path.parent.iterdir())
        return max((int(match.group(1)) for match in found if match), default=0) + 1

    def begin(self):
        self.final, self.part = self.reserve()
        try:
            self.file = savefile.Savefile(self.part, self.reader, self.form)
        except BaseException:
            self.part.unlink()
            raise
        self.begun = time.monotonic()

    def reserve(self):
        """(name, name while it is written) of the next number that is free: other captures may count here, too."""
        for number in self.numbers:
            final = self.path.with_name(f"{self.path.stem}.{number:06d}{self.path.suffix}")
            part = final.with_name(final.name + PART)
            try:
                part.open("x").close()
            except FileExistsError:
                continue
            if not final.exists():    # asked last: the other one has its part until it has its name
                return final, part
            part.unlink()

    def move(self, reader, most):
        if self.limit_s and time.monotonic() - self.begun >= self.limit_s:
            self.rotate()
        return super().move(reader, most)

    def write_all(self, batch):
        at = self.file.write(batch, self.limit_bytes)
        while at < len(batch):
            if not self.file.packets:    # a packet larger than a file gets one of its own
                at += self.file.write(batch[at:at + 1])
            else:
                self.rotate()
            at += self.file.write(batch[at:], self.limit_bytes)

    def written(self):
        return self.before + (self.file.packets if self.file else 0)

    def rotate(self):
        if self.file.packets:
            self.finish()
            self.begin()
        self.begun = time.monotonic()

    def finish(self):
        """Closes the file; it gets its name if there are packets in it. Old files go."""
        file, self.file = self.file, None
        self.before += file.packets
        file.close()
        if not file.packets:
            self.part.unlink()
            return
        self.part.rename(self.final)
        self.complete.append(self.final)
        while self.keep and len(self.complete) > self.keep:
            self.complete.pop(0).unlink(missing_ok=True)

    def close(self):
        if self.file is not None:
            self.finish()
