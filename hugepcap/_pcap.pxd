# SPDX-License-Identifier: BSD-3-Clause
"""All of libpcap that the project uses, and the C structs that its frames go into."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdio cimport FILE

from ._pipe cimport Pipe, pipe_state


cdef extern from "sys/time.h":
    struct timeval:
        long tv_sec
        long tv_usec


cdef extern from "linux/filter.h":
    struct sock_filter:
        uint16_t code
        uint8_t jt
        uint8_t jf
        uint32_t k


cdef extern from "pcap/pcap.h" nogil:
    enum:
        PCAP_ERRBUF_SIZE
        PCAP_TSTAMP_PRECISION_MICRO
        PCAP_TSTAMP_PRECISION_NANO
        PCAP_NETMASK_UNKNOWN
        PCAP_IF_LOOPBACK

    ctypedef struct pcap_t
    ctypedef struct pcap_dumper_t
    ctypedef unsigned int bpf_u_int32
    ctypedef enum pcap_direction_t:
        pass

    struct bpf_insn:
        unsigned short code
        unsigned char jt
        unsigned char jf
        bpf_u_int32 k

    struct bpf_program:
        unsigned int bf_len
        bpf_insn *bf_insns

    struct pcap_pkthdr:
        timeval ts
        bpf_u_int32 caplen
        bpf_u_int32 len

    struct pcap_stat:
        unsigned int ps_recv
        unsigned int ps_drop
        unsigned int ps_ifdrop

    ctypedef struct pcap_if_t:
        pcap_if_t *next
        char *name
        char *description
        bpf_u_int32 flags

    const char *pcap_lib_version()
    int pcap_findalldevs(pcap_if_t **, char *)
    void pcap_freealldevs(pcap_if_t *)
    int pcap_lookupnet(const char *, bpf_u_int32 *, bpf_u_int32 *, char *)

    pcap_t *pcap_create(const char *, char *)
    pcap_t *pcap_open_dead_with_tstamp_precision(int, int, unsigned int)
    pcap_t *pcap_fopen_offline_with_tstamp_precision(FILE *, unsigned int, char *)
    int pcap_set_snaplen(pcap_t *, int)
    int pcap_set_promisc(pcap_t *, int)
    int pcap_set_timeout(pcap_t *, int)
    int pcap_set_buffer_size(pcap_t *, int)
    int pcap_set_rfmon(pcap_t *, int)
    int pcap_set_immediate_mode(pcap_t *, int)
    int pcap_set_tstamp_precision(pcap_t *, int)
    int pcap_get_tstamp_precision(pcap_t *)
    int pcap_set_tstamp_type(pcap_t *, int)
    int pcap_list_tstamp_types(pcap_t *, int **)
    void pcap_free_tstamp_types(int *)
    int pcap_tstamp_type_name_to_val(const char *)
    int pcap_activate(pcap_t *)
    void pcap_close(pcap_t *)
    char *pcap_geterr(pcap_t *)
    const char *pcap_statustostr(int)

    int pcap_next_ex(pcap_t *, pcap_pkthdr **, const unsigned char **)
    int pcap_datalink(pcap_t *)
    int pcap_list_datalinks(pcap_t *, int **)
    void pcap_free_datalinks(int *)
    int pcap_set_datalink(pcap_t *, int)
    int pcap_snapshot(pcap_t *)
    FILE *pcap_file(pcap_t *)
    int pcap_get_selectable_fd(pcap_t *)
    int pcap_fileno(pcap_t *)
    int pcap_setnonblock(pcap_t *, int, char *)
    int pcap_setdirection(pcap_t *, pcap_direction_t)
    int pcap_stats(pcap_t *, pcap_stat *)
    int pcap_sendpacket(pcap_t *, const unsigned char *, int)

    int pcap_compile(pcap_t *, bpf_program *, const char *, int, bpf_u_int32)
    int pcap_setfilter(pcap_t *, bpf_program *)
    void pcap_freecode(bpf_program *)
    unsigned int bpf_filter(const bpf_insn *, const unsigned char *, unsigned int, unsigned int)

    pcap_dumper_t *pcap_dump_fopen(pcap_t *, FILE *)
    pcap_dumper_t *pcap_dump_open_append(pcap_t *, const char *)
    FILE *pcap_dump_file(pcap_dumper_t *)
    int pcap_dump_flush(pcap_dumper_t *)
    void pcap_dump_close(pcap_dumper_t *)
    void pcap_dump(unsigned char *, const pcap_pkthdr *, const unsigned char *)


cdef extern from "hp_source.h" nogil:
    enum:
        HP_NONE
        HP_FRAME
        HP_EOF

    struct hp_frame:
        uint8_t *data
        uint32_t caplen
        uint32_t len
        int64_t sec
        uint32_t nsec
        uint32_t status
        const void *hdr

    struct hp_filter:
        const sock_filter *insns[2]
        unsigned int (*run)(const void *, const uint8_t *, unsigned int, unsigned int)
        int tests_vlan


cdef class BPFProgram:
    cdef bpf_program code
    cdef hp_filter filter_here
    cdef sock_filter *directed   # two copies of the code, for packets in and out; NULL: it does not ask
    cdef readonly int linktype


cdef class Dumper:
    cdef pcap_dumper_t *dumper
    cdef readonly bint nanoseconds
    cdef str name
    cdef int check(self, str operation) except -1
    cdef int put(self, int64_t sec, uint32_t nsec, uint32_t caplen, uint32_t length, const uint8_t *data) except -1


cdef struct pull_state:
    pcap_t *handle
    uint32_t nsec_factor      # from the sub-second field to nanoseconds
    uint64_t packets
    bint seconds_unsigned     # classic pcap files have 32 bits of them, good until 2106
    pipe_state *pipe          # NULL: none
    const hp_filter *filter   # atomic; NULL: none, or libpcap runs it


cdef class PcapHandle:
    """One pcap_t: a savefile, or a device that the ring cannot serve."""
    cdef pcap_t *handle
    cdef pull_state state
    cdef Pipe pipe               # None: a regular file or a device
    cdef readonly str name
    cdef readonly bint offline
    cdef readonly bint nanoseconds
    cdef readonly long begins    # where in a regular file its capture begins
    cdef int fd(self)
    cdef str reason(self)
    cdef void adopt(self, pcap_t *handle, uint32_t nsec_factor)
    cdef int raise_interrupt(self) except -1
    cdef void shut(self)


cdef int pull(void *ctx, hp_frame *frame) noexcept nogil


cdef BPFProgram compile_filter(object text, int linktype, int snaplen, int optimize, uint32_t netmask)
cpdef tuple lookupnet(str device)
