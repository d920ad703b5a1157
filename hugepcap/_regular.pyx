# SPDX-License-Identifier: BSD-3-Clause
"""RegularFile: regular pcap and pcapng files in chunks, behind the interface of PcapHandle.

libpcap opens the file and settles what it is: link type, snapshot length, and the words in which a foreign file
is refused. The packets do not go through it.
"""

cimport cython
from libc.string cimport memset

from ._pcap cimport BPFProgram, PcapHandle, hp_frame

import errno
import os

from .errors import error_class

cdef extern from *:
    """
    #include "hp_file.h"
    static void publish(struct hp_file *file, const struct hp_filter *filter)
    {
        __atomic_store_n(&file->filter, filter, __ATOMIC_RELEASE);
    }
    """
    void publish(hp_file *, const hp_filter *) nogil


@cython.final
cdef class Chunk(Memory):
    def __dealloc__(self):
        hp_chunk_unref(self.chunk)


cdef Chunk new_chunk(hp_chunk *chunk):
    """Keeps a chunk that a file goes on from."""
    cdef Chunk memory = Chunk.__new__(Chunk)
    hp_chunk_ref(chunk)
    memory.chunk = chunk
    memory.base = chunk.bytes
    return memory


@cython.final
cdef class RegularFile(PcapHandle):
    def __cinit__(self):
        memset(&self.file, 0, sizeof(self.file))

    def __dealloc__(self):
        hp_file_close(&self.file)

    def read_error(self):
        """The exception for a pull that failed."""
        code = self.file.err.code or errno.EBADMSG
        reason = (<bytes>self.file.err.detail).decode("utf-8", "replace")
        # where libpcap stops, too: behind all that a truncated file has
        offset = self.file.size if reason.startswith("truncated") else self.file.at
        return error_class(code)(f"read {self.name}: after {self.file.packets} packets, at byte {offset}: {reason}",
                                 errno=code, operation="read", detail=self.name)

    def setfilter(self, BPFProgram program not None):
        """Filters what comes from now on; whoever reads keeps the program before this one until it is done."""
        PcapHandle.setfilter(self, program)    # refuses what libpcap would
        publish(&self.file, &program.filter_here)
        self.program = program


cdef int pull_regular(void *ctx, hp_frame *frame) noexcept nogil:
    """hp_source's pull for a RegularFile; ctx is its struct hp_file."""
    return hp_file_next(<hp_file *>ctx, frame)


cdef int fill_columns(hp_file *file, hp_columns *columns) noexcept nogil:
    return hp_file_columns(file, columns)


cdef RegularFile read_savefile(PcapHandle opened, bint mapped):
    """The same file, read here; None for pipes, devices and what hp_file_open() leaves to libpcap.

    The handle goes on being libpcap's for all but packets; it is not to be read from any more. PcapError where it
    was to be mapped and is not read here.
    """
    cdef RegularFile made = RegularFile.__new__(RegularFile)
    cdef int rc = -errno.EOPNOTSUPP
    if opened.offline and opened.pipe is None and opened.begins == 0:
        rc = hp_file_open(&made.file, opened.fd(), opened.datalink(), opened.snapshot(), mapped)
    if rc < 0 and mapped:
        reason = "libpcap reads it" if rc == -errno.EOPNOTSUPP else os.strerror(-rc)
        raise error_class(-rc)(f"open_offline {opened.name}: it cannot be mapped: {reason}; leave out mapped=True",
                               errno=-rc, operation="open_offline", detail=opened.name)
    if rc < 0:
        return None
    made.name = opened.name
    made.offline = True
    made.nanoseconds = opened.nanoseconds
    made.adopt(opened.handle, 1)
    opened.handle = NULL
    return made
