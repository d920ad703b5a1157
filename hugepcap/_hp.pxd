# SPDX-License-Identifier: BSD-3-Clause
"""The C core, as Cython sees it. Everything here is noexcept and needs no GIL."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from ._pcap cimport hp_filter, hp_frame, sock_filter


cdef extern from "hp_err.h" nogil:
    struct hp_err:
        int code
        const char *op
        char detail[232]


cdef extern from "hp_sock.h" nogil:
    enum hp_link:
        HP_LINK_OTHER
        HP_LINK_ETHER
        HP_LINK_RAW
        HP_LINK_SLL
        HP_LINK_SLL2

    struct hp_device:
        char name[16]
        int ifindex
        int arphrd
        hp_link link
        int loopback

    struct hp_counters:
        uint64_t packets
        uint64_t drops
        uint64_t freezes

    int hp_device_find(hp_device *, const char *, hp_err *)
    int hp_sock_open(const hp_device *, hp_err *)
    int hp_sock_promisc(int, const hp_device *, hp_err *)
    int hp_sock_ignore_outgoing(int, int)
    int hp_sock_hw_timestamps(int, const hp_device *, hp_err *)
    int hp_sock_attach(int, const sock_filter *, unsigned int)
    int hp_sock_bind(int, const hp_device *, hp_err *)
    int hp_sock_fanout(int, uint16_t, uint16_t, hp_err *)
    int hp_sock_send(int, const void *, uint32_t, hp_err *)
    int hp_sock_stats(int, hp_counters *, hp_err *)
    int hp_sock_error(int)
    int hp_sock_reject(int)
    void hp_sock_silence(int, const hp_device *)
    int hp_sock_link_state(int, const hp_device *)


cdef extern from "hp_bpf.h" nogil:
    enum:
        BPF_MAXINSNS
    int hp_bpf_for_socket(const sock_filter *, unsigned int, hp_link, uint32_t, sock_filter *)


cdef extern from "hp_mem.h" nogil:
    enum hp_policy:
        HP_POLICY_AUTO
        HP_POLICY_STOCK
        HP_POLICY_NR
    const char *HP_POLICY_NAMES

    struct hp_grant:
        hp_policy policy
        hp_err refused[7]

    struct packet_huge_info:
        uint64_t user_page_bytes
        uint64_t kernel_page_bytes
        uint64_t user_huge_bytes
        uint64_t kernel_huge_bytes
        uint64_t pinned_bytes
        int node
        int reason

    const char *hp_policy_name(hp_policy)
    int hp_policy_parse(const char *, hp_policy *)
    int hp_size_parse(const char *, uint64_t *)
    int hp_mem_info(int, int, packet_huge_info *)


cdef extern from "hp_live.h" nogil:
    enum hp_live_kind:
        HP_LIVE_READERS
        HP_LIVE_MEMORIES
        HP_LIVE_COLUMNS
        HP_LIVE_ARRAYS

    void hp_live(hp_live_kind, int)

cdef extern from "hp_ring.h" nogil:
    uint64_t HP_RING_BYTES_MAX
    uint32_t HP_BLOCK_NR_MAX

    struct hp_geometry:
        uint32_t block_bytes
        uint32_t block_nr
        uint32_t retire_ms

    struct hp_ring:
        hp_geometry geo
        uint8_t *map
        size_t map_bytes
        uint32_t head
        uint64_t taken
        uint64_t released
        hp_grant grant

    struct hp_ring_want:
        hp_geometry geo
        hp_policy policy
        int strict
        const char *mount

    void hp_geometry_fit(hp_geometry *, uint64_t, uint32_t, uint32_t, uint32_t)
    int hp_ring_open(hp_ring *, int, const hp_ring_want *, hp_err *)
    void hp_ring_close(hp_ring *)
    uint32_t hp_ring_pending(const hp_ring *)
    uint64_t hp_ring_handed_over(const hp_ring *)
    int hp_ring_node(const hp_ring *)
    void hp_ring_pin(const hp_ring *, uint32_t)
    void hp_ring_unpin(hp_ring *, uint32_t)


cdef extern from "hp_source.h" nogil:
    enum:
        HP_NONE
        HP_FRAME
        HP_EOF
        HP_AGAIN
        HP_DIR_IN
        HP_DIR_OUT

    struct hp_cursor:
        uint32_t left

    struct hp_source:
        hp_cursor cur
        hp_ring *ring
        int (*pull)(void *, hp_frame *) noexcept nogil
        void *ctx
        uint32_t index
        int held
        int broken
        hp_link link
        uint32_t snaplen
        int direction
        int loopback
        const hp_filter *filter
        uint64_t filter_until
        int plain

    void hp_source_settle(hp_source *)
    int hp_broken(const hp_source *)
    void hp_break(hp_source *, int)
    void hp_filter_publish(hp_source *, const hp_filter *)
    enum hp_touch:
        HP_TOUCH_HEADS
        HP_TOUCH_ALL
    int hp_source_next(hp_source *, hp_cursor *, hp_frame *, hp_touch)
    void hp_copy(uint8_t *, const uint8_t *, uint32_t)
    void hp_source_release(hp_source *)
    void hp_source_settle_block(hp_source *)


cdef extern from "hp_wait.h" nogil:
    enum:
        HP_WAIT_READY
        HP_WAIT_WOKEN
        HP_WAIT_ERROR
        HP_WAIT_SIGNAL
    int64_t hp_now_ms()
    int hp_wake_open()
    void hp_wake(int)
    void hp_wake_drain(int)
    int hp_wait(int, int, int)
    int hp_edge_open(int, int, int)
    int hp_edge_wait(int, int)


cdef extern from "hp_class.h" nogil:
    enum:
        HP_BUDGET
        HP_CLASS_MAX

    enum hp_profile:
        HP_PROFILE_GENERIC
        HP_PROFILE_SECURITY

    struct hp_set:
        pass

    struct hp_flows:
        pass

    struct hp_ports:
        const uint16_t *list
        uint32_t nr

    struct hp_classifier:
        hp_profile profile
        uint32_t l2_offset
        uint16_t dns_port
        hp_ports http
        hp_ports tls
        uint32_t flow_cutoff
        int ipv6
        hp_set *set4
        hp_set *set6
        hp_flows *flows

    struct hp_tally:
        uint64_t admitted
        uint64_t dropped
        uint64_t overflow
        uint64_t classes[6]

    struct hp_buffer:
        uint8_t *at
        size_t bytes
        size_t used
        uint8_t class_base

    hp_set *hp_set_new(const uint8_t *, size_t, uint32_t)
    void hp_set_free(hp_set *)
    hp_flows *hp_flows_new()
    void hp_flows_free(hp_flows *)
    int hp_scan(hp_source *, const hp_classifier *, uint32_t, hp_tally *, uint64_t *, hp_frame *, int *)
    int hp_fill(hp_source *, const hp_classifier *, uint32_t, hp_tally *, uint64_t *, hp_buffer *)


cdef extern from "hp_columns.h" nogil:
    struct hp_columns:
        uint8_t *base
        uint32_t nr
        uint32_t capacity
        int64_t *ts_ns
        uint64_t *offset
        uint32_t *caplen
        uint32_t *len
        uint32_t *rxhash
        uint32_t *status
        uint16_t *vlan_tci
        uint16_t *vlan_tpid
        uint8_t *direction

    size_t hp_columns_bytes(uint32_t)
    void hp_columns_lay(hp_columns *, void *, uint32_t)
    uint64_t hp_columns_wire_bytes(const hp_columns *)
    void hp_columns_add(hp_columns *, const hp_frame *)


cdef extern from "hp_collect.h" nogil:
    struct hp_pins:
        uint32_t *blocks
        uint32_t nr
        uint32_t capacity

    int hp_collect(hp_columns *, hp_source *, hp_pins *)


cdef extern from "hp_batch.h" nogil:
    struct hp_record:
        uint32_t sec
        uint32_t usec
        uint32_t offset
        uint32_t caplen

    struct hp_batch:
        hp_record *records
        uint8_t *bytes
        uint32_t capacity
        uint32_t room
        uint32_t nr
        uint32_t used

    uint32_t hp_batch_room(const hp_source *, const hp_frame *, uint32_t)
    void hp_batch_add(hp_batch *, const hp_frame *)
    int hp_batch_collect(hp_batch *, hp_source *)
