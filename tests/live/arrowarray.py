# SPDX-License-Identifier: BSD-3-Clause
"""A consumer of Arrow's C structures, which lets go of them in whatever order a test wants.

Source: "The Arrow C data interface" and "The Arrow C stream interface" of Arrow's specification.
"""

from __future__ import annotations

import ctypes
import struct

DATA = 8    # the field of the packets' bytes
VIEW_BYTES, INLINED_BYTES = 16, 12


class Array(ctypes.Structure):
    """struct ArrowArray."""

    def release(self) -> None:
        RELEASE(self._release)(ctypes.byref(self))
        assert not self._release, "a released array says so"

    def take_children(self, release: bool = False) -> list[Array]:
        """Moves the children out, as a consumer may that wants some columns only."""
        taken = []
        for i in range(self.n_children):
            taken.append(Array.from_buffer_copy(self.children[i].contents))
            self.children[i].contents._release = None
        if release:
            self.release()
        return taken

    def packets(self) -> list[bytes]:
        """What a binary view column, or a batch's, has; read from where the views say."""
        if self.n_children:
            return self.children[DATA].contents.packets()
        views = ctypes.string_at(self.buffers[1], self.length * VIEW_BYTES)
        found = []
        for at in range(0, len(views), VIEW_BYTES):
            size, _, buffer, offset = struct.unpack_from("<I4sII", views, at)
            inlined = views[at + 4:at + 4 + size]
            found.append(inlined if size <= INLINED_BYTES else ctypes.string_at(self.buffers[2 + buffer] + offset, size))
        return found


Array._fields_ = [(name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")] + [
    ("buffers", ctypes.POINTER(ctypes.c_void_p)), ("children", ctypes.POINTER(ctypes.POINTER(Array))),
    ("dictionary", ctypes.c_void_p), ("_release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]


class Schema(ctypes.Structure):
    """struct ArrowSchema."""

    def with_child(self, child: Schema) -> Schema:
        self.format, self.n_children, self.children = b"+s", 1, (ctypes.POINTER(Schema) * 1)(ctypes.pointer(child))
        return self

    def capsule(self) -> object:
        """What a consumer asks for; good for as long as this is."""
        return _new_capsule(ctypes.addressof(self), b"arrow_schema", None)


Schema._fields_ = [(name, ctypes.c_char_p) for name in ("format", "name", "metadata")] + [
    ("flags", ctypes.c_int64), ("n_children", ctypes.c_int64), ("children", ctypes.POINTER(ctypes.POINTER(Schema))),
    ("dictionary", ctypes.c_void_p), ("_release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]


class Stream(ctypes.Structure):
    """struct ArrowArrayStream."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("get_schema", "get_next", "get_last_error", "_release", "private")]

    def next(self) -> Array | None:
        """The next array; None at the end."""
        array = Array()
        assert GET_NEXT(self.get_next)(ctypes.byref(self), ctypes.byref(array)) == 0
        return array if array._release else None

    def release(self) -> None:
        RELEASE(self._release)(ctypes.byref(self))


RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
GET_NEXT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def _moved(kind, capsule, name: bytes):
    """The structure of a capsule as the consumer's own; the capsule then has nothing to release."""
    inside = kind.from_address(_pointer_of(capsule, name))
    mine = kind.from_buffer_copy(inside)
    inside._release = None
    return mine


def moved(capsule: object) -> Array:
    return _moved(Array, capsule, b"arrow_array")


def stream_of(capsule: object) -> Stream:
    return _moved(Stream, capsule, b"arrow_array_stream")
