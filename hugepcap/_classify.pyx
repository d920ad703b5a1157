# SPDX-License-Identifier: BSD-3-Clause
"""Classifier: pcapy-ng's classes, checked and turned into C once per call."""

from cpython.number cimport PyNumber_Index
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from ._hp cimport (
    hp_flows_free, hp_flows_new, hp_ports, hp_profile, hp_set, hp_set_free,
    hp_set_new,
)
from ._source cimport as_int

L2_OFFSET_MAX = 64
HTTP_PORTS = (80, 8080, 3128, 8000, 8118, 1080)
TLS_PORTS = (443,)
CLASSES = {0: 3, 1: 6}
# The security profile's class ids start here, so that they never meet the generic ones.
SECURITY_CLASS_BASE = 100


cdef hp_set *set_of(object packed, uint32_t address_bytes) except? NULL:
    """The set of the addresses in a buffer; NULL where it holds none."""
    cdef Py_buffer view
    cdef hp_set *made
    PyObject_GetBuffer(packed, &view, PyBUF_SIMPLE)
    try:
        if view.len < address_bytes:
            return NULL
        made = hp_set_new(<const uint8_t *>view.buf, view.len, address_bytes)
        if made == NULL:
            raise MemoryError(f"no memory for a set of {view.len // address_bytes} addresses")
        return made
    finally:
        PyBuffer_Release(&view)


cdef int set_ports(hp_ports *ports, object given, tuple default) except -1:
    """None: the defaults; a sequence, even an empty one, is taken as it is."""
    cdef list numbers = [<long>PyNumber_Index(port) & 0xffff for port in (default if given is None else given)]
    cdef uint16_t *copied = <uint16_t *>malloc(max(len(numbers), 1) * sizeof(uint16_t))
    if copied == NULL:
        raise MemoryError("no memory for a list of ports")
    for i, number in enumerate(numbers):
        copied[i] = number
    ports.list = copied
    ports.nr = len(numbers)
    return 0


cdef class Classifier:
    def __cinit__(self, profile, admit_mask, addr_set, flow_cutoff, dpi_ports, tls_ports, dns_port, l2_offset, ipv6,
                  addr_set6):
        cdef int cutoff = as_int(flow_cutoff, "flow_cutoff")
        memset(&self.cls, 0, sizeof(self.cls))
        memset(&self.tally, 0, sizeof(self.tally))
        if not 0 <= as_int(l2_offset, "l2_offset") <= L2_OFFSET_MAX:
            raise ValueError(f"l2_offset out of range [0,{L2_OFFSET_MAX}]: {l2_offset}")
        if as_int(profile, "profile") not in CLASSES:
            raise ValueError(f"profile must be 0 (generic) or 1 (security), not {profile}")
        self.cls.profile = <hp_profile>profile
        self.cls.l2_offset = l2_offset
        self.cls.dns_port = <uint16_t>as_int(dns_port, "dns_port")
        self.cls.flow_cutoff = cutoff if cutoff > 0 else 0
        self.admit_mask = <unsigned int>as_int(admit_mask, "admit_mask")
        self.class_base = SECURITY_CLASS_BASE if profile else 0
        set_ports(&self.cls.http, dpi_ports, HTTP_PORTS)
        set_ports(&self.cls.tls, tls_ports, TLS_PORTS)
        self.cls.set4 = set_of(addr_set, 4)
        self.cls.set6 = set_of(addr_set6, 16)
        self.cls.ipv6 = ipv6 or self.cls.set6 != NULL
        if self.cls.flow_cutoff:
            self.cls.flows = hp_flows_new()
            if self.cls.flows == NULL:
                raise MemoryError("no memory for the table of flows (16 MiB)")

    def __dealloc__(self):
        hp_set_free(self.cls.set4)
        hp_set_free(self.cls.set6)
        hp_flows_free(self.cls.flows)
        free(<void *>self.cls.http.list)
        free(<void *>self.cls.tls.list)

    cdef tuple counts(self):
        """Packets per class, in the order of the class index."""
        return tuple([self.tally.classes[i] for i in range(CLASSES[self.cls.profile])])
