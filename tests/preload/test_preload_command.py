# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap preload`: the program it becomes, and its warnings where LD_PRELOAD cannot reach."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import shim
from helpers import run_child
from hugepcap.cli import preload as command
from hugepcap.cli.preload import obstacles

COMMAND = [sys.executable, "-m", "hugepcap.cli", "preload"]


def preload(*words, **variables):
    return subprocess.run([*COMMAND, *map(str, words)], env=shim.environment(shim=False) | variables, text=True, timeout=30,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def compiled(folder, text, *flags):
    source, program = folder / "program.c", folder / "program"
    source.write_text(text)
    subprocess.run(["gcc", "-o", program, source, *flags], check=True, timeout=60)
    return program


def test_path():
    printed = preload("--path").stdout.strip()
    assert printed.endswith("preload.so") and os.path.exists(printed)


def test_environment_of_the_program():
    done = preload("--policy", "thp", "--ring", "64M", "--strict", "-vv", "--", "env")
    lines = done.stdout.splitlines()
    assert {"HUGEPCAP_POLICY=thp", f"HUGEPCAP_RING={64 << 20}", "HUGEPCAP_STRICT=1", "HUGEPCAP_VERBOSE=2"} <= set(lines)
    assert [line for line in lines if line.startswith("LD_PRELOAD=")][0].endswith("/preload.so")
    assert done.stderr == ""


def test_exit_status_and_signals_are_the_programs():
    assert preload("--", "sh", "-c", "exit 7").returncode == 7
    assert preload("--", "sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM


def test_ignored_signals_are_the_callers():
    """Python ignores SIGPIPE and SIGXFSZ; a program started by hand does not."""
    show = ["sed", "-n", "s/^SigIgn:\t//p", "/proc/self/status"]
    plain = subprocess.run(show, check=True, text=True, capture_output=True).stdout
    assert preload("--", *show).stdout == plain


def test_options_of_the_program_stay_its_own():
    assert preload("sh", "-c", "echo $0", "--ring").stdout == "--ring\n"


def test_a_shim_refusing_its_settings_is_the_programs_exit():
    done = preload("--strict", "--", "true", HUGEPCAP_RING="many")
    assert done.returncode == 2 and "HUGEPCAP_RING=many is ignored: give a size such as 256M" in done.stderr


@pytest.mark.parametrize("words, complaint", [
    ([], "no command given"), (["--", "no-such-program"], "no program 'no-such-program'"),
    (["--", "/etc/passwd"], "hugepcap: /etc/passwd is no program that may be executed"),
    (["--policy", "best", "--", "true"], "'best' is not one of 'auto'"), (["--ring", "many", "--", "true"], "such as 256M"),
])
def test_what_it_refuses(words, complaint):
    done = preload(*words)
    assert done.returncode in (1, 2) and complaint in done.stderr and done.stdout == ""


def test_ordinary_program_gives_no_warning(tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env sh\nexit 3\n")
    script.chmod(0o755)
    done = preload("--", script)
    assert (done.returncode, done.stderr) == (3, "")


def test_static_program(tmp_path):
    done = preload("--", compiled(tmp_path, "int main(void) { return 0; }", "-static"))
    assert "statically linked" in done.stderr and done.returncode == 0


def test_library_in_a_folder_the_loader_parts():
    for library in "/a b/preload.so", "/a:b/preload.so":
        warning, = obstacles("/bin/true", library)
        assert "parts LD_PRELOAD at spaces and colons" in warning and library in warning
    assert list(obstacles("/bin/true", str(shim.LIBRARY))) == []


def test_apparmor(tmp_path, monkeypatch):
    """The profile of the program's real path, unless it or AppArmor is off; the folders of a system without it."""
    program, enabled, folder = shutil.which("true"), tmp_path / "enabled", tmp_path / "apparmor.d"
    (folder / "disable").mkdir(parents=True)
    name = os.path.realpath(program)[1:].replace("/", ".")
    monkeypatch.setattr(command, "APPARMOR_ENABLED", enabled)
    monkeypatch.setattr(command, "APPARMOR_PROFILES", folder)

    def warnings():
        return list(obstacles(program, "/opt/preload.so"))

    enabled.write_text("Y\n")
    assert warnings() == []
    (folder / name).touch()
    assert len(warnings()) == 1 and f"put '/opt/preload.so mr,' into {folder}/local/{name}" in warnings()[0]
    (folder / "disable" / name).touch()
    assert warnings() == []
    (folder / "disable" / name).unlink()
    enabled.write_text("N\n")
    assert warnings() == []


AS_NOBODY = """
import os, sys
from hugepcap.cli.preload import obstacles, raised_privileges
script = sys.argv.pop()
print(*map(raised_privileges, sys.argv[1:]), sep=", ")
os.setresuid(65534, 65534, 65534)
print(*map(raised_privileges, sys.argv[1:]), sep=", ")
print(*obstacles(script, "/opt/preload.so"))
"""


def test_raised_privileges(root):
    """A user meets a setuid program, and one with file capabilities; to root neither is a hindrance."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        programs = [Path(folder, name) for name in ("plain", "setuid", "capable")]
        for program, mode in zip(programs, (0o755, 0o4755, 0o755)):
            program.touch()
            program.chmod(mode)
        # revision 2, effective; CAP_NET_RAW permitted
        os.setxattr(programs[2], "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
        script = Path(folder, "script")
        script.write_text(f"#!{programs[2]}\n")
        script.chmod(0o4755)    # a bit that the kernel ignores in a script
        done = run_child(AS_NOBODY, *programs, script)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["None, None, None", "None, the setuid bit, file capabilities"], done.stderr
    assert lines[2].startswith(f"{programs[2]} has file capabilities, and the loader then ignores LD_PRELOAD")
