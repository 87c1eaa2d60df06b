"""`lrm snapshot export`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lrm_cli import exits, options, snapshot_options, snapshot_page
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say

if TYPE_CHECKING:
    from lrm.snapshot.choice import Choice
    from lrm.snapshot.export import Exported


@click.command(
    "export",
    cls=Command,
    examples=(
        "lrm snapshot export quickstart shared",
        "lrm snapshot export specs/r1.toml r1 --texts responses=hashed --only model=deepseek-r1",
        "lrm snapshot export quickstart shared --dry-run",
    ),
    keys=("folder", "sha256", "bytes", "specs", "tables", "counts", "texts", "withheld", "dry_run"),
)
@snapshot_options.spec_argument
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@snapshot_options.choice_options
@click.option("--force", is_flag=True, help="Replace a snapshot that is there.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written, with sizes.")
@snapshot_options.quiet_option
@options.catalog_option
@options.json_option
def command(
    spec: str,
    folder: Path,
    choice: Choice,
    force: bool,
    dry_run: bool,
    quiet: bool,
    catalog_file: str | None,
    as_json: bool,
) -> int:
    """Write what the catalog has of a spec to a folder.

    SPEC is a spec's file, or the name of a spec or import in the catalog. The folder holds Parquet, a manifest and a card;
    the same content gives the same bytes, on any machine. Prompts of sets whose terms do not let them be passed on are
    withheld.
    """
    catalog = options.open_catalog(catalog_file)
    talk = snapshot_options.talk(quiet=quiet)
    if dry_run:
        from lrm.snapshot.publishing import passing

        with passing(catalog, spec, choice) as exported:
            _put(exported, folder, choice, dry_run=True, quiet=quiet, as_json=as_json)
        return exits.OK
    from lrm.snapshot.export import export

    written = export(catalog, spec, folder, choice, say=talk, replace=force)
    _put(written, folder, choice, dry_run=False, quiet=quiet, as_json=as_json)
    if not quiet and not as_json:
        option = f" --catalog {shlex.quote(catalog_file)}" if catalog_file else ""
        say(f"\nwritten to {folder}. Try next:")
        say(f"  lrm snapshot verify {shlex.quote(str(folder))}")
        say(f"  lrm snapshot publish {shlex.quote(spec)} ORG/NAME{option}")
    return exits.OK


def _put(exported: Exported, folder: Path, choice: Choice, *, dry_run: bool, quiet: bool, as_json: bool) -> None:
    from lrm.snapshot.sizes import sizes

    finished, told = exported.finished, exported.finished.manifest
    tables = sizes(exported.folder, told)
    if as_json:
        put_json(
            {
                "folder": folder, "sha256": finished.sha256, "bytes": finished.bytes, "tables": tables,
                "specs": [one.name for one in told.specs], "counts": told.counts, "texts": told.texts,
                "withheld": {one.name: one.withheld for one in snapshot_page.withheld_sets(told)}, "dry_run": dry_run,
            }
        )  # fmt: skip
        return
    snapshot_page.put_sizes(tables)
    if dry_run:
        put(f"nothing was written to {folder}")
    if not quiet:
        snapshot_page.say_withheld(told, choice)
