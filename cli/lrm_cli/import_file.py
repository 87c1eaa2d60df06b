"""`lrm import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lrm_cli import exits, import_options, import_page, options
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say

if TYPE_CHECKING:
    from lrm.imports.brought import Brought


@click.command(
    "import",
    cls=Command,
    examples=(
        "lrm import completions.csv --format table --prompt question --response answer --model my-model",
        "lrm import log.eval --dry-run",
        "lrm import labels.csv --format table --map labels.toml --labels-for completions",
    ),
    keys=("imports",),
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@import_options.reading_options
@click.option("--name", help="Name under which the cells stand, as a spec's do; default: the file's.")
@click.option(
    "--skip-bad", is_flag=True, help="Leave rows out that cannot be imported; by default they stop the import."
)
@click.option(
    "--labels-for",
    metavar="NAME",
    help="Take only the labels, for what this import or spec has in the catalog already.",
)
@click.option(
    "--as-cache",
    metavar="MODEL",
    help="Let the responses stand for those of this declared model: a fill does not ask again.",
)
@click.option("--force", is_flag=True, help="With --as-cache: though the file says that the model was asked otherwise.")
@click.option("--dry-run", is_flag=True, help="Only say what is in the files; change nothing.")
@options.catalog_option
@options.registry_option
@options.json_option
def command(
    files: tuple[Path, ...],
    name: str | None,
    skip_bad: bool,
    labels_for: str | None,
    as_cache: str | None,
    force: bool,
    dry_run: bool,
    catalog_file: str | None,
    registry_folders: tuple[Path, ...],
    as_json: bool,
    **reading: Any,
) -> int:
    """Bring in completions and labels that others made.

    Each file is one import, in one transaction: checked whole before anything is written. Its cells stand under the import's
    name, so that they can be judged, compared and browsed like those of a spec. The same file imported again changes nothing.
    """
    if name is not None and len(files) > 1:
        raise click.UsageError("--name is for one file; several get the names of their files")
    if labels_for is not None and (name is not None or as_cache is not None):
        raise click.UsageError("--labels-for brings in labels alone: without --name and --as-cache")
    catalog = options.open_catalog(catalog_file)
    told = import_options.told_of(**reading)
    cached = options.open_registry(registry_folders).get("models", as_cache) if as_cache else None
    if cached is not None and cached.declaration.runs_here:
        from lrm.spec.pinned import pin_model

        cached = pin_model(cached, say=say)
    brought: list[Brought] = []
    try:
        for file in files:
            one = import_options.import_one(
                catalog, file, told, name=name, skip_bad=skip_bad, labels_for=labels_for, as_cache=cached, force=force,
                dry_run=dry_run,
            )  # fmt: skip
            if not as_json:
                if brought:
                    put()
                import_page.put_brought(one, catalog_file)
            brought.append(one)
    finally:
        if as_json and brought:
            put_json({"imports": brought})
    return exits.OK
