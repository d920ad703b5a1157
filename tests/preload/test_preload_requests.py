# SPDX-License-Identifier: BSD-3-Clause
"""Requests that are not what libpcap's are: by programs that reuse them, by children the shim does not know, with no
descriptors or memory left, with standard error put to another use."""

from __future__ import annotations

import errno
import re
import sys

import pytest

import shim
from beside import HUGE_RINGS, NO_COPY, SHORT_OF_MEMORY, beside

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


def test_at_least_as_large_as_was_wished(network):
    done = run("open_ring(); print(blocks())", ring=f"{(8 << 20) + 1}", policy="stock", strict=1)
    assert (done.stdout, done.stderr) == ("33\n", "")


@pytest.mark.parametrize("ring", ["4G", (1 << 32) - 1])
def test_a_last_block_that_would_reach_4_gib(network, ring):
    """Not even tried under strict: what the line says is what would have been asked for."""
    done = run("open_ring()", ring=ring, policy="stock", strict=1)
    assert "HUGEPCAP_RING not in full: 16383 blocks of 262144 bytes stay of 5: many programs" in done.stderr


def test_a_request_used_again_may_shrink_to_what_the_program_asked(network, tmp_path):
    done = run("""
for memory in "6", "5":
    os.environ["BLOCKS"] = memory
    map_own(open_ring())
    print(blocks())
""", ring="8M", policy="stock", library=beside(tmp_path, SHORT_OF_MEMORY))
    assert done.stdout.split() == ["6", "5"], done.stderr


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


SECOND_RING = """
sock = open_ring()
try:
    sock.setsockopt(263, 13, struct.pack("7I", 1 << 18, 5, 1 << 18, 5, 0, 0, 0))
except OSError as error:
    print(error.errno)
    map_own(sock)
else:
    mmap.mmap(sock.fileno(), 10 << 18).close()
"""


@pytest.mark.parametrize("policy, no_thp, refusal, made_by", [
    ("hugetlb", "", errno.EBUSY, ["hugetlb"]),
    ("auto", "1", errno.ENOMEM, ["hugetlb", "hugetlb"]),
    ("auto", "", None, ["hugetlb", "thp"]),
])
def test_a_second_ring_that_is_refused_leaves_the_first(network, tmp_path, monkeypatch, policy, no_thp, refusal,
                                                        made_by):
    if no_thp:
        monkeypatch.setenv("NO_THP", no_thp)
    done = run(SECOND_RING, policy=policy, strict=1, verbose=2, library=beside(tmp_path, HUGE_RINGS))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ([] if refusal is None else [str(refusal)]), done.stderr
    assert re.findall(r"RX ring of .*: made by (\w+)", done.stderr) == made_by
    assert f"got 1280 KiB (5 x 256 KiB) by {made_by[-1]}" in done.stderr


AT_AN_ADDRESS = """
BYTES, HUGE, FIXED = int(sys.argv[1]), 2 << 20, 0x10
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
request[:] = struct.pack("7I", 1 << 18, BYTES >> 18, 1 << 18, BYTES >> 18, 10, 0, 0)
area = libc.mmap(None, BYTES + 3 * HUGE, 3, 0x22, -1, 0)
where = (area + HUGE - 1) // HUGE * HUGE + int(sys.argv[2])
sock = open_ring()
assert libc.mmap(where, BYTES, 3, 1 | FIXED, sock.fileno(), 0) == where, ctypes.get_errno()
"""


@pytest.mark.parametrize("size, past, policy", [
    (4 * shim.MIB, 0, "hugetlb"), (4 * shim.MIB, 4096, "thp"), (5 << 18, 0, "thp")])
def test_an_address_or_length_that_huge_pages_do_not_fit(network, tmp_path, size, past, policy):
    """The kernel refuses such an address, and such a length would take what lies behind the ring."""
    command = [sys.executable, "-c", PREAMBLE + AT_AN_ADDRESS, size, past]
    done = shim.run(command, verbose=1, library=beside(tmp_path, HUGE_RINGS))
    assert done.returncode == 0, done.stderr
    assert re.search(rf"by auto, got .* by {policy}, ", done.stderr), done.stderr
