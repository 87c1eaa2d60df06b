"""`lrm snapshot verify`."""

from __future__ import annotations

import click

from lrm_cli import exits, options, snapshot_options, snapshot_page
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say
from lrm_cli.table import count


@click.command(
    "verify",
    cls=Command,
    examples=(
        "lrm snapshot verify shared",
        "lrm snapshot verify my-lab/r1@3f2a91c04b7d",
        "lrm snapshot verify ./shared --json",
    ),
    keys=("name", "publisher", "commit", "sha256", "sound", "fault", "hint", "specs", "files", "bytes", "rows"),
)
@click.argument("place", metavar="DIR|ORG/NAME[@REV]", shell_complete=options.complete_files)
@snapshot_options.quiet_option
@options.catalog_option
@options.json_option
def command(place: str, quiet: bool, catalog_file: str | None, as_json: bool) -> int:
    """Check every hash, id and reference of a snapshot.

    Types and values too; cells, rates and counts are made again. Changes nothing: what is fetched for it stands beside the
    catalog meanwhile. Ends with exit code 1 and the fault, with its file and row, for a snapshot that is not what it says.
    """
    from lrm.errors import SnapshotError
    from lrm.snapshot.check.check import check
    from lrm.snapshot.folder import open_folder
    from lrm.snapshot.here import brought, find
    from lrm.snapshot.place import place_of
    from lrm.store.catalog import Catalog, catalog_path

    talk = snapshot_options.talk(quiet=quiet)
    told: dict[str, object] = {"name": None, "publisher": None, "commit": None, "sha256": None}
    told |= {"sound": False, "fault": None, "hint": None, "specs": (), "files": 0, "bytes": 0, "rows": {}}
    try:
        found = find(place_of(place))
        told |= {"name": found.origin.name, "publisher": found.origin.publisher, "commit": found.origin.commit}
        told |= {"sha256": found.sha256, "specs": [one.name for one in found.manifest.specs]}
        with brought(Catalog(catalog_path(catalog_file)), found, say=talk) as folder:
            checked = check(open_folder(folder, say=talk), say=talk)
    except SnapshotError as error:
        if as_json:
            put_json(told | {"fault": error.message, "hint": error.hint})
        else:
            put(f"not sound: {error.message}")
            if error.hint:
                say(f"  hint: {error.hint}")
        return exits.CELLS_FAILED
    if as_json:
        put_json(told | {"sound": True, "files": checked.files, "bytes": checked.bytes, "rows": checked.rows})
        return exits.OK
    rows = ", ".join(f"{number:,} {table}" for table, number in checked.rows.items() if number)
    put(f"sound: {found.origin.label}, {count(checked.files, 'file')}, {snapshot_page.size(checked.bytes)}: {rows}")
    return exits.OK
