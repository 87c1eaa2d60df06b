"""`lrm catalog merge`."""

from __future__ import annotations

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say
from lrm_cli.table import count


@click.command(
    "merge",
    cls=Command,
    examples=("lrm catalog merge",),
    keys=("segments", "generations", "failures", "notes", "left"),
)
@options.catalog_option
@options.json_option
def command(catalog_file: str | None, as_json: bool) -> int:
    """Merge what a killed fill left in its journal.

    Every command that opens the catalog does this first. While a fill is running its journal is its own, and stays.
    """
    from lrm.store.journal import segments
    from lrm.store.merge import merge_leftovers

    catalog = options.open_catalog(catalog_file, merge=False)
    merged = merge_leftovers(catalog)
    left = len(segments(catalog.journal_folder))
    if as_json:
        put_json(
            {
                "segments": merged.segments,
                "generations": merged.generations,
                "failures": merged.failures,
                "notes": merged.notes,
                "left": left,
            }
        )
    else:
        put(
            f"{count(merged.segments, 'segment')} merged: {count(merged.generations, 'new response')}, "
            f"{count(merged.failures, 'new failure')}"
        )
        for note in merged.notes:
            say(f"note: {note}")
        if left:
            say(f"{count(left, 'segment')} left to the fill that is running")
    return exits.RETRY if left else exits.OK
