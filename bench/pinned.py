# SPDX-License-Identifier: BSD-3-Clause
"""A fresh process on one CPU that is asked and answers by lines, and does not outlive its deadline."""

import os
import subprocess
import threading
from contextlib import contextmanager

DEADLINE_S = 120
CPU = max(os.sched_getaffinity(0))


@contextmanager
def child(command):
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: os.sched_setaffinity(0, {CPU}))
    deadline = threading.Timer(DEADLINE_S, process.kill)    # its pipes then end, and with them every wait
    deadline.start()
    try:
        yield process
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
