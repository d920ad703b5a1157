# SPDX-License-Identifier: BSD-3-Clause
"""Makes the pictures of this folder: sudo .venv/bin/python docs/pictures/make.py

Each is a real run of the command on a terminal of its own, in a private network namespace, as it looked there.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1] / "tests"))

import netns  # noqa: E402
from helpers import send, wait_until  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from hugepcap.cli import ethtool  # noqa: E402

COMMAND = Path(sys.executable).with_name("hugepcap")
COLUMNS = 100
CURSOR = re.compile(r"\x1b\[(\d*)([AK])|\x1b\[\?25[lh]|(\r?\n)|(\r)")


class Screen:
    """What a terminal shows of a program that writes lines and goes back up over them, as rich does."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        at = 0
        for found in CURSOR.finditer(text):
            self.write(text[at:found.start()])
            at = found.end()
            number, letter, newline, _ = found.groups()
            if letter == "A":
                self.row -= int(number or 1)
            elif letter == "K":
                self.lines[self.row] = ""
            elif newline:
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
        self.write(text[at:])

    def write(self, text: str) -> None:
        self.lines[self.row] += text

    def __str__(self) -> str:
        return "\n".join(self.lines).rstrip()


def on_a_terminal(arguments: list[str], shown: threading.Event) -> list[str]:
    """The screens of a run, one after each thing it wrote; `shown` is set with the first."""
    inside, outside = pty.openpty()
    environment = dict(os.environ, TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES="40")
    child = subprocess.Popen([COMMAND, *arguments], stdin=outside, stdout=outside, stderr=outside, env=environment)
    os.close(outside)
    screen, screens = Screen(), []
    while True:
        try:
            data = os.read(inside, 1 << 16)
        except OSError:    # the terminal's other end is closed
            break
        screen.feed(data.decode())
        screens.append(str(screen))
        shown.set()
    child.wait()
    os.close(inside)
    return screens


def save(name: str, command: str, text: str) -> None:
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(text))
    picture = console.export_svg(title="hugepcap")
    # Whoever looks at it has a font of fixed width; none has to be fetched. Not every viewer keeps leading spaces.
    picture = re.sub(r"@font-face \{.*?\}\n?", "", picture, flags=re.S).replace("<text ", '<text xml:space="preserve" ')
    (FOLDER / name).write_text(re.sub(r"[ \t]+$", "", picture, flags=re.M))


def capture_picture(link: netns.Veth) -> None:
    """In the middle of a capture of traffic at top speed."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder, "trace.pcap"))
        shown, screens = threading.Event(), []
        arguments = ["capture", "-i", link.far, "-w", file, "--ring", "256M", "--seconds", "5"]
        runner = threading.Thread(target=lambda: screens.extend(on_a_terminal(arguments, shown)))
        runner.start()
        wait_until(lambda: shown.is_set(), "the capture to begin")
        send(link.near, 1_000_000, sizes=(700, 1500), flows=1000)
        runner.join()
    busy = [screen for screen in screens if "Gbit/s" in screen and "packets captured" not in screen]
    save("capture.svg", f"sudo hugepcap capture -i {link.far} -w trace.pcap --ring 256M", busy[len(busy) // 4])


def doctor_picture(link: netns.Veth) -> None:
    """With one thing to mend."""
    ethtool.set_feature(link.far, "rx-gro", True)
    save("doctor.svg", f"sudo hugepcap doctor {link.far}",
         on_a_terminal(["doctor", link.far], threading.Event())[-1])


if __name__ == "__main__":
    with netns.namespace():
        pair = netns.veth()
        capture_picture(pair)
        doctor_picture(pair)
