# SPDX-License-Identifier: BSD-3-Clause
"""What ethtool(8) reads and sets, asked of the kernel itself: offloads, pause frames, ring sizes, the driver.

The device is looked up in the network namespace of the caller. What a driver does not offer is None when read.
Source: linux/ethtool.h, net/core/ethtool.
"""

import array
import errno
import fcntl
import os
import socket
import struct

SIOCETHTOOL, SIOCGIFFLAGS, IFF_UP = 0x8946, 0x8913, 1
GDRVINFO, GRINGPARAM, GPAUSEPARAM, SPAUSEPARAM = 0x03, 0x10, 0x12, 0x13
GSTRINGS, GSSET_INFO, GFEATURES, SFEATURES = 0x1B, 0x37, 0x3A, 0x3B
SS_FEATURES, NAME_BYTES, FEATURES_MAX = 4, 32, 1024
NOT_OFFERED = (errno.EOPNOTSUPP, errno.ENOTTY)


def _ask(device, request):
    """One ETHTOOL command; the answer in the request's room. OSError, of which ENODEV: no such device."""
    room = array.array("B", request)
    ifreq = struct.pack("16sP16x", os.fsencode(device), room.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, ifreq)
    return room.tobytes()


def _ask_if_offered(device, request):
    try:
        return _ask(device, request)
    except OSError as error:
        if error.errno in NOT_OFFERED:
            return None
        raise


def flags(device):
    """The device's IFF_ flags. Source: netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        answer = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16s24x", os.fsencode(device)))
    return struct.unpack_from("H", answer, 16)[0]


def driver(device):
    """The driver's name, such as "veth"; None where the device has none."""
    answer = _ask_if_offered(device, struct.pack("I192x", GDRVINFO))
    return answer[4:36].split(b"\0")[0].decode() if answer else None


def _feature_names(device):
    answer = _ask(device, struct.pack("IIQI", GSSET_INFO, 0, 1 << SS_FEATURES, 0))
    count = struct.unpack_from("I", answer, 16)[0] if struct.unpack_from("Q", answer, 8)[0] else 0
    text = _ask(device, struct.pack("III", GSTRINGS, SS_FEATURES, count) + bytes(NAME_BYTES * count))[12:]
    return [text[at:at + NAME_BYTES].split(b"\0")[0].decode() for at in range(0, len(text), NAME_BYTES)]


def features(device):
    """{name: (on, can be changed)} of every offload, by the names of `ethtool -k`'s kernel side ("rx-gro")."""
    names = _feature_names(device)
    words = (len(names) + 31) // 32
    answer = _ask(device, struct.pack("II", GFEATURES, words) + bytes(16 * words))
    found = {}
    for number, name in enumerate(names):
        available, _, active, never = struct.unpack_from("4I", answer, 8 + number // 32 * 16)
        bit = 1 << number % 32
        found[name] = bool(active & bit), bool(available & bit and not never & bit)
    return found


def set_feature(device, name, on):
    """Turns an offload on or off. OSError when the kernel refuses or the device keeps it as it is."""
    names = _feature_names(device)
    number = names.index(name)
    request = bytearray(struct.pack("II", SFEATURES, (len(names) + 31) // 32) + bytes(8 * ((len(names) + 31) // 32)))
    bit = 1 << number % 32
    struct.pack_into("2I", request, 8 + number // 32 * 8, bit, bit if on else 0)
    _ask(device, request)
    if features(device)[name][0] != on:
        raise OSError(errno.EOPNOTSUPP, f"the device keeps {name} {'off' if on else 'on'}")


def pause(device):
    """(autoneg, rx, tx) of the pause frames, or None."""
    answer = _ask_if_offered(device, struct.pack("I12x", GPAUSEPARAM))
    return tuple(map(bool, struct.unpack_from("3I", answer, 4))) if answer else None


def set_pause(device, autoneg, rx, tx):
    _ask(device, struct.pack("4I", SPAUSEPARAM, autoneg, rx, tx))


def rx_ring(device):
    """(descriptors now, at most) of the device's receive ring, or None."""
    answer = _ask_if_offered(device, struct.pack("I32x", GRINGPARAM))
    if answer is None:
        return None
    most, now = struct.unpack_from("I", answer, 4)[0], struct.unpack_from("I", answer, 20)[0]
    return (now, most) if most else None
