# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap tune`: does most of what the doctor advises, and takes it back."""

import errno
import sys
from pathlib import Path

import click

from .. import _ring, probe
from . import common, knobs
from .state import DEFAULT, HOST, State, scope_of

EXAMPLE = """
hugepcap tune eth0 --dry-run
sudo hugepcap tune eth0 --pool 256M
sudo hugepcap tune eth0 --undo
"""


@common.command(example=EXAMPLE, codes="0 all done, 1 something could not be set or restored, 2 wrong usage")
@click.argument("interface", metavar="IFACE", shell_complete=common.complete_interface)
@click.option("--pool", type=common.SIZE, metavar="SIZE",
              help="Free huge pages to have on each NUMA node. By default 64M where the kernel has rings in huge "
                   "pages, else none.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option("--undo", is_flag=True, help="Restore what was there before the first tune.")
@click.option("--state", type=click.Path(dir_okay=False, path_type=Path), default=DEFAULT, show_default=True,
              help="Where what was there before is kept.")
def tune(interface, pool, dry_run, undo, state):
    """Sets this host up for captures on IFACE: merging offloads and pause frames off, frequency governors to
    performance, huge pages reserved, transparent huge pages not off.

    Every change is printed as the command that makes it. The host's own settings are restored with the last
    interface that was tuned.
    """
    kept = State(state)
    if undo:
        failed = take_back(kept, interface, dry_run)
    else:
        common.check_interface(interface)
        check_pool(pool)
        failed = apply(wanted_settings(interface, pool), kept, dry_run)
        if pool and not probe.pools():
            common.note(f"--pool {common.size_text(pool)}: this kernel has no huge pages of 2 MiB to reserve")
            failed += 1
    sys.exit(common.ERROR if failed else common.OK)


def check_pool(pool):
    """Failure for more huge pages than a node has memory for."""
    for node in probe.pools() if pool else ():
        more = pool - node.free * probe.HUGE_BYTES
        most = int(node.available_bytes * _ring.FREE_MEMORY_SHARE) // probe.HUGE_BYTES * probe.HUGE_BYTES
        if more > most:
            raise common.Failure(
                f"--pool {common.size_text(pool)}: node {node.node} has {node.free} free huge pages, and memory for "
                f"{common.size_text(most)} more: ask for at most {common.size_text(most + pool - more)}")


def wanted_settings(device, pool):
    """(scope, setting) of all there is to set."""
    if pool is None:
        trial = probe.try_policy("thp")
        pool = 0 if trial.unknown or trial.forbidden else common.DEFAULT_RING_BYTES
    shared = knobs.governors() + knobs.thp() + (knobs.pools(pool) if pool else [])
    return [(scope_of(device), knob) for knob in knobs.of_device(device)] + [(HOST, knob) for knob in shared]


def apply(settings, kept, dry_run):
    """Sets what is not yet as wanted; how many could not be."""
    changes = [(scope, knob, now) for scope, knob in settings
               if (now := knob.read()) is not None and now != knob.wanted]
    if not changes:
        click.echo("nothing to change")
    return sum(not set_and_keep(scope, knob, now, kept, dry_run) for scope, knob, now in changes)


def set_and_keep(scope, knob, now, kept, dry_run):
    """Sets one, with what was there kept first; False where it could not be."""
    say(knob, now, knob.wanted)
    if dry_run:
        return True
    try:
        new = kept.remember(scope, knob.key, now)
    except OSError as error:
        raise common.Failure(f"{kept.path} cannot be written: {error.strerror}{advice(error)}") from None
    done = write(knob, knob.wanted)
    if new and not done and knob.read() == now:
        kept.forget(scope, knob.key)
    return done


def take_back(kept, device, dry_run):
    """Restores what was there; how many settings could not be."""
    scope = scope_of(device)
    dropped = kept.drop_the_gone()
    for name in dropped:
        common.note(f"{name} has gone with its network namespace, and its settings with it")
    if dropped and not dry_run:
        kept.save()
    if scope not in kept.before and set(kept.before) != {HOST}:
        raise common.Failure(f"{kept.path} knows of no tune of {device} to undo")
    gone = device not in common.interfaces()
    if gone:
        common.note(f"{device} has gone, and its settings with it")
    return sum(not restore(kept, *entry, gone, dry_run) for entry in kept.to_undo(scope))


def restore(kept, scope, key, before, gone, dry_run):
    """One setting as it was; False where it could not be, and then it stays in the state."""
    knob = knobs.from_key(key, before)
    done = gone and scope != HOST
    if not done:
        say(knob, knob.read(), before)
        done = not dry_run and write(knob, before)
    if done and not dry_run:
        kept.forget(scope, key)
    return done or dry_run


def say(knob, now, then):
    click.echo(f"{knob.command(then)}    # {knob.label}: was {now}")


def write(knob, value):
    """Whether the setting has the value now; a line that says why not."""
    try:
        knob.write(value)
        after = knob.read()
    except OSError as error:
        common.note(f"{knob.label} cannot be set to {value}: {error.strerror or error}{advice(error)}")
        return False
    if after != value:
        common.note(f"{knob.label}: {after}, not {value}{SHORT if 'hugepages' in knob.key else ''}")
    return after == value


SHORT = ("; no more is to be had now: reserve them early after boot, or with hugepages= on the kernel's command line")


def advice(error):
    if isinstance(error, PermissionError):
        return " (it takes root: sudo hugepcap tune ...)"
    return " (/sys is mounted read-only: run this outside the container)" if error.errno == errno.EROFS else ""
