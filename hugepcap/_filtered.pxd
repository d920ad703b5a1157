# SPDX-License-Identifier: BSD-3-Clause
from libc.stdint cimport uint64_t

from ._classify cimport Classifier
from ._control cimport Control


cdef class Filtered(Control):
    cdef Classifier last_classifier
    cdef int run_filtered(self, Classifier c, int cnt, object callback) except -1
    cdef bint go_on(self, int rc) except -1
    cdef int run_to_buffer(self, Classifier c, int cnt, Py_buffer *view, uint64_t *used) except -1
