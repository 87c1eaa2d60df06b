"""`lrm snapshot pull`."""

from __future__ import annotations

import click

from lrm_cli import exits, options, snapshot_options, snapshot_page
from lrm_cli.command import Command
from lrm_cli.output import put_json, say


@click.command(
    "pull",
    cls=Command,
    examples=(
        "lrm snapshot pull my-lab/r1",
        "lrm snapshot pull my-lab/r1@3f2a91c04b7d",
        "lrm snapshot pull ./shared --catalog mine.duckdb",
    ),
    keys=snapshot_page.PULLED,
)
@click.argument("place", metavar="DIR|ORG/NAME[@REV]", shell_complete=options.complete_files)
@snapshot_options.quiet_option
@options.catalog_option
@options.json_option
def command(place: str, quiet: bool, catalog_file: str | None, as_json: bool) -> int:
    """Verify a snapshot and merge it into the catalog.

    All of it is merged, in one transaction, or nothing. What is there stays: a second response to a call is kept beside the
    first. Responses fill cells from then on, unless their publisher is not trusted (`lrm matrix fill --trust`). A pull that
    breaks off goes on where it was with the same command.
    """
    from lrm.snapshot.place import place_of
    from lrm.snapshot.pull import pull

    catalog = options.open_catalog(catalog_file)
    try:
        pulled = pull(catalog, place_of(place), say=snapshot_options.talk(quiet=quiet))
    except KeyboardInterrupt:
        say("what was fetched is kept, and the same command goes on from there")
        raise
    if as_json:
        put_json(snapshot_page.pulled_object(pulled))
    else:
        snapshot_page.put_pulled(pulled)
    return exits.OK
