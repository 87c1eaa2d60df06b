"""Migrations: functions in order, each in a transaction of its own with its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.errors import CatalogError
from lrm.store import m0001_initial, m0002_judges, m0003_runner, m0004_conditions, m0005_engines, m0006_snapshots

if TYPE_CHECKING:
    import duckdb

Migration = tuple[str, Callable[["duckdb.DuckDBPyConnection"], None]]
MIGRATIONS: tuple[Migration, ...] = (
    ("m0001_initial", m0001_initial.upgrade),
    ("m0002_judges", m0002_judges.upgrade),
    ("m0003_runner", m0003_runner.upgrade),
    ("m0004_conditions", m0004_conditions.upgrade),
    ("m0005_engines", m0005_engines.upgrade),
    ("m0006_snapshots", m0006_snapshots.upgrade),
)


def applied(connection: duckdb.DuckDBPyConnection, database: str | None = None) -> tuple[str, ...]:
    """Return the names of the migrations that the catalog has had, in order; empty for a new file."""
    here = database or connection.execute("SELECT current_database()").fetchall()[0][0]
    known = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'lrm' AND table_name = 'migrations'",
        [here],
    ).fetchall()
    if not known[0][0]:
        return ()
    rows = connection.execute(f'SELECT name FROM "{here}".lrm.migrations ORDER BY name').fetchall()
    return tuple(row[0] for row in rows)


def pending(connection: duckdb.DuckDBPyConnection, path: Path, database: str | None = None) -> tuple[str, ...]:
    """Return the names of the migrations that the catalog lacks. Raises CatalogError for a newer or a foreign file."""
    done = applied(connection, database)
    names = [name for name, _ in MIGRATIONS]
    newer = [name for name in done if name not in names]
    if newer:
        raise CatalogError(
            f"{path} was written by a newer lrm: it has {', '.join(newer)}",
            hint="upgrade lrm, or use another --catalog",
        )
    if not done:
        here = database or connection.execute("SELECT current_database()").fetchall()[0][0]
        foreign = connection.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY table_name LIMIT 3", [here]
        ).fetchall()
        if foreign:
            raise CatalogError(
                f"{path} is a DuckDB file of something else: it holds {', '.join(row[0] for row in foreign)}",
                hint="name another file with --catalog PATH",
            )
    return tuple(name for name in names if name not in done)


def apply(connection: duckdb.DuckDBPyConnection, path: Path) -> tuple[str, ...]:
    """Apply what is pending, each migration with its record in one transaction; return the names applied."""
    todo = pending(connection, path)
    for name, upgrade in MIGRATIONS:
        if name not in todo:
            continue
        connection.execute("BEGIN")
        try:
            upgrade(connection)
            connection.execute("INSERT INTO lrm.migrations VALUES (?, (now() AT TIME ZONE 'UTC')::TIMESTAMP)", [name])
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return todo
