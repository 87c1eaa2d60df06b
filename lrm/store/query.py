"""Running a user's SQL over a catalog: it can write nothing, and reach no other file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm.errors import SpecError
from lrm.text import has_surrogates

if TYPE_CHECKING:
    import duckdb

    from lrm.store.catalog import Catalog

HINT = 'views: cells, traces, verdicts, rates; `lrm catalog sql "DESCRIBE cells"` lists columns'
_ZONED = "WITH TIME ZONE"


@dataclass(frozen=True, slots=True)
class Result:
    """What a query gave."""

    columns: tuple[str, ...]
    """Distinct names: a repeated one has `_2`, `_3` … behind it."""
    rows: Sequence[Sequence[Any]]
    more: int
    """Rows beyond the limit."""


def run_query(catalog: Catalog, query: str, limit: int) -> Result:
    """Return a query's first rows. Raises SpecError for SQL that does not run, MissingError, BusyError."""
    import duckdb

    with catalog.reading() as connection:
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        try:
            columns = distinct(str(column[0]) for column in _start(connection, query))
            rows = connection.fetchmany(limit) if limit and columns else []
            more = 0
            while chunk := connection.fetchmany(10_000) if columns else []:
                more += len(chunk)
        except (duckdb.Error, ValueError, OverflowError) as error:  # the last two: what Python cannot hold
            raise SpecError(f"the query does not run: {error}", hint=HINT) from error
    return Result(columns, rows, more)


def _start(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    if not query.strip(" \t\r\n;"):
        raise ValueError("it is empty")
    if has_surrogates(query):
        raise ValueError("it holds bytes that are not UTF-8")
    return begin(connection, query)


def begin(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """Begin a query; return what DuckDB says of its columns: name, type and more of each. Raises duckdb.Error."""
    described = list(connection.execute(query).description or [])
    zoned = [_ZONED in str(column[1]) for column in described]
    if any(zoned):
        # DuckDB's client needs one more package to make times with a time zone; as text they need none.
        parts = ", ".join(f"#{number}{'::VARCHAR' if text else ''}" for number, text in enumerate(zoned, start=1))
        connection.execute(f"SELECT {parts} FROM (\n{query.strip().rstrip(';')}\n)")
    return described


def distinct(columns: Iterable[str]) -> tuple[str, ...]:
    """Return the names of columns, a repeated one with `_2`, `_3` … behind it."""
    found: list[str] = []
    for name in columns:
        number, unique = 1, name
        while unique in found:
            number += 1
            unique = f"{name}_{number}"
        found.append(unique)
    return tuple(found)
