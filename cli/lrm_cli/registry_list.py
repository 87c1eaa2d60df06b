"""`lrm registry list`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm.errors import SpecError
from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put_json, put_table
from lrm_cli.table import table

if TYPE_CHECKING:
    from lrm.registry.declarations import Kind
    from lrm.registry.layers import Registry

KEYS = ("kind", "name", "description", "file", "shadows", "error")


@click.command(
    "list",
    cls=Command,
    examples=("lrm registry list", "lrm registry list models", "lrm registry list attacks --json"),
    keys=KEYS,
    json_is="a list of objects",
)
@click.argument("kind", required=False, type=click.Choice(options.KINDS))
@options.registry_option
@options.json_option
def command(kind: Kind | None, registry_folders: tuple[Path, ...], as_json: bool) -> int:
    """List declarations.

    Those of one KIND, or of all. Where several folders declare the same name, the nearest counts and the others are shadowed.
    """
    registry = options.open_registry(registry_folders)
    kinds: tuple[Kind, ...] = options.KINDS if kind is None else (kind,)
    rows = [_row(registry, one, name) for one in kinds for name in registry.names(one)]
    if as_json:
        put_json(rows)
    else:
        shown = [(row.kind, row.name, f"wrong: {row.error}" if row.error else row.description) for row in rows]
        put_table(table(("kind", "name", "description"), shown, widest=100))
    return exits.OK


@dataclass(frozen=True, slots=True)
class Row:
    """One declaration in the list; the fields are the keys of `--json`."""

    kind: str
    name: str
    description: str
    file: str
    """The file that counts."""
    shadows: tuple[str, ...]
    """Files of the same name in folders further away."""
    error: str | None
    """What is wrong with the file; None for nothing."""


def _row(registry: Registry, kind: Kind, name: str) -> Row:
    first, *shadowed = registry.layers(kind, name)
    description, error = "", None
    try:
        description = registry.get(kind, name).declaration.description
    except SpecError as fault:
        error = str(fault)
    return Row(kind, name, description, str(first), tuple(str(path) for path in shadowed), error)
