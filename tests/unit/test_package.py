# SPDX-License-Identifier: BSD-3-Clause
"""The package as users install it: an sdist from what is committed, a wheel from that, the command of an install."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 1200
PIP = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--no-input"]


def run(*command, **settings):
    done = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=BUILD_S, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    sources, parallel = folder / "sources", folder / "build.cfg"
    sources.mkdir()
    archive = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", sources], input=archive.stdout, check=True)
    parallel.write_text(f"[build_ext]\nparallel = {os.cpu_count()}\n")
    run(sys.executable, "setup.py", "-q", "sdist", "-d", folder, cwd=sources)
    sdist, = folder.glob("hugepcap-*.tar.gz")
    run(*PIP, "wheel", "--no-build-isolation", "--no-deps", "--no-index", "-w", folder, sdist,
        env=dict(os.environ, DIST_EXTRA_CONFIG=str(parallel)))
    found, = folder.glob("hugepcap-*.whl")
    return found


@pytest.mark.deadline(BUILD_S)
def test_wheel_has_the_modules_and_the_shim(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {f"hugepcap/{path.stem}" for path in ROOT.glob("hugepcap/*.pyx")}
    assert modules <= {name.split(".")[0] for name in names if name.endswith(".so")}
    assert {"hugepcap/preload.so", "hugepcap/py.typed", "hugepcap/_ring.pyi"} <= names
    assert not {name for name in names if name.endswith((".c", ".h", ".pyx"))}


@pytest.mark.deadline(BUILD_S)
def test_an_install_knows_its_shim(wheel, tmp_path):
    run(*PIP, "install", "--no-deps", "--no-index", "--target", tmp_path, wheel)
    where = dict(os.environ, PYTHONPATH=str(tmp_path))
    printed = run(tmp_path / "bin" / "hugepcap", "preload", "--path", env=where, cwd=tmp_path).stdout.strip()
    assert printed == str(tmp_path / "hugepcap" / "preload.so")
    shown = run(tmp_path / "bin" / "hugepcap", "preload", "--", "/bin/true", cwd=tmp_path,
                env=where | {"HUGEPCAP_RING": "many"})
    assert "HUGEPCAP_RING=many is ignored" in shown.stderr
