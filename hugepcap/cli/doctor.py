# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap doctor`: looks at everything a capture depends on, and says how to mend what is wrong."""

import sys

import click

from . import checks, common

LOOK = {"ok": ("✓", "green"), "info": ("·", None), "warn": ("!", "yellow"), "fail": ("✗", "red")}
CODES = {"ok": common.OK, "info": common.OK, "warn": common.IMPROVABLE, "fail": common.IMPOSSIBLE}
EXAMPLE = """
hugepcap doctor
hugepcap doctor eth0 --ring 256M
hugepcap doctor --json | jq '.findings[] | select(.verdict != "ok")'
"""


@common.command(example=EXAMPLE,
                codes="0 nothing to mend, 1 an error, 2 wrong usage, 3 works and could be better, 4 cannot capture")
@click.argument("interfaces", nargs=-1, metavar="[IFACE]...", shell_complete=common.complete_interface)
@click.option("--ring", type=common.RING_SIZE, default="64M", show_default=True, metavar="SIZE",
              help="The ring that captures will ask for.")
@common.json_option("Everything as one JSON object.")
def doctor(interfaces, ring, as_json):
    """Looks at what a capture on this host depends on, by trying it, and prints the command that mends each fault.

    Without IFACE all interfaces that are up, except lo. Nothing is changed.
    """
    devices = [common.check_interface(name) for name in interfaces] or checks.devices_that_are_up()
    findings = list(checks.of_host(ring))
    for device in devices:
        findings.extend(checks.of_device(device))
    worst = max((finding.verdict for finding in findings), key=list(CODES).index)
    if as_json:
        common.print_json({"verdict": worst, "findings": [finding._asdict() for finding in findings]})
    else:
        show(findings, worst)
    sys.exit(CODES[worst])


def show(findings, worst):
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        mark, colour = LOOK[finding.verdict]
        click.echo(f"{click.style(mark, fg=colour, bold=True)} {finding.what:<{width}}  {finding.text}")
        for line in finding.mend:
            click.echo(" " * (width + 4) + click.style(line, fg="cyan"))
    click.echo({"ok": "All is well.", "info": "All is well.", "warn": "Captures work, and could be better.",
                "fail": "Captures cannot work here until the lines with ✗ are mended."}[worst])
