"""`lrm snapshot diff`."""

from __future__ import annotations

import click

from lrm_cli import exits, options, snapshot_diff_page, snapshot_options
from lrm_cli.command import Command
from lrm_cli.output import put_json


@click.command(
    "diff",
    cls=Command,
    examples=(
        "lrm snapshot diff my-lab/r1@3f2a91c04b7d my-lab/r1",
        "lrm snapshot diff my-lab/r1 spec:r1",
        "lrm snapshot diff ./before ./after --json",
    ),
    keys=("a", "b", "same", "counts", "declarations", "groups", "rates"),
)
@click.argument("a", metavar="A", shell_complete=options.complete_files)
@click.argument("b", metavar="B", shell_complete=options.complete_files)
@snapshot_options.quiet_option
@options.catalog_option
@options.json_option
def command(a: str, b: str, quiet: bool, catalog_file: str | None, as_json: bool) -> int:
    """Say what differs between two snapshots, or one and the catalog.

    A and B each are a folder, ORG/NAME or ORG/NAME@REV on the Hub, or what the catalog has of a spec: spec:NAME, or its .toml file.
    Only what the two do not share is fetched and read. Changes nothing.
    """
    from lrm.snapshot.diff.diff import diff
    from lrm.snapshot.place import InCatalog, side_of
    from lrm.store.catalog import Catalog, catalog_path

    sides = side_of(a), side_of(b)
    if any(isinstance(side, InCatalog) for side in sides):
        catalog = options.open_catalog(catalog_file)
    else:
        catalog = Catalog(catalog_path(catalog_file))
    found = diff(catalog, *sides, say=snapshot_options.talk(quiet=quiet))
    put_json(found) if as_json else snapshot_diff_page.put_diff(found)
    return exits.OK
