# SPDX-License-Identifier: BSD-3-Clause
"""Builds the Cython modules and says in one line what a machine lacks for it.

Everything else about the package stands in pyproject.toml.
"""

import copy
import os
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
CSRC = "hugepcap/_csrc"

# Each Cython module and the C files of the core that are linked into it.
EXTENSIONS = {
    "_packet": [],
    "_column": [],
    "_pipe": ["hp_wait"],
    "_pcap": ["hp_bpf"],
    "_regular": ["hp_err", "hp_file", "hp_pcapng"],
    "_writer": ["hp_err", "hp_save"],
    "_ring": ["hp_err", "hp_sock", "hp_ring", "hp_mem", "hp_bpf"],
    "_source": ["hp_err", "hp_wait", "hp_source", "hp_ring", "hp_mem"],
    "_classify": ["hp_class", "hp_source"],
    "_capture": [],
    "_control": ["hp_source"],
    "_filtered": ["hp_class", "hp_source"],
    "_batch": ["hp_columns", "hp_source"],
    "_decode": ["hp_decode", "hp_prefix"],
    "_arrow": ["hp_arrow"],
    "_shared": ["hp_columns", "hp_source"],
    "_blocks": ["hp_columns", "hp_collect", "hp_lanes", "hp_source", "hp_wait"],
    "_reader": ["hp_batch", "hp_source"],
    "_generate": ["hp_err", "hp_gen", "hp_send", "hp_tx_ring"],
}
USES_LIBPCAP = {"_pcap"}
PRELOAD_GLIBC = "2, 34"    # close_range and closefrom

NEEDS = {
    "pcap/pcap.h": "libpcap's headers (Debian: apt-get install libpcap-dev; Fedora: dnf install libpcap-devel)",
    "linux/if_packet.h": "the kernel's headers (Debian: apt-get install linux-libc-dev)",
    "Python.h": "Python's headers (Debian: apt-get install python3-dev)",
}


class BuildExt(build_ext):
    """build_ext that checks the compiler and the headers before it starts, and uses every CPU."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        for header, remedy in NEEDS.items():
            if not self.compiles(f"#include <sys/types.h>\n#include <{header}>\n"):
                sys.exit(f"hugepcap: cannot compile with <{header}>: install a C compiler and {remedy}")
        super().build_extensions()
        self.build_preload()

    def build_extension(self, extension):
        """Modules share C files: each has its own objects, so that none links one that another is writing."""
        own = copy.copy(self)
        own.build_temp = os.path.join(self.build_temp, extension.name)
        build_ext.build_extension(own, extension)

    def build_preload(self):
        """preload.so, which is no Python module: plain C, exporting what preload.map names."""
        if not self.compiles(f"#include <features.h>\n#if !__GLIBC_PREREQ({PRELOAD_GLIBC})\n#error\n#endif\n"):
            print(f"hugepcap: without preload.so, which needs glibc {PRELOAD_GLIBC.replace(', ', '.')}", file=sys.stderr)
            return
        sources = [str(path) for path in sorted(Path("preload").glob("*.c")) if path.name != "overhead.c"]
        objects = self.compiler.compile(
            sources, output_dir=self.build_temp, extra_postargs=["-std=gnu11", "-O2", "-fPIC", "-Wno-unused-parameter"])
        target = (ROOT if self.inplace else Path(self.build_lib)) / "hugepcap/preload.so"
        target.parent.mkdir(parents=True, exist_ok=True)
        self.compiler.link_shared_object(
            objects, str(target), libraries=["dl", "pthread"],
            extra_postargs=["-Wl,--version-script=preload/preload.map", "-Wl,-z,relro,-z,now"])

    def compiles(self, text):
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch, "probe.c")
            source.write_text(text)
            saved = os.dup(2)
            with open(os.devnull, "w") as quiet:
                os.dup2(quiet.fileno(), 2)
            try:
                include = self.compiler.include_dirs + self.include_dirs
                self.compiler.compile([str(source)], output_dir=scratch, include_dirs=include)
            except Exception:  # the compiler's classes differ between setuptools versions
                return False
            finally:
                os.dup2(saved, 2)
                os.close(saved)
        return True


def extension(name, sources):
    return Extension(
        f"hugepcap.{name}",
        [f"hugepcap/{name}.pyx"] + [f"{CSRC}/{source}.c" for source in sources],
        include_dirs=[CSRC],
        libraries=["pcap"] if name in USES_LIBPCAP else [],
        depends=[str(path.relative_to(ROOT)) for path in sorted((ROOT / CSRC).glob("*.h"))],
        extra_compile_args=["-std=gnu11", "-O3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function",
                            "-Wno-sign-compare"],
    )


def extensions():
    from Cython.Build import cythonize

    present = {n: s for n, s in EXTENSIONS.items() if (ROOT / f"hugepcap/{n}.pyx").exists()}
    return cythonize(
        [extension(name, sources) for name, sources in present.items()],
        compiler_directives={
            "language_level": "3",
            "binding": False,
            "embedsignature": True,
            "embedsignature.format": "clinic",  # what inspect and stubtest read
            "autotestdict": False,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
        },
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExt})
