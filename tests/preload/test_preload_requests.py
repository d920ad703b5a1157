# SPDX-License-Identifier: BSD-3-Clause
"""Requests that are not what libpcap's are: by programs that reuse them, by children the shim does not know, with no
descriptors or memory left, with standard error put to another use."""

from __future__ import annotations

import errno
import sys

import pytest

import shim
from beside import NO_COPY, NOTHING_MADE, SHORT_OF_MEMORY, beside

# Five blocks of 256 KiB, and the mapping that makes.
PREAMBLE = """
import ctypes, mmap, os, resource, socket, struct, sys
request = bytearray(struct.pack("7I", 1 << 18, 5, 1 << 18, 5, 10, 0, 0))

def open_ring():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(263, 10, 2)
    ctypes.set_errno(0)
    buffer = (ctypes.c_char * len(request)).from_buffer(request)
    if ctypes.CDLL(None, use_errno=True).setsockopt(sock.fileno(), 263, 5, buffer, len(request)):
        raise OSError(ctypes.get_errno(), "setsockopt")
    return sock

def blocks():
    return struct.unpack("7I", request)[1]

def map_own(sock):
    mmap.mmap(sock.fileno(), 5 << 18).close()
"""


def run(code, **settings):
    return shim.run([sys.executable, "-c", PREAMBLE + code], **settings)


def test_a_request_used_again_may_shrink_to_what_the_program_asked(network, tmp_path):
    done = run("""
for memory in "6", "5":
    os.environ["BLOCKS"] = memory
    map_own(open_ring())
    print(blocks())
""", ring="8M", policy="stock", library=beside(tmp_path, SHORT_OF_MEMORY))
    assert done.stdout.split() == ["6", "5"], done.stderr


@pytest.mark.parametrize("ring, blocks", [("8M", 32), ("8193K", 33), ("1281K", 6), ("4095M", 16380)])
def test_a_ring_is_at_least_as_large_as_was_asked(network, tmp_path, ring, blocks):
    """By one block where the size is no multiple; 4 GiB, with its length, is beyond 32 bits."""
    done = run("open_ring(); print(blocks())", ring=ring, policy="stock", library=beside(tmp_path, NOTHING_MADE))
    assert (done.stdout, done.stderr) == (f"{blocks}\n", "")


SHARED = """
sock = open_ring()
child = os.fork()
if child == 0:
    map_own(sock)
    os._exit(0)
print(os.waitpid(child, 0)[1])
map_own(sock)
print("mapped")
"""


def test_a_ring_shared_by_a_fork_is_made_anew_once(network):
    """The child maps it first, as small as it asked for; then the parent does."""
    done = run(SHARED, ring="8M", policy="stock")
    assert done.stdout.split() == ["0", "mapped"], done.stderr
    assert done.stderr.count("the ring gets them back") == 1


NO_DESCRIPTOR = """
sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
sock.setsockopt(263, 10, 2)
ctypes.CDLL(None)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno() + 1, limits[1]))
try:
    sock.setsockopt(263, 5, bytes(request))
except OSError as error:
    print(error.errno)
"""


def test_a_kernel_that_copies_by_pipe_only(network, tmp_path):
    done = run("open_ring(); print(blocks())", ring="8M", policy="stock", library=beside(tmp_path, NO_COPY))
    assert (done.stdout, done.stderr) == ("32\n", "")


def test_a_request_that_cannot_be_read(network, tmp_path):
    library = beside(tmp_path, NO_COPY)
    lenient = run(NO_DESCRIPTOR, ring="8M", policy="stock", library=library)
    assert "ring left as the program asks: Too many open files" in lenient.stderr and lenient.stdout == ""
    strict = run(NO_DESCRIPTOR, ring="8M", policy="stock", strict=1, library=library)
    assert "ring refused (HUGEPCAP_STRICT=1): Too many open files" in strict.stderr
    assert int(strict.stdout) == errno.EOPNOTSUPP


CHILD = """
child = ctypes.PyDLL(None)._Fork()
if child == 0:
    try:
        open_ring()
    except OSError as error:
        os._exit(error.errno)
    os._exit(blocks())
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_of_bare_fork_is_not_served_and_says_so(network):
    done = run(CHILD, ring="8M", policy="stock")
    assert done.stdout == "5\n" and "ring left as the program asks: children of vfork, _Fork" in done.stderr
    done = run(CHILD, ring="8M", policy="stock", strict=1)
    assert int(done.stdout) == errno.EOPNOTSUPP and "ring refused (HUGEPCAP_STRICT=1)" in done.stderr
    done = run(CHILD, policy="stock", strict=1, verbose=1)
    assert (done.stdout, done.stderr) == ("5\n", ""), "nothing was wished"


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_that_takes_descriptor_2_gets_no_line(network, tmp_path, taken):
    file = tmp_path / "data"
    take = f"os.close(2); assert os.open({str(file)!r}, os.O_RDWR | os.O_CREAT) == 2" if taken else ""
    done = run(f"{take}\nmap_own(open_ring())\nprint('mapped')", ring="8M", policy="stock")
    assert done.stdout == "mapped\n"
    assert ("HUGEPCAP_RING not applied" in done.stderr) is not taken
    assert not taken or file.read_bytes() == b""
