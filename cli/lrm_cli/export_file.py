"""`lrm export`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lrm_cli import exits, options
from lrm_cli.chosen import parsed
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say

FORMATS = ("inspect", "every-eval-ever", "helm", "csv", "jsonl")
"""As `lrm.exports.export` has them; written out, so that help loads nothing of it."""


@click.command(
    "export",
    cls=Command,
    examples=(
        "lrm export quickstart --format inspect --out logs",
        "lrm export specs/r1.toml --format csv --out r1.csv --only model=deepseek-r1 --texts",
        "lrm export quickstart --format every-eval-ever --out eee --organization 'My Lab'",
    ),
    keys=("spec", "format", "path", "files", "bytes", "cells", "left_out"),
)
@click.argument("spec", shell_complete=options.complete_files)
@click.option("--format", "form", required=True, type=click.Choice(FORMATS), help="What to write.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path),
    help="The file to write (csv, jsonl), or the folder (inspect, every-eval-ever, helm).",
)  # fmt: skip
@click.option(
    "--only", metavar="AXIS=GLOB", multiple=True, shell_complete=options.complete_only,
    help="Only these: model=…, prompt_set=…, attack=…, condition=… or judge=… with a name or glob. Repeatable: the same axis "
    "adds, another narrows.",
)  # fmt: skip
@click.option("--texts", is_flag=True, help="For csv: prompts and responses too.")
@click.option("--organization", metavar="NAME", help="For every-eval-ever: who ran the evaluation.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@options.catalog_option
@options.json_option
def command(
    spec: str,
    form: str,
    out: Path,
    only: tuple[str, ...],
    texts: bool,
    organization: str | None,
    force: bool,
    catalog_file: str | None,
    as_json: bool,
) -> int:
    """Write what the catalog holds of a spec as what other tools read.

    SPEC is a spec's file, or the name of a spec or import in the catalog, and counts as it was last filled. Asks no model and
    changes nothing. What is not known stays so: a response that no judge could judge has no score, and says why.
    """
    from lrm.exports.export import FORMATS as KNOWN
    from lrm.exports.export import export
    from lrm.store.specs import find_spec, known_specs

    catalog = options.open_catalog(catalog_file)
    with catalog.reading() as connection:
        name = find_spec(spec, known_specs(connection)).name
    written = export(
        catalog, name, next(one for one in KNOWN if one == form), out, only=parsed(only), force=force, texts=texts,
        organization=organization, say=say if sys.stderr.isatty() else None,
    )  # fmt: skip
    if as_json:
        counts = {"files": written.files, "bytes": written.bytes, "cells": written.cells, "left_out": written.left_out}
        put_json({"spec": name, "format": form, "path": written.path, **counts})
        return exits.OK
    files = f"{written.files:,} files, " if written.files > 1 else ""
    put(f"{written.path}  {files}{written.cells:,} cells, {written.bytes:,} bytes")
    for why, count in written.left_out.items():
        say(f"left out: {count:,} {why}")
    return exits.OK
