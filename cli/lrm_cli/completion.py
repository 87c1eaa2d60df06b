"""`lrm completion`."""

from __future__ import annotations

import click

from lrm_cli import exits
from lrm_cli.command import Command
from lrm_cli.output import put_json

FILES = {
    "bash": "~/.bashrc",
    "zsh": "~/.zshrc",
    "fish": "~/.config/fish/completions/lrm.fish",
}
"""Where each shell looks."""


@click.command(
    "completion",
    cls=Command,
    examples=(
        'eval "$(lrm completion bash)"    # in ~/.bashrc',
        'eval "$(lrm completion zsh)"     # in ~/.zshrc',
        "lrm completion fish > ~/.config/fish/completions/lrm.fish",
    ),
    keys=("shell", "file", "script"),
)
@click.argument("shell", type=click.Choice(tuple(FILES)))
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs.")
def command(shell: str, as_json: bool) -> int:
    """Print the script that makes a shell complete lrm's words.

    It completes commands, options, SPEC files and the names of declarations.
    """
    from click.shell_completion import get_completion_class

    from lrm_cli.main import cli

    made = get_completion_class(shell)
    assert made is not None, shell
    script = made(cli, {}, "lrm", "_LRM_COMPLETE").source()
    if as_json:
        put_json({"shell": shell, "file": FILES[shell], "script": script})
    else:
        click.echo(script)
    return exits.OK
