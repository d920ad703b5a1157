# SPDX-License-Identifier: BSD-3-Clause
"""What tests share: waiting with a deadline, child processes, a sender in the background."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator

TESTS = Path(__file__).resolve().parent.parent

# Generous: a wait that ends by this deadline is a failure, on however busy a machine. In a guest, an interpreter takes
# ten seconds to start.
DEADLINE_S = float(os.environ.get("HUGEPCAP_TEST_S", 120)) / 4


def wait_until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """The first true value of condition(), looked at every millisecond."""
    pause = threading.Event()
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {deadline_s} s in vain for {what}")
        pause.wait(0.001)


def child_environment() -> dict[str, str]:
    paths = [str(TESTS)] + [path for path in sys.path if path]
    return dict(os.environ, PYTHONPATH=os.pathsep.join(paths), PYTHONFAULTHANDLER="")


def run_child(code: str, *args: object, deadline_s: float = DEADLINE_S,
              **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own, in this thread's namespace, with environment variables of its own; a
    hang is a failure."""
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, env=child_environment() | variables, text=True, timeout=deadline_s,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def start_child(code: str, *args: object) -> subprocess.Popen[str]:
    """The same, running: for signals. Its first line of output says that it is ready."""
    child = subprocess.Popen([sys.executable, "-u", "-c", code, *map(str, args)], env=child_environment(), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return child


def drop_rights() -> None:
    """Makes this process, a child of a test, one of an ordinary user."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


class Background(threading.Thread):
    """A call in a thread of its own; result() passes on what it returned or raised, within the deadline."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self.call = lambda: function(*args, **kwargs)
        self.value: Any = None
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.value = self.call()
        except BaseException as error:  # passed on by result()
            self.error = error

    def result(self, deadline_s: float = DEADLINE_S) -> Any:
        self.join(deadline_s)
        if self.is_alive():
            raise AssertionError(f"a thread did not end within {deadline_s} s")
        if self.error is not None:
            raise self.error
        return self.value


def send(device: str, count: int, **settings: Any) -> Any:
    """generate() from one CPU: a sender that moves between CPUs leaves packets in the queues of both, out of order."""
    from hugepcap._generate import generate

    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        return generate(device, count, **settings)
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def sending(device: str, count: int, **settings: Any) -> Iterator[Background]:
    """send() in the background; waits for its end."""
    sender = Background(send, device, count, **settings)
    try:
        yield sender
    finally:
        sender.join(DEADLINE_S)


def is_waiting(process: int | str = "self", thread: int | None = None) -> bool:
    """Whether a process's main thread, or the thread of that native id, is in poll(2) or epoll_wait(2), as a read
    without packets."""
    path = f"/proc/{process}/syscall" if thread is None else f"/proc/{process}/task/{thread}/syscall"
    with open(path) as call:
        return call.read().split()[0] in POLL_CALLS


# poll, ppoll, epoll_wait and epoll_pwait, by machine: the numbers in asm/unistd.h
POLL_CALLS = {"x86_64": {"7", "271", "232", "281"}, "aarch64": {"73", "22"}}.get(
    os.uname().machine, {"168", "336", "256", "319"})


def background_read(read: Callable[[], Any]) -> Background:
    """read() in a thread of its own, which has begun to wait for packets when this returns."""
    thread = Background(read)
    wait_until(lambda: thread.native_id and (not thread.is_alive() or is_waiting("self", thread.native_id)),
               "the thread to wait for packets")
    return thread
