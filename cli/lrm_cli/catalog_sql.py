"""`lrm catalog sql`."""

from __future__ import annotations

import csv
import io
import sys
from typing import Any

import click

from lrm.store.query import Result, run_query
from lrm.text import visible
from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import json_text, plain, put_json, put_table, say
from lrm_cli.table import table


@click.command(
    "sql",
    cls=Command,
    examples=(
        'lrm catalog sql "SELECT model, attack, unsafe, harm_judged, unsafe_rate FROM rates"',
        "lrm catalog sql --csv - < query.sql > out.csv",
        'lrm catalog sql "SELECT view_name, comment FROM duckdb_views() WHERE NOT internal" --json',
    ),
)
@click.argument("query")
@click.option("--limit", type=click.IntRange(min=0), default=1000, show_default=True, help="At most so many rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout.")
@options.catalog_option
@options.json_option
def command(query: str, limit: int, as_csv: bool, catalog_file: str | None, as_json: bool) -> int:
    """Run a read-only SQL query.

    QUERY is DuckDB's SQL, or - to read it from stdin. For people there are the views cells, traces, verdicts and rates.
    The query can write nothing and reach no other file. Tables cut long texts; CSV is whole, with control characters shown
    as pictures; --json prints a list of objects, one a row with the columns as keys, and is exact.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    try:
        text = sys.stdin.read() if query == "-" else query
    except UnicodeDecodeError as error:
        raise click.UsageError("the query on stdin is not UTF-8") from error
    result = run_query(options.open_catalog(catalog_file), text, limit)
    if as_json:
        put_json([dict(zip(result.columns, row, strict=True)) for row in result.rows])
    elif as_csv:
        _put_csv(result)
    elif result.columns:
        put_table(table(result.columns, [[_cell(value) for value in row] for row in result.rows], thousands=False))
    if result.more:
        say(f"{result.more:,} more; --limit {limit + result.more} prints all")
    return exits.OK


def _cell(value: Any) -> str | float | None:
    """Return a value for a table: lists and objects as JSON."""
    value = plain(value)
    match value:
        case bool():
            return "true" if value else "false"
        case None | str() | int() | float():
            return value
        case _:
            return json_text(value, indent=None)


def _put_csv(result: Result) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([visible(name) for name in result.columns])
    for row in result.rows:
        cells = [_cell(value) for value in row]
        writer.writerow(["" if cell is None else visible(str(cell)) for cell in cells])
    click.echo(text.getvalue(), nl=False)
