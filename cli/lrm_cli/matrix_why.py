"""`lrm matrix why`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, put_table
from lrm_cli.table import pairs, table

if TYPE_CHECKING:
    from lrm.plan.why import Why

KEYS = ("call", "state", "explanation", "parts", "cells", "nearest", "publisher")


@click.command(
    "why",
    cls=Command,
    examples=(
        "lrm matrix why sim-reasoning/starter/money-1-unsafe/roleplay",
        "lrm matrix why sim-reasoning/starter/money-1-unsafe/roleplay/2 --spec specs/quickstart.toml",
        "lrm matrix why c1:9f3a",
    ),
    keys=KEYS,
)
@click.argument("cell")
@click.option(
    "--spec",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Explain the cell as this spec declares it now, instead of as it was last filled.",
)
@options.catalog_option
@options.registry_option
@options.json_option
def command(
    cell: str, spec: Path | None, catalog_file: str | None, registry_folders: tuple[Path, ...], as_json: bool
) -> int:
    """Say why a cell is there or missing.

    CELL is MODEL/PROMPT_SET/PROMPT/ATTACK[/REPLICATE], or a call's id (its first digits will do). Prints the parts of its
    key and, for a miss, the nearest response there is and the parts in which that differs.
    """
    from lrm.plan.why import why
    from lrm_cli.chosen import choose

    chosen = None if spec is None else choose(spec, registry_folders, only=(), replicates=None, update=False)
    catalog = options.open_catalog(catalog_file)
    found = why(catalog, cell) if chosen is None else why(catalog, cell, chosen.matrix, chosen.pins)
    if as_json:
        put_json(
            {
                "call": found.call,
                "state": found.state,
                "explanation": found.explanation,
                "parts": [{"field": name, "value": value} for name, value in found.parts],
                "cells": found.cells,
                "nearest": found.nearest,
                "publisher": found.publisher,
            }
        )
    else:
        _put_why(found)
    return exits.OK


def _put_why(found: Why) -> None:
    put(f"{found.state}: {found.explanation}\n")
    put_table(pairs((("call", found.call), *found.parts)))
    if found.cells:
        put("\ncells that share the call:")
        for cell in found.cells:
            put(f"  {cell}")
    if found.nearest is not None:
        put(f"\nnearest: {found.nearest.call} of {found.nearest.model}")
        if found.nearest.differs:
            differs = [(one.field, one.here, one.there) for one in found.nearest.differs]
            put_table(table(("differs in", "here", "there"), differs))
