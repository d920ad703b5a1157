# SPDX-License-Identifier: BSD-3-Clause
"""Pkthdr: the header that pcapy hands out with every packet."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

# A pcapng file can have others.
TS_SECONDS = 9000000000


@cython.freelist(256)
@cython.final
cdef class Pkthdr:
    """A packet's header: when it was captured, how long it was, how much of it there is.

    ``Pkthdr(ts_ns=0, caplen=0, len=0)`` makes one for ``Dumper.dump``.
    """

    @cython.cdivision(False)    # floors: times before 1970 have nanoseconds of 0 and more, too
    def __init__(self, *, int64_t ts_ns=0, uint32_t caplen=0, uint32_t len=0):
        self.sec = ts_ns // 1000000000
        self.nsec = <uint32_t>(ts_ns - self.sec * 1000000000)
        self.caplen = caplen
        self.length = len

    def getts(self) -> tuple:
        """(seconds, microseconds) since the Epoch."""
        return self.sec, self.nsec // 1000

    def getcaplen(self) -> int:
        """Bytes captured."""
        return self.caplen

    def getlen(self) -> int:
        """Bytes the packet had on the wire."""
        return self.length

    @property
    def ts_ns(self) -> int:
        """Nanoseconds since the Epoch."""
        if -TS_SECONDS < self.sec < TS_SECONDS:
            return self.sec * 1000000000 + self.nsec
        return <object>self.sec * 1000000000 + self.nsec

    def __repr__(self):
        return f"<hugepcap.Pkthdr ts_ns={self.ts_ns} caplen={self.caplen} len={self.length}>"
