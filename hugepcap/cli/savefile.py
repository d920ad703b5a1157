# SPDX-License-Identifier: BSD-3-Clause
"""The files that captured packets are written to, in batches: pcap or pcapng, with nanoseconds."""

import errno
import os

from .. import Writer
from ..errors import PcapError
from . import common

FORMATS = ("pcap", "pcapng")


def format_of(path):
    """What a file of this name is to be."""
    return "pcapng" if str(path).endswith((".pcapng", ".pcapng.part", ".ntar")) else "pcap"


class Savefile:
    """A file that is being written; whatever goes wrong, it ends with a whole packet."""

    def __init__(self, path, reader, form):
        self.path = str(path)
        try:
            self.writer = Writer(self.path, reader.datalink(), snaplen=reader.snapshot, format=form)
        except PcapError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise common.Failure(f"{self.path}: {reason(error)}") from None

    @property
    def packets(self):
        return self.writer.packets

    def write(self, batch, max_bytes=None):
        """How many packets went in before the file would have been larger. Raises Failure for a full disk."""
        try:
            return self.writer.write(batch, max_bytes=max_bytes)
        except PcapError as error:
            if error.errno == errno.EPIPE:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
            raise common.Failure(f"{self.path}: {reason(error)}; what is in the file can be read") from None

    def close(self):
        self.writer.close()


def reason(error):
    full = "; the disk is full: make room, or bound the files with -w FILE --rotate SIZE --keep N"
    return os.strerror(error.errno or errno.EIO) + (full if error.errno == errno.ENOSPC else "")
