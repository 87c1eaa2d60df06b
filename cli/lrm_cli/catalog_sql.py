"""`lrm catalog sql`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from lrm.errors import SpecError
from lrm.text import visible
from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import json_text, plain, put_json, put_table, say
from lrm_cli.table import table

if TYPE_CHECKING:
    import duckdb

    from lrm.store.catalog import Catalog


_ZONED = "WITH TIME ZONE"


@click.command(
    "sql",
    cls=Command,
    examples=(
        'lrm catalog sql "SELECT model, attack, unsafe, harm_judged, unsafe_rate FROM rates"',
        "lrm catalog sql --csv - < query.sql > out.csv",
        "lrm catalog sql \"SELECT view_name, comment FROM duckdb_views() WHERE NOT internal\" --json",
    ),
)  # fmt: skip
@click.argument("query")
@click.option("--limit", type=click.IntRange(min=0), default=1000, show_default=True, help="At most so many rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout.")
@options.catalog_option
@options.json_option
def command(query: str, limit: int, as_csv: bool, catalog_file: str | None, as_json: bool) -> int:
    """Run a read-only SQL query.

    QUERY is DuckDB's SQL, or - to read it from stdin. For people there are the views cells, traces, verdicts and rates. The query
    can write nothing and reach no other file. Tables cut long texts; CSV is whole, with control characters shown as pictures;
    --json prints a list of objects, one a row with the columns as keys, and is exact.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    result = run_query(options.open_catalog(catalog_file), sys.stdin.read() if query == "-" else query, limit)
    if as_json:
        put_json([dict(zip(result.columns, map(plain, row), strict=True)) for row in result.rows])
    elif as_csv:
        _put_csv(result)
    else:
        put_table(table(result.columns, [[_cell(value) for value in row] for row in result.rows]))
    if result.more:
        say(f"{result.more:,} more; --limit {limit + result.more} prints all")
    return exits.OK


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gave."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    more: int
    """Rows beyond the limit."""


def run_query(catalog: Catalog, query: str, limit: int) -> Result:
    """Return a query's first rows. Raises SpecError for SQL that does not run; nothing outside the catalog is reached."""
    import duckdb

    with catalog.reading() as connection:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            columns, cursor = _columns(connection, query)
            rows = cursor.fetchmany(limit) if limit and columns else []
            more = 0
            while chunk := cursor.fetchmany(10_000) if columns else []:
                more += len(chunk)
        except duckdb.Error as error:
            raise SpecError(
                f"the query does not run: {error}",
                hint='views: cells, traces, verdicts, rates; `lrm catalog sql "DESCRIBE cells"` lists columns',
            ) from error
    return Result(_distinct(columns), rows, more)


def _columns(
    connection: duckdb.DuckDBPyConnection, query: str
) -> tuple[tuple[str, ...], duckdb.DuckDBPyConnection | duckdb.DuckDBPyRelation]:
    """Run a query; return the names of its columns and what its rows are fetched from."""
    cursor = connection.execute(query)
    described = cursor.description or []
    zoned = [_ZONED in str(column[1]) for column in described]
    if any(zoned):
        # DuckDB's client would ask for one more package to make times with a time zone; as text they need none.
        parts = [f"#{number}{'::VARCHAR' if text else ''}" for number, text in enumerate(zoned, start=1)]
        return tuple(column[0] for column in described), connection.sql(query).project(", ".join(parts))
    return tuple(column[0] for column in described), cursor


def _distinct(columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names with `_2`, `_3` … after repeated ones, so that each can be a key."""
    found: list[str] = []
    for name in columns:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name}_{number}"
        found.append(unique)
    return tuple(found)


def _cell(value: Any) -> str | int | float | None:
    """Return a value for a table: numbers as SQL writes them, lists and objects as JSON."""
    value = plain(value)
    match value:
        case bool():
            return "true" if value else "false"
        case None | str() | float():
            return value
        case int():
            return str(value)
        case _:
            return json_text(value).replace("\n", " ")


def _put_csv(result: Result) -> None:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(result.columns)
    for row in result.rows:
        cells = [_cell(value) for value in row]
        writer.writerow(["" if cell is None else visible(str(cell)) for cell in cells])
    click.echo(text.getvalue(), nl=False)
