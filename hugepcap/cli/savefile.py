# SPDX-License-Identifier: BSD-3-Clause
"""Packets in batches from a reader, and the files they are written to: pcap or pcapng, with nanoseconds."""

import errno
import os
import struct
import sys

from .._ring import MAXIMUM_SNAPLEN
from ..errors import PcapError
from . import common

FORMATS = ("pcap", "pcapng")


def format_of(path):
    """What a file of this name is to be."""
    return "pcapng" if str(path).endswith((".pcapng", ".pcapng.part", ".ntar")) else "pcap"


def take(reader, most):
    """At most `most` packets, waiting as the reader does for the first; may be empty."""
    batch = []
    reader.dispatch(most, lambda header, data: batch.append((header, data)))
    return batch


def wire_bytes(batch):
    return sum(header.getlen() for header, _ in batch)


class Savefile:
    """A file that is being written; `size` bytes so far, `head_bytes` of them before the first packet."""

    head_bytes = 0

    def __init__(self, path):
        self.path = str(path)
        self.size = self.whole = self.head_bytes    # whole: certainly in the file, up to the end of a packet

    def is_empty(self):
        return self.size == self.head_bytes

    def fitting(self, batch, limit):
        """How many of the first packets of a batch the file has room for below `limit` bytes."""
        size = self.size
        for count, (header, _) in enumerate(batch):
            size += self.record_bytes(header)
            if size > limit:
                return count
        return len(batch)

    def write(self, batch):
        """Failure for a full disk, and then the file ends with the last packet that went in whole."""
        try:
            for header, data in batch:
                self.put(header, data)
                self.size += self.record_bytes(header)
            self.flush()
        except (PcapError, OSError) as error:
            self.give_up(error)
        self.whole = self.size

    def pump(self, reader, most):
        """Takes at most `most` packets into the file; (how many, their bytes on the wire)."""
        batch = take(reader, most)
        self.write(batch)
        return len(batch), wire_bytes(batch)

    def give_up(self, error):
        if error.errno == errno.EPIPE:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
        self.abandon()
        if os.path.isfile(self.path):
            self.cut_to_whole_packets()
        full = "; the disk is full: make room, or bound the files with --rotate SIZE --keep N" \
            if error.errno == errno.ENOSPC else ""
        raise common.Failure(f"{self.path}: {os.strerror(error.errno or errno.EIO)}{full}; what is in the file can "
                             "be read") from None

    def abandon(self):
        """Closes the file whatever becomes of what is not yet written."""
        try:
            self.close()
        except (PcapError, OSError):
            pass

    def cut_to_whole_packets(self):
        """Cuts off a last packet that is not all there."""
        with open(self.path, "r+b") as file:
            end = os.fstat(file.fileno()).st_size
            at = self.whole
            while at + self.length_at + 4 <= end:
                file.seek(at + self.length_at)
                following = at + self.length_beside + struct.unpack("=I", file.read(4))[0]
                if following > end:
                    break
                at = following
            file.truncate(min(at, end))


class Pcap(Savefile):
    """Written by libpcap, through Reader.dump_open().

    A regular file that takes whole packets gets them straight from the ring, and its growth says how many bytes.
    """

    head_bytes = 24
    length_at, length_beside = 8, 16    # where a record has its length, and what that leaves out

    def __init__(self, path, reader):
        super().__init__(path)
        self.dumper = reader.dump_open(self.path, nanoseconds=True)
        self.put, self.flush = self.dumper.dump, self.dumper.flush
        straight = os.path.isfile(self.path) and reader.snapshot >= MAXIMUM_SNAPLEN
        self.watched = open(self.path, "rb") if straight else None

    def record_bytes(self, header):
        return 16 + header.getcaplen()

    def pump(self, reader, most):
        if self.watched is None:
            return super().pump(reader, most)
        try:
            count = reader.dispatch(most, self.put)
            self.flush()
        except PcapError as error:
            if error.operation in ("write", "flush"):
                self.give_up(error)
            raise
        before, self.size = self.size, os.fstat(self.watched.fileno()).st_size
        self.whole = self.size
        return count, self.size - before - 16 * count

    def close(self):
        if self.watched is not None:
            self.watched.close()
        self.dumper.close()


class Pcapng(Savefile):
    """One section with one interface. Source: draft-ietf-opsawg-pcapng."""

    NANOSECONDS = struct.pack("=HHB3xHH", 9, 1, 9, 0, 0)    # if_tsresol 10^-9, end of options
    SECTION = struct.pack("=IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
    head_bytes = len(SECTION) + 20 + len(NANOSECONDS)
    length_at, length_beside = 4, 0

    def __init__(self, path, reader):
        super().__init__(path)
        self.file = os.fdopen(os.dup(sys.stdout.fileno()), "wb") if self.path == "-" else open(self.path, "wb")
        length = self.head_bytes - len(self.SECTION)
        interface = struct.pack("=IIHHI", 1, length, reader.datalink(), 0, reader.snapshot)
        self.file.write(self.SECTION + interface + self.NANOSECONDS + struct.pack("=I", length))
        self.flush, self.close = self.file.flush, self.file.close

    def record_bytes(self, header):
        return 32 + (header.getcaplen() + 3 & ~3)

    def put(self, header, data):
        length, when = self.record_bytes(header), header.ts_ns
        self.file.write(struct.pack("=IIIIIII", 6, length, 0, when >> 32, when & 0xFFFFFFFF, len(data),
                                    header.getlen()) + data + bytes(-len(data) % 4) + struct.pack("=I", length))


def create(path, reader, form):
    return {"pcap": Pcap, "pcapng": Pcapng}[form](path, reader)
