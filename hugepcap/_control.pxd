# SPDX-License-Identifier: BSD-3-Clause
from ._capture cimport Capture


cdef class Control(Capture):
    pass
