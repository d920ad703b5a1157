# SPDX-License-Identifier: BSD-3-Clause
"""`hugepcap completion`: what a shell needs to complete commands, options and interfaces."""

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from . import common

SHELLS = ("bash", "zsh", "fish")
EXAMPLE = """
eval "$(hugepcap completion bash)"          # in ~/.bashrc
eval "$(hugepcap completion zsh)"           # in ~/.zshrc
hugepcap completion fish > ~/.config/fish/completions/hugepcap.fish
"""


@common.command(example=EXAMPLE)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def completion(ctx, shell):
    """Prints what makes SHELL complete commands, options and interfaces; by default for the shell of this user."""
    shell = shell or Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS:
        raise click.UsageError(f"no completion for {shell or 'an unknown shell'}: name one of {', '.join(SHELLS)}")
    writer = get_completion_class(shell)(ctx.find_root().command, {}, "hugepcap", "_HUGEPCAP_COMPLETE")
    click.echo(writer.source())
