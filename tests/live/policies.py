# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of policies share."""

from __future__ import annotations

import errno
import re
import socket
import warnings
from pathlib import Path

import hugepcap

SOL_PACKET, PACKET_HUGE_INFO = 263, 0x4806


def kernel_has_policies():
    """Whether the kernel was built with CONFIG_PACKET_HUGE; without the right to ask, it counts as one without."""
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sock:
            sock.getsockopt(SOL_PACKET, PACKET_HUGE_INFO, 72)
    except OSError as error:
        return error.errno not in (errno.ENOPROTOOPT, errno.EPERM)
    return True


def free_huge_pages():
    return int(re.search(r"HugePages_Free:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))


def open_with(device, **options):
    """A Reader and the RuntimeWarnings its opening gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reader = hugepcap.open_live(device, 65535, 1, 20, **options)
    return reader, [str(warning.message) for warning in caught if warning.category is RuntimeWarning]
