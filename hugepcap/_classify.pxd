# SPDX-License-Identifier: BSD-3-Clause
from ._hp cimport hp_classifier, hp_tally


cdef class Classifier:
    """The arguments of loop_filtered() and loop_to_buffer() as the C core wants them, and the counts."""
    cdef hp_classifier cls
    cdef hp_tally tally
    cdef unsigned int admit_mask
    cdef int class_base
    cdef tuple counts(self)
