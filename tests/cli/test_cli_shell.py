# SPDX-License-Identifier: BSD-3-Clause
"""What every command has: help with examples, completion, errors of one line."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from command import argv, refused, run
from hugepcap.cli import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name):
    text = run(name, "--help").stdout
    assert "Exit status: " in text
    examples = re.findall(r"^    (.+)$", text[text.index("Examples:"):], flags=re.M)
    assert any(f"hugepcap {name}" in example for example in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_of_the_examples_are_there(name):
    text = run(name, "--help").stdout
    options, examples = text[:text.index("Examples:")], text[text.index("Examples:"):]
    for line in re.findall(rf"hugepcap {name}([^|#]*)", examples):
        for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", line.split(" -- ")[0]):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", options), (option, line)


def test_all_commands_are_listed():
    text = run("--help").stdout
    assert [line.split()[0] for line in text[text.index("Commands:"):].splitlines()[1:]] == list(COMMANDS)
    assert re.match(r"hugepcap, version \d", run("--version").stdout)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["capture", "--help"], ["devices"]])
def test_a_full_disk_behind_standard_output(words):
    lines = refused(*words, prefix=["sh", "-c", 'exec "$@" >/dev/full', "sh"]).splitlines()
    assert len(lines) == 1 and lines[0].startswith("hugepcap: ") and "No space left on device" in lines[0]


def complete(words, current):
    """The words that bash would be offered."""
    return [line.split(",")[1] for line in offered(words, current).splitlines()]


def offered(words, current):
    """What bash is told: of what kind a word is, and the word."""
    done = subprocess.run(argv(), stdout=subprocess.PIPE, text=True, timeout=60,
                          env=dict(os.environ, _HUGEPCAP_COMPLETE="bash_complete", COMP_WORDS=words,
                                   COMP_CWORD=str(current)))
    return done.stdout


def test_completion_of_commands_options_and_interfaces(link):
    assert complete("hugepcap re", 1) == ["read", "replay"]
    assert set(complete("hugepcap capture --ro", 2)) == {"--rotate"}
    assert complete("hugepcap capture -i ne", 3) == [link.near]
    assert complete("hugepcap doctor f", 2) == [link.far]
    assert complete("hugepcap capture -w /tm", 3) == ["/tm"] and "file" in offered("hugepcap capture -w /tm", 3)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell):
    text = run("completion", shell).stdout
    assert "_HUGEPCAP_COMPLETE" in text
    if shell == "bash":
        subprocess.run(["bash", "-nc", text], check=True, timeout=60)


def test_completion_of_an_unknown_shell():
    environment = dict(os.environ, SHELL="/bin/sh")
    assert "no completion for sh: name one of bash" in refused("completion", code=2, env=environment)
    assert "'tcsh' is not one of" in refused("completion", "tcsh", code=2)


def test_an_unknown_command():
    assert "No such command 'nosuch'" in refused("nosuch", code=2)
