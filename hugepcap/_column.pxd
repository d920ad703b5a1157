# SPDX-License-Identifier: BSD-3-Clause


cdef class Column:
    cdef void *at
    cdef object keeper              # whose memory it is
    cdef const char *format
    cdef Py_ssize_t shape[2]
    cdef Py_ssize_t strides[2]
    cdef int ndim
    cdef Py_ssize_t itemsize


cdef object column(void *at, Py_ssize_t rows, Py_ssize_t itemsize, const char *format, object keeper)
cdef object wide_column(void *at, Py_ssize_t rows, Py_ssize_t width, object keeper)
