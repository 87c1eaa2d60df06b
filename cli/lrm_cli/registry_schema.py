"""`lrm registry schema`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say

if TYPE_CHECKING:
    from lrm.registry.declarations import Kind


NAMES: tuple[Kind | Literal["spec"], ...] = (*options.KINDS, "spec")


@click.command(
    "schema",
    cls=Command,
    examples=("lrm registry schema models", "lrm registry schema --output schemas"),
)
@click.argument("kind", required=False, type=click.Choice(NAMES))
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="Write a file for each kind into this folder."
)
@options.json_option
def command(kind: Kind | Literal["spec"] | None, output: Path | None, as_json: bool) -> int:
    """Print or write the JSON Schemas that editors complete TOML with.

    Of one KIND, of a spec, or of all: then an object with the kinds as keys. With --output a file for each is written, and their names are
    printed; --json prints them as a list. The schemas are JSON with or without --json.
    """
    from lrm.registry.schema import export, json_schema

    if output is not None:
        if kind is not None:
            raise click.UsageError("--output writes the schema of every kind: leave KIND out")
        files = export(output)
        if as_json:
            put_json([str(path) for path in files])
        else:
            for path in files:
                put(str(path))
            say("in an editor's settings, set these as the schemas of registry/KIND/*.toml")
        return exits.OK
    put_json(json_schema(kind) if kind else {one: json_schema(one) for one in NAMES})
    return exits.OK
