"""Checking: every row of a snapshot is what its id says, and points to what is there, before anything of it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lrm.errors import SnapshotError
from lrm.snapshot.check.ids import check_ids
from lrm.snapshot.check.rows import Rows
from lrm.snapshot.check.shapes import check_footers, check_sizes, check_values
from lrm.snapshot.derive import QUERIES, derived
from lrm.snapshot.folder import Snapshot
from lrm.snapshot.staging import query_memory
from lrm.snapshot.tables import BY_NAME
from lrm.store.catalog import workspace

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked: the snapshot holds what it says."""

    rows: dict[str, int]
    """By table."""
    files: int
    bytes: int


def check(snapshot: Snapshot, *, say: Callable[[str], None] = lambda _: None) -> Checked:
    """Check the rows of a snapshot whose files are what the manifest says.

    Types, sizes and numbers of rows; values; every id derived again from what it names; every reference followed; cells,
    rates and counts made again. Raises SnapshotError, with file and row, at the first thing that is wrong.
    """
    import duckdb

    check_footers(snapshot)
    with TemporaryDirectory(prefix="lrm-check-", ignore_cleanup_errors=True) as spill:
        connection = workspace()
        try:
            with query_memory(connection, Path(spill), snapshot.manifest.weight):
                rows = Rows(connection, snapshot)
                check_sizes(rows)
                check_values(rows)
                say("types, sizes and values are sound")
                check_ids(rows)
                say("every id follows from its content")
        except duckdb.Error as error:
            raise unreadable(snapshot, error) from error
        finally:
            connection.close()
        try:
            with derived(snapshot.folder, snapshot.paths(), Path(spill), snapshot.manifest.weight) as (catalog, _):
                _same(snapshot, catalog)
        except duckdb.Error as error:
            raise unreadable(snapshot, error) from error
    say("cells and rates follow from the responses and verdicts")
    return Checked(
        {table: sum(one.rows for one in snapshot.manifest.of(table)) for table in BY_NAME},
        len(snapshot.manifest.files),
        sum(one.bytes for one in snapshot.manifest.files),
    )


def unreadable(snapshot: Snapshot, error: Exception) -> SnapshotError:
    """Return the error for shards that cannot be read."""
    import duckdb

    if isinstance(error, duckdb.OutOfMemoryException):
        return SnapshotError(
            f"{snapshot.folder}: to read it takes more memory than lrm allows itself: {str(error).splitlines()[0][:300]}",
            hint="nothing is wrong with the snapshot; please report this, with what its manifest counts",
        )
    return SnapshotError(
        f"{snapshot.folder}: a shard cannot be read: {str(error).splitlines()[0][:300]}",
        hint="it was not written by lrm, or is damaged: do not trust it",
    )


def _same(snapshot: Snapshot, connection: duckdb.DuckDBPyConnection) -> None:
    """Raise SnapshotError where tables for readers, or counts, are not what the other tables give."""
    for name, query in QUERIES.items():
        columns = ", ".join(f'"{column}"' for column in BY_NAME[name].names)
        connection.execute(f"CREATE TEMP TABLE t_made AS SELECT {columns} FROM ({query})")
        # As many rows, and none that is not there: then they are the same.
        made, more = connection.execute(
            f"""
            SELECT (SELECT count(*) FROM t_made),
                (SELECT count(*) FROM (FROM t_made EXCEPT ALL SELECT {columns} FROM in_{name}))
            """
        ).fetchall()[0]
        connection.execute("DROP TABLE t_made")
        if more or made != sum(one.rows for one in snapshot.manifest.of(name)):
            raise SnapshotError(
                f"{snapshot.folder}: the table `{name}` is not what the responses and verdicts give",
                hint="it was changed after it was written, or written by something else: do not trust it",
            )
    named = {one.name for one in snapshot.manifest.specs}
    spanned = {row[0] for row in connection.execute("SELECT DISTINCT spec FROM in_slices").fetchall()}
    if spanned and spanned != named:
        raise SnapshotError(
            f"{snapshot.folder}: the manifest tells of other specs than those that there are",
            hint="it was changed after it was written, or written by something else: do not trust it",
        )
    from lrm.snapshot.finish import counts_of

    said = snapshot.manifest.counts
    found = counts_of(connection) | {
        table: rows for table in BY_NAME if (rows := sum(one.rows for one in snapshot.manifest.of(table)))
    }
    if said != found:
        wrong = next(name for name in (*found, *said) if said.get(name) != found.get(name))
        raise SnapshotError(
            f"{snapshot.folder}: the manifest counts {said.get(wrong, 0):,} {wrong}, and there are {found.get(wrong, 0):,}",
            hint="pull or export it again",
        )
