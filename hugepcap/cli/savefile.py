# SPDX-License-Identifier: BSD-3-Clause
"""Packets in batches from a reader, and the files they are written to."""

import errno
import os
import struct

from ..errors import PcapError
from . import common

RECORD_BYTES, FILE_HEADER_BYTES = 16, 24


def take(reader, most):
    """At most `most` packets, waiting as the reader does for the first; may be empty."""
    batch = []
    reader.dispatch(most, lambda header, data: batch.append((header, data)))
    return batch


def wire_bytes(batch):
    return sum(header.getlen() for header, _ in batch)


def fitting(batch, room):
    """How many of the first packets of a batch have room in so many bytes of a file."""
    for count, (header, _) in enumerate(batch):
        room -= RECORD_BYTES + header.getcaplen()
        if room < 0:
            return count
    return len(batch)


class Savefile:
    """A pcap file with nanoseconds that is being written; `size` bytes so far."""

    def __init__(self, path, reader):
        self.path = str(path)
        self.dumper = reader.dump_open(self.path, nanoseconds=True)
        self.size = FILE_HEADER_BYTES
        self.whole = 0    # bytes that are certainly in the file, up to the end of a packet

    def write(self, batch):
        """Failure for a full disk, and then the file ends with the last packet that went in whole."""
        try:
            for header, data in batch:
                self.dumper.dump(header, data)
                self.size += RECORD_BYTES + header.getcaplen()
            self.dumper.flush()
        except PcapError as error:
            self.give_up(error)
        self.whole = self.size

    def give_up(self, error):
        try:
            self.dumper.close()
        except PcapError:
            pass
        if os.path.isfile(self.path):
            cut_to_whole_packets(self.path, self.whole)
        full = "; the disk is full: make room, or bound the files with --rotate SIZE --keep N" \
            if error.errno == errno.ENOSPC else ""
        raise common.Failure(f"{self.path}: {os.strerror(error.errno or errno.EIO)}{full}; what is in the file can "
                             "be read") from None

    def close(self):
        self.dumper.close()


def cut_to_whole_packets(path, start):
    """Cuts off a last packet that is not all there; packets are whole up to `start`."""
    with open(path, "r+b") as file:
        end = os.fstat(file.fileno()).st_size
        at = max(start, FILE_HEADER_BYTES)
        while at + RECORD_BYTES <= end:
            file.seek(at)
            following = at + RECORD_BYTES + struct.unpack_from("=8xI", file.read(RECORD_BYTES))[0]
            if following > end:
                break
            at = following
        file.truncate(min(at, end))
