# SPDX-License-Identifier: BSD-3-Clause
"""Scapy's own listening socket behind the few methods that live.py and watch.py use. It has no ring; its buffer is as large."""

import socket
import struct

from scapy.arch.linux import L2ListenSocket

SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS = 33, 263, 6


class ScapySocket:
    def __init__(self, device, buffer_bytes):
        self.socket = L2ListenSocket(iface=device)
        self.socket.ins.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes // 2)    # the kernel doubles it
        self.received = self.dropped = 0

    def setnonblock(self, on):
        self.socket.ins.setblocking(not on)

    def getfd(self):
        return self.socket.fileno()

    def recv_raw(self):
        """A packet's bytes, or None."""
        try:
            return self.socket.recv_raw()[1]
        except BlockingIOError:
            return None

    def stats(self):
        """As pcapy's; the kernel begins anew at each question."""
        received, dropped = struct.unpack("II", self.socket.ins.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.received, self.dropped = self.received + received, self.dropped + dropped
        return self.received, self.dropped, 0
