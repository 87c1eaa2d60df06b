"""`lrm catalog verify`."""

from __future__ import annotations

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import cut, put_json, put_table, say
from lrm_cli.table import count, table


@click.command(
    "verify",
    cls=Command,
    examples=("lrm catalog verify", "lrm catalog verify --catalog shared.duckdb --json"),
    keys=("ok", "checked", "problems"),
)
@options.catalog_option
@options.json_option
def command(catalog_file: str | None, as_json: bool) -> int:
    """Derive every id again and follow every reference.

    Exit code 1 when anything is not what its id says.
    """
    from lrm.store.verify import verify

    report = verify(options.open_catalog(catalog_file))
    if as_json:
        put_json({"ok": not report.problems, "checked": report.checked, "problems": report.problems})
    else:
        wrong = {table_: sum(one.table == table_ for one in report.problems) for table_ in report.checked}
        put_table(
            table(("table", "rows", "wrong"), [(name, rows, wrong[name]) for name, rows in report.checked.items()])
        )
        if report.problems:
            click.echo()
            rows = [(one.table, one.id, one.message) for one in report.problems]
            put_table(table(("table", "row", "what is wrong"), cut(rows), widest=90))
        say(f"{count(sum(report.checked.values()), 'row')} checked, {count(len(report.problems), 'problem')}")
    return exits.CELLS_FAILED if report.problems else exits.OK
