# SPDX-License-Identifier: BSD-3-Clause
"""A fresh process on one CPU that is asked and answers by lines, and does not outlive its deadline."""

import json
import os
import subprocess
import threading
from contextlib import contextmanager

from manifest import Wrong

DEADLINE_S = 900 if os.environ.get("HUGEPCAP_GUEST") == "1" else 120    # an emulated guest has its time
CPU = max(os.sched_getaffinity(0))


class Child:
    def __init__(self, who, process):
        self.who, self.process, self.pid = who, process, process.pid

    def line(self):
        line = self.process.stdout.readline()
        if not line:
            raise Wrong(f"{self.who}: no answer; it ended with status {self.process.wait()} (-9: it took {DEADLINE_S} s)")
        return line

    def answer(self):
        return json.loads(self.line())

    def ask(self, text=""):
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()


@contextmanager
def child(command, who=None, env=None):
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               env={**os.environ, **(env or {})}, preexec_fn=lambda: os.sched_setaffinity(0, {CPU}))
    deadline = threading.Timer(DEADLINE_S, process.kill)    # its pipes then end, and with them every wait
    deadline.start()
    try:
        yield Child(who or command[0], process)
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
