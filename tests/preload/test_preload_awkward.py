# SPDX-License-Identifier: BSD-3-Clause
"""The cases of awkward/, every one: as they are, under the sanitizers, under valgrind."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import shim

FOLDER = Path(__file__).with_name("awkward")
CASES = re.findall(r'^\t\{ "(\w+)", \w+ \},$', (FOLDER / "main.c").read_text(), flags=re.M)
COMPILE_S = shim.DEADLINE_S * 4
SANITIZE = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]


def compile_program(folder, *flags):
    program = folder / "awkward"
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-O1", *flags, "-o", program,
                    *FOLDER.glob("*.c"), "-lpthread"], check=True, timeout=COMPILE_S)
    return program


def compile_shim(folder):
    """preload.so with the sanitizers in it."""
    copy = folder / "preload-asan.so"
    subprocess.run(["make", "-s", "-C", shim.LIBRARY.parent, f"CFLAGS={' '.join(SANITIZE)}", f"TARGET={copy}", copy],
                   check=True, timeout=COMPILE_S)
    runtime = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, text=True, capture_output=True)
    return f"{Path(runtime.stdout.strip()).resolve()} {copy}"


def check(done, left_out=()):
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [case for case in CASES if case not in left_out]


def test_cases(network, tmp_path):
    check(shim.run([compile_program(tmp_path)], ring="8M", policy="stock", deadline_s=60))


def test_cases_under_the_sanitizers(network, tmp_path):
    program = compile_program(tmp_path, *SANITIZE)
    check(shim.run([program], ring="8M", policy="stock", library=compile_shim(tmp_path), deadline_s=60))


def test_cases_under_valgrind(network, tmp_path):
    if not shutil.which("valgrind"):
        pytest.skip("no program valgrind")
    valgrind = ["valgrind", "-q", "--leak-check=full", "--errors-for-leak-kinds=definite", "--error-exitcode=9",
                "--trace-children=yes"]
    command = [*valgrind, compile_program(tmp_path), "request_not_there"]
    done = shim.run(command, ring="8M", policy="stock", deadline_s=120)
    check(done, ["request_not_there"])


def test_the_cases_need_the_shim(network, tmp_path):
    """They can fail: without it no ring is deepened."""
    done = shim.run([compile_program(tmp_path)], shim=False)
    assert done.returncode == 1 and "DEEP_BLOCKS" in done.stderr
