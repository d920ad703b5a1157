# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap preload`: runs a program under preload.so."""

import os
import shutil
import signal
import struct
import sys
from pathlib import Path

import click

from . import common

LIBRARY_NAMES = [Path(__file__).parents[1] / "preload.so", Path(__file__).parents[2] / "preload" / "preload.so"]
POLICIES = ["auto", "hugetlb", "thp", "gfpnoretry", "vzalloc", "gfpretry", "stock"]
AS_ROOT = "run this command as root (sudo hugepcap preload ...)"
ELF_CLASS, PT_INTERP = 2 if sys.maxsize > 2**32 else 1, 3
SHEBANG_DEPTH = 4
APPARMOR_ENABLED, APPARMOR_PROFILES = Path("/sys/module/apparmor/parameters/enabled"), Path("/etc/apparmor.d")
IGNORED_BY_PYTHON = [signal.SIGPIPE, signal.SIGXFSZ]
EXAMPLE = """
sudo hugepcap preload --ring 256M -v -- tcpdump -i eth0
sudo hugepcap preload --policy thp --strict -- suricata -i eth0
"""


@common.command(example=EXAMPLE, codes="COMMAND's own; 1 it could not be run, 2 wrong usage",
                context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--policy", type=click.Choice(POLICIES), help="Where the ring's memory comes from; default: auto, "
              "which is hugetlb, then thp, then stock.")
@click.option("--ring", type=common.RING_SIZE, metavar="SIZE",
              help="At least this deep a ring, such as 256M; default: as the program asks.")
@click.option("--hugetlbfs", metavar="DIR", help="A mounted hugetlbfs to take huge pages from, in place of memfd.")
@click.option("--strict", is_flag=True, help="Let the program fail rather than fall back.")
@click.option("-v", "--verbose", count=True, help="A line for each ring; more: more.")
@click.option("--path", is_flag=True, help="Print where preload.so is, and do nothing else.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def preload(policy, ring, hugetlbfs, strict, verbose, path, command):
    """Runs COMMAND with its packet rings deepened, or on huge pages where the kernel has CONFIG_PACKET_HUGE.

    Its exit status and signals are its own: this process becomes COMMAND.
    """
    library = find_library()
    if path:
        click.echo(library)
        return
    if not command:
        raise click.UsageError("no command given: hugepcap preload [options] -- COMMAND ...")
    program = find_program(command[0])
    for obstacle in obstacles(program, library):
        common.note(f"warning: {obstacle}")
    settings = {"POLICY": policy, "RING": ring, "HUGETLBFS": hugetlbfs, "STRICT": 1 if strict else None,
                "VERBOSE": min(verbose, 3) if verbose else None}
    environment = dict(os.environ, LD_PRELOAD=preload_list(library))
    environment.update((f"HUGEPCAP_{name}", str(value)) for name, value in settings.items() if value is not None)
    for number in IGNORED_BY_PYTHON:    # execve() would hand that on
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(program, command, environment)
    except OSError as error:
        raise common.Failure(f"cannot run {program}: {error.strerror}") from None


def find_library():
    for candidate in LIBRARY_NAMES:
        if candidate.exists():
            return str(candidate)
    raise common.Failure(f"there is no preload.so (looked for {' and '.join(map(str, LIBRARY_NAMES))}): "
                         "make -C preload builds it, where glibc is 2.34 or newer")


def preload_list(library):
    """LD_PRELOAD with the library added; what others put there stays, in front."""
    before = os.environ.get("LD_PRELOAD")
    return f"{before}:{library}" if before else library


def find_program(name):
    program = shutil.which(name)
    if program is None:
        if os.path.exists(name):
            raise common.Failure(f"{name} is no program that may be executed")
        raise common.Failure(f"no program {name!r} in {os.environ.get('PATH', '')!r}")
    return program


def obstacles(program, library):
    """Why LD_PRELOAD will not reach the program, with the way around; nothing when it will."""
    if set(library) & set(" :"):
        yield f"the loader parts LD_PRELOAD at spaces and colons, and {library!r} has some: install hugepcap elsewhere"
    image = executable_image(program)
    privileges = raised_privileges(image) if image else None
    if privileges:
        yield f"{image} has {privileges}, and the loader then ignores LD_PRELOAD: {AS_ROOT}, or use a copy without"
    profile = apparmor_profile(image) if image else None
    if profile:
        yield (f"{profile} confines {image}, and AppArmor may keep it from loading the library: put '{library} mr,' into "
               f"{APPARMOR_PROFILES / 'local' / profile.name} and load the profile anew (apparmor_parser -r {profile})")
    elf = image.read_bytes()[:4096] if image else b""
    if not elf.startswith(b"\x7fELF"):
        return
    if elf[4] != ELF_CLASS:
        yield f"{image} is of {32 * elf[4]} bits and preload.so is not: build it with make -C preload CC='gcc -m32'"
    elif not has_interpreter(elf):
        yield f"{image} is statically linked and loads nothing: use a dynamically linked build"


def raised_privileges(program):
    """What makes the kernel start the program in secure mode for this user, or None."""
    status = os.stat(program)
    if status.st_mode & 0o4000 and status.st_uid != os.geteuid():
        return "the setuid bit"
    if status.st_mode & 0o2000 and status.st_gid != os.getegid():
        return "the setgid bit"
    try:
        os.getxattr(program, "security.capability")
    except OSError:
        return None
    return "file capabilities" if os.getuid() != 0 else None


def apparmor_profile(image):
    """The file of the AppArmor profile for a program's path, if there is one and AppArmor is on."""
    name = str(image.resolve())[1:].replace("/", ".")
    profile = APPARMOR_PROFILES / name
    try:
        enabled = APPARMOR_ENABLED.read_text().startswith("Y")
    except OSError:
        return None
    return profile if enabled and profile.exists() and not (APPARMOR_PROFILES / "disable" / name).exists() else None


def executable_image(program):
    """The ELF file that runs: the program, or the interpreter its first line names."""
    path = Path(program)
    for _ in range(SHEBANG_DEPTH):
        try:
            with path.open("rb") as file:
                first = file.readline(256)
        except OSError:
            return None
        if not first.startswith(b"#!"):
            return path
        words = first[2:].decode(errors="replace").split()
        found = shutil.which(words[1]) if len(words) > 1 and words[0].endswith("/env") else words and words[0]
        if not found:
            return None
        path = Path(found)
    return None


def has_interpreter(elf):
    """Whether the program headers name a dynamic loader."""
    order = "<" if elf[5] == 1 else ">"
    if elf[4] == 2:
        start, = struct.unpack_from(order + "Q", elf, 32)
        size, count = struct.unpack_from(order + "HH", elf, 54)
    else:
        start, = struct.unpack_from(order + "I", elf, 28)
        size, count = struct.unpack_from(order + "HH", elf, 42)
    kinds = (elf[at:at + 4] for at in range(start, start + size * count, size))
    return any(kind and struct.unpack(order + "I", kind)[0] == PT_INTERP for kind in kinds if len(kind) == 4)
