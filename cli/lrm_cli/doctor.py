"""`lrm doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put_json, put_table, say
from lrm_cli.table import count, table


@click.command(
    "doctor",
    cls=Command,
    examples=("lrm doctor", "lrm doctor --json"),
    keys=("ok", "checks"),
)
@options.catalog_option
@options.registry_option
@options.json_option
def command(catalog_file: str | None, registry_folders: tuple[Path, ...], as_json: bool) -> int:
    """Check the installation, the folder, the keys and the catalog.

    Prints what is fine, what is missing and may be meant so (a warning), and what is wrong. Of keys only the variables' names are
    shown. Exit code 0 with or without warnings, 1 when something is wrong.
    """
    from lrm_cli.checks import examine

    checks = examine(catalog_file, registry_folders)
    wrong = sum(one.state == "wrong" for one in checks)
    if as_json:
        put_json({"ok": not wrong, "checks": checks})
    else:
        put_table(table(("", "check", "found"), [(one.state, one.name, one.found) for one in checks], widest=110))
        say(f"{count(wrong, 'thing')} wrong, {count(sum(one.state == 'warning' for one in checks), 'warning')}")
    return exits.CELLS_FAILED if wrong else exits.OK
