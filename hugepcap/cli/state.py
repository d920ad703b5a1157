# SPDX-License-Identifier: BSD-3-Clause
"""What `hugepcap tune` found before it changed anything, kept until `--undo`.

One JSON file: per interface, and for what the whole host shares, {key of a setting: its value before}. An
interface counts together with its network namespace: names repeat between namespaces. The file is written
before each change, so that whatever ends a tune, its undo knows. Settings and file both go with a reboot.
"""

import itertools
import json
import os
import re
from pathlib import Path

from .. import probe
from . import knobs
from .common import Failure

DEFAULT = Path("/run/hugepcap/tune.json")
HOST = "host"
SCOPE = re.compile(rf"{HOST}|\S+@[0-9]+")


def scope_of(device):
    return f"{device}@{os.stat('/proc/thread-self/ns/net').st_ino}"


def is_state(found):
    """Whether all of it can be undone."""
    return isinstance(found, dict) and all(
        SCOPE.fullmatch(scope) and isinstance(settings, dict) and settings
        and all(itertools.starmap(knobs.is_setting, settings.items())) for scope, settings in found.items())


class State:
    """The file's contents; save() puts them back in one step."""

    def __init__(self, path):
        self.path = path
        try:
            self.before = json.loads(path.read_text())
        except FileNotFoundError:
            self.before = {}
        except ValueError:
            self.before = None
        if not is_state(self.before):
            raise Failure(f"{path} is no state of `hugepcap tune`: move it away to start anew")

    def remember(self, scope, key, value):
        """Keeps the first value only: tuning twice must not take the tuned values for the original ones.

        Whether this is the first.
        """
        if key in self.before.get(scope, {}):
            return False
        self.before.setdefault(scope, {})[key] = value
        self.save()
        return True

    def forget(self, scope, key):
        self.before[scope].pop(key, None)
        if not self.before[scope]:
            del self.before[scope]
        self.save()

    def drop_the_gone(self):
        """Leaves out the interfaces whose namespace has gone, and their settings with it; their names."""
        alive = probe.network_namespaces()
        gone = [scope for scope in self.before if scope != HOST and int(scope.rpartition("@")[2]) not in alive]
        for scope in gone:
            del self.before[scope]
        return [scope.rpartition("@")[0] for scope in gone]

    def to_undo(self, scope):
        """[(scope, key, value before)], the last change first; the host's only with the last interface."""
        scopes = [scope] if set(self.before) - {scope, HOST} else [scope, HOST]
        return [(each, key, value) for each in scopes
                for key, value in reversed(self.before.get(each, {}).items())]

    def save(self):
        if not self.before:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        beside.write_text(json.dumps(self.before, indent=1) + "\n")
        beside.replace(self.path)
