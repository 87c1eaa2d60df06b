"""Writes docs/cli.md, the reference of all commands, from the commands themselves.

Run as `python -m lrm_cli.reference --write` or `--check`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from lrm_cli import exits
from lrm_cli.main import cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
HEADING = """# Command line

<!-- Generated from the commands by `python -m lrm_cli.reference --write`. -->

Data goes to stdout and talk to stderr, so `lrm … > file` and `lrm … | …` get data alone. Every command prints JSON with
`--json`, with stable keys. `--catalog PATH`, or the environment's `LRM_CATALOG`, names the catalog; without it that is
`catalog.duckdb` in the working folder.

| exit code | meaning |
|---|---|
"""


def reference() -> str:
    """Return the page."""
    rows = "".join(f"| {code} | {meaning} |\n" for code, meaning in exits.TABLE)
    return (
        HEADING + rows + "".join(f"\n{'#' * level} {path}\n\n```text\n{text}\n```\n" for level, path, text in _pages())
    )


def _pages() -> Iterator[tuple[int, str, str]]:
    """Yield (level of heading, command's path, help), depth first."""
    root = _context(cli, "lrm", None)
    yield 2, "lrm", _help(cli, root)
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None, name
        here = _context(command, name, root)
        yield 2, here.command_path, _help(command, here)
        if isinstance(command, click.Group):
            for sub_name in command.list_commands(here):
                sub = command.get_command(here, sub_name)
                assert sub is not None, sub_name
                there = _context(sub, sub_name, here)
                yield 3, there.command_path, _help(sub, there)


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    # The width is fixed, so that the page does not depend on whose terminal it was made in.
    return click.Context(command, info_name=name, parent=parent, terminal_width=100, max_content_width=100)


def _help(command: click.Command, context: click.Context) -> str:
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def main(arguments: list[str]) -> int:
    """Write or check the page; return an exit code."""
    text = reference()
    match arguments:
        case ["--write"]:
            PAGE.write_text(text, encoding="utf-8")
            return exits.OK
        case ["--check"]:
            if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
                return exits.OK
            click.echo(f"{PAGE.name} is not current: run `python -m lrm_cli.reference --write`", err=True)
            return exits.CELLS_FAILED
        case _:
            click.echo("usage: python -m lrm_cli.reference --write | --check", err=True)
            return exits.USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
