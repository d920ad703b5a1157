# SPDX-License-Identifier: BSD-3-Clause
"""Columns: C arrays as typed, read-only memoryviews that keep their memory alive."""

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE
from cpython.memoryview cimport PyMemoryView_FromObject


@cython.no_gc    # a view that a finalizer has still needs the memory
cdef class Column:
    """What a column's memoryview shows as its ``obj``; it holds the memory."""

    def __init__(self):
        raise TypeError("a column comes from a Batch")

    def __getbuffer__(self, Py_buffer *view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("columns are read-only: copy what is to be changed")
        view.buf = self.at
        view.obj = self
        view.len = self.itemsize * self.shape[0] * (self.shape[1] if self.ndim == 2 else 1)
        view.itemsize = self.itemsize
        view.readonly = 1
        view.format = <char *>self.format
        view.ndim = self.ndim
        view.shape = self.shape
        view.strides = self.strides
        view.suboffsets = NULL
        view.internal = NULL


cdef object column(void *at, Py_ssize_t rows, Py_ssize_t itemsize, const char *format, object keeper):
    """A memoryview of ``rows`` items of a struct ``format``, at memory that ``keeper`` owns."""
    cdef Column made = Column.__new__(Column)
    made.at = at
    made.keeper = keeper
    made.format = format
    made.itemsize = itemsize
    made.ndim = 1
    made.shape[0] = rows
    made.strides[0] = itemsize
    return PyMemoryView_FromObject(made)


cdef object wide_column(void *at, Py_ssize_t rows, Py_ssize_t width, object keeper):
    """A memoryview of shape (rows, width) of bytes: one fixed-width address a row."""
    cdef Column made = Column.__new__(Column)
    made.at = at
    made.keeper = keeper
    made.format = b"B"
    made.itemsize = 1
    made.ndim = 2
    made.shape[0] = rows
    made.shape[1] = width
    made.strides[0] = width
    made.strides[1] = 1
    return PyMemoryView_FromObject(made)
