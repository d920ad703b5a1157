# SPDX-License-Identifier: BSD-3-Clause
"""`python -m hugepcap.cli`: the command line without its installed script."""

from . import main

if __name__ == "__main__":
    main(prog_name="hugepcap")
