# SPDX-License-Identifier: BSD-3-Clause
"""The package built anew with AddressSanitizer and counters of what is alive, and child interpreters that run it.

It lies in the user's cache, under a name made of its sources: built once, then found.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterator, NamedTuple

from helpers import TESTS, child_environment

ROOT = TESTS.parent
CSRC = ROOT / "hugepcap/_csrc"
LIVE_C = Path(__file__).parent / "csrc/live.c"
FLAGS = ["-O0", "-g1", "-fsanitize=address", "-fno-omit-frame-pointer", "-DHUGEPCAP_DEBUG_BLOCKS"]
BUILT = ("*.so", "*.o", "__pycache__", "_*.c")
# Of struct hp_live_kind, in its order.
KINDS = ("blocks", "rings", "readers", "memories", "columns", "chunks", "arrays")

# What every child has: captures on the link, packets in them, and the counts.
PREAMBLE = """
import ctypes, gc, os, sys
import hugepcap
from helpers import send
from reading import numbers

def live():
    return dict(zip({kinds}, (ctypes.c_long * {nr}).in_dll(ctypes.CDLL(None), "hp_live_counts")))

NOTHING = dict.fromkeys(live(), 0)

def opened(count=0, **options):
    reader = hugepcap.open_live("far", 65535, 1, 100, ring_bytes=2 << 20, **options)
    send("near", count)
    return reader

def taken(reader):
    "Five packets in one Batch; again where the block's timer ended it in the midst of them."
    while True:
        send("near", 5)
        batch = reader.next_block(timeout=30)
        got = len(batch)
        if got == 5:
            return batch
        del batch
        while got < 5:
            got += len(reader.next_block(timeout=30))
"""

# Runs pytest on the build; the programs that its tests start have the ordinary one, without AddressSanitizer.
SUITE = """
import importlib, os, pkgutil, sys
import hugepcap
assert hugepcap.__file__.startswith({where!r})
for module in pkgutil.walk_packages(hugepcap.__path__, "hugepcap."):
    importlib.import_module(module.name)
for name in ("LD_PRELOAD", "PYTHONPATH", "PYTHONMALLOC"):
    del os.environ[name]
sys.path.remove({where!r})
os.chdir({root!r})
import pytest
sys.exit(pytest.main({arguments!r}))
"""


class Ended(NamedTuple):
    """How a child ended: what it wrote, and what was alive when the interpreter had gone."""

    returncode: int
    stdout: str
    stderr: str
    left: dict[str, int]


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "hugepcap-tests")


def sources() -> Iterator[Path]:
    for pattern in ("*.pyx", "*.pxd", "*.py", "_csrc/*"):
        yield from sorted((ROOT / "hugepcap").glob(pattern))
    yield from (ROOT / "setup.py", LIVE_C, Path(__file__))


def name_of_sources() -> str:
    found = hashlib.sha256(sys.version.encode())
    for source in sources():
        found.update(source.name.encode() + source.read_bytes())
    return found.hexdigest()[:16]


def run(*command: object, cwd: Path | None = None, **environment: str) -> None:
    """A step of the build: its output is the failure's message."""
    done = subprocess.run([*map(str, command)], cwd=cwd, env={**os.environ, **environment}, text=True, timeout=600,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-4000:]}"


def make(where: Path) -> None:
    """Copies the sources and builds them; the flags come last, behind setup.py's own."""
    for name in ("hugepcap", "preload"):
        shutil.copytree(ROOT / name, where / name, ignore=shutil.ignore_patterns(*BUILT))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, where)
    compiler = where / "cc"
    compiler.write_text(f'#!/bin/sh\nexec gcc "$@" {" ".join(FLAGS)}\n')
    compiler.chmod(0o755)
    run(sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j2", cwd=where, CC=str(compiler),
        LDSHARED=f"{compiler} -shared")
    run(compiler, "-shared", "-fPIC", f"-I{CSRC}", LIVE_C, "-o", where / "live.so")
    shutil.rmtree(where / "build")


class Sanitized:
    """The build; calling it runs Python code with it, in this thread's namespace."""

    def __init__(self) -> None:
        cache().mkdir(parents=True, exist_ok=True)
        self.where = cache() / name_of_sources()
        with open(cache() / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.where / "live.so").exists():
                for old in cache().glob("*/"):
                    shutil.rmtree(old)
                make(self.where)
        asan = subprocess.run(["gcc", "-print-file-name=libasan.so"], stdout=subprocess.PIPE, text=True, check=True)
        self.preload = f"{os.path.realpath(asan.stdout.strip())}:{self.where / 'live.so'}"

    def __call__(self, code: str, deadline_s: float = 120) -> Ended:
        done = self.child(PREAMBLE.format(kinds=KINDS, nr=len(KINDS)) + code, deadline_s)
        *_, last = [line for line in done.stderr.splitlines() if line.startswith("live:")] or [""]
        return Ended(done.returncode, done.stdout, done.stderr, dict(zip(KINDS, map(int, last.split()[1:]))))

    def pytest(self, *arguments: str, deadline_s: float) -> subprocess.CompletedProcess[str]:
        """Runs tests, named from the project's folder, on the build."""
        return self.child(SUITE.format(where=str(self.where), root=str(ROOT), arguments=[*arguments]), deadline_s)

    def child(self, code: str, deadline_s: float) -> subprocess.CompletedProcess[str]:
        environment = child_environment()
        environment["PYTHONPATH"] = os.pathsep.join([str(self.where), str(TESTS / "live"), environment["PYTHONPATH"]])
        # Python's own pools would hide from ASan what becomes of its objects; what Python never frees is not ours.
        environment.update(LD_PRELOAD=self.preload, PYTHONMALLOC="malloc", ASAN_OPTIONS="detect_leaks=0:exitcode=99")
        return subprocess.run([sys.executable, "-c", code], env=environment, text=True, timeout=deadline_s,
                              cwd=self.where, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
