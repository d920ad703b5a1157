# SPDX-License-Identifier: BSD-3-Clause
"""The exceptions. Each PcapError that comes from the system is also the builtin one of its errno.

``except PcapError`` (pcapy's) and ``except PermissionError`` (Python's) both work.
"""

from __future__ import annotations

import errno as _errno
import os


class PcapError(Exception):
    """A capture, a file or a filter could not be had or went wrong.

    ``errno`` is the system's number (0 where none applies), ``operation`` the call that
    failed, ``detail`` what it was tried on. ``str()`` of it says all three.
    """

    errno: int | None

    def __init__(self, *args: object, errno: int = 0, operation: str = "", detail: str = "") -> None:
        super().__init__(*args)
        self.errno = errno
        self.operation = operation
        self.detail = detail


class BPFError(Exception):
    """A filter given to ``BPFProgram`` could not be compiled (pcapy keeps it apart from PcapError)."""


class PcapPermissionError(PcapError, PermissionError):
    """EPERM, EACCES: capturing takes root or CAP_NET_RAW."""


class PcapFileNotFoundError(PcapError, FileNotFoundError):
    """ENOENT: there is no such file."""


class PcapDeviceError(PcapError, OSError):
    """ENODEV, ENXIO, ENETDOWN: the device is not there, not up, or went away."""


class PcapMemoryError(PcapError, MemoryError):
    """ENOMEM: no memory for the ring, however small."""


class PcapCorruptError(PcapError):
    """EBADMSG: the contents of a ring or of a file cannot be right."""


_CLASSES = {
    _errno.EPERM: PcapPermissionError,
    _errno.EACCES: PcapPermissionError,
    _errno.ENOENT: PcapFileNotFoundError,
    _errno.ENODEV: PcapDeviceError,
    _errno.ENXIO: PcapDeviceError,
    _errno.ENETDOWN: PcapDeviceError,
    _errno.ENOMEM: PcapMemoryError,
    _errno.EBADMSG: PcapCorruptError,
}


def error_class(code: int) -> type[PcapError]:
    """The class for a positive errno."""
    return _CLASSES.get(code, PcapError)


def from_errno(code: int, operation: str, detail: str) -> PcapError:
    """The exception for a positive errno; its text reads: operation detail: the system's reason."""
    text = f"{operation} {detail}: {os.strerror(code)}"
    return error_class(code)(text, errno=code, operation=operation, detail=detail)
