# SPDX-License-Identifier: BSD-3-Clause
"""The installed command, run as a person or a program runs it: in a process of its own, in the test's namespace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Sequence

COMMAND = str(Path(sys.executable).with_name("hugepcap"))
DEADLINE_S = 60.0
# Another user, with no right but to read this tree wherever it lies.
UNPRIVILEGED = ("setpriv", "--reuid=65534", "--clear-groups",
                *(f"--{what}=-all,+dac_read_search" for what in ("inh-caps", "ambient-caps", "bounding-set")))


def argv(*arguments: object) -> list[str]:
    return [COMMAND, *map(str, arguments)]


def run(*arguments: object, code: int | None = 0, prefix: Sequence[str] = (), **kwargs: Any) -> Any:
    """Runs it to its end; its exit status must be `code`, and no traceback may be in what it says."""
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([*prefix, *argv(*arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=DEADLINE_S, **kwargs)
    assert "Traceback" not in done.stderr, done.stderr
    assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def run_json(*arguments: object, **kwargs: Any) -> Any:
    return json.loads(run(*arguments, "--json", **kwargs).stdout)


def refused(*arguments: object, code: int = 1, **kwargs: Any) -> str:
    """Runs it with something wrong: nothing on standard output, and the lines on standard error."""
    done = run(*arguments, code=code, **kwargs)
    assert done.stdout == "" and done.stderr.strip(), done
    return done.stderr


class Running:
    """It, in the background; ended with the `with`, whatever happens."""

    def __init__(self, *arguments: object, prefix: Sequence[str] = (), stdout: Any = subprocess.PIPE,
                 stderr: Any = subprocess.PIPE) -> None:
        self.process = subprocess.Popen([*prefix, *argv(*arguments)], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
                                        text=True, env=dict(os.environ, PYTHONUNBUFFERED="1"))

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.process.kill()
        self.process.communicate()

    def finish(self, code: int = 0, end: signal.Signals | None = None) -> tuple[str, str]:
        """(standard output, standard error) of its end, by itself or by a signal."""
        if end is not None:
            self.process.send_signal(end)
        out, err = self.process.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in (err or ""), err
        assert self.process.returncode == code, (self.process.returncode, out, err)
        return out, err
