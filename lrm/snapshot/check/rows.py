"""Rows of a snapshot by file and number, so that what is wrong can be pointed at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.errors import SnapshotError
from lrm.snapshot.folder import Snapshot
from lrm.snapshot.load import offer, parquet_path
from lrm.snapshot.tables import BY_NAME

if TYPE_CHECKING:
    import duckdb

DISTRUST = "it was changed after it was written, or written by something else: do not trust it"


Fault = tuple[str, str]
"""SQL of a condition on a row `t`, and what is wrong with a row for which it holds."""


@dataclass(slots=True)
class Rows:
    """The tables of a snapshot as views: `in_TABLE`, and `at_TABLE` with `_file` and `_row` (from 1) besides."""

    connection: duckdb.DuckDBPyConnection
    snapshot: Snapshot
    present: frozenset[str] = field(init=False)
    """Tables that have rows."""

    def __post_init__(self) -> None:
        paths = self.snapshot.paths()
        # What a file says of its values (NaN is in no range) is not to decide whether they are looked at.
        self.connection.execute(
            "SET disabled_optimizers = 'filter_pushdown,join_filter_pushdown,statistics_propagation'"
        )
        self.present = frozenset(paths)
        offer(self.connection, self.snapshot.folder, paths)
        for name in BY_NAME:
            if name in paths:
                shards = ", ".join(map(parquet_path, (self.snapshot.folder / path for path in paths[name])))
                columns = ", ".join(f'"{column}"' for column in BY_NAME[name].names)
                source = (
                    f"SELECT {columns}, filename AS _file, file_row_number + 1 AS _row FROM "
                    f"read_parquet([{shards}], hive_partitioning = false, filename = true, file_row_number = true)"
                )
            else:
                source = f"SELECT *, NULL::VARCHAR AS _file, NULL::BIGINT AS _row FROM in_{name}"
            self.connection.execute(f"CREATE TEMP VIEW at_{name} AS {source}")

    def refuse_any(self, table: str, faults: Sequence[Fault]) -> None:
        """Raise SnapshotError as `refuse_where` does for the first of many faults, which are looked for in one pass."""
        if table not in self.present or not faults:
            return
        asked = ", ".join(f"bool_or({condition})" for condition, _ in faults)
        found = self.connection.execute(f"SELECT {asked} FROM at_{table} t").fetchall()[0]
        for there, fault in zip(found, faults, strict=True):
            if there:
                self.refuse_where(table, *fault)
                raise self.fault(None, None, f"{table}: {fault[1]}")

    def refuse_where(self, table: str, condition: str, message: str, *, source: str | None = None) -> None:
        """Raise SnapshotError with file and row where a condition holds for a row of a table.

        `source` is SQL that has the table's view in it, named `t`; the view alone by default. NULL is no fault.
        """
        if table not in self.present:
            return
        query = f"SELECT t._file, t._row FROM {source or f'at_{table} t'} WHERE {condition} LIMIT 1"
        found = self.connection.execute(query).fetchall()
        if found:
            raise self.fault(found[0][0], found[0][1], message)

    def fault(self, file: str | None, row: int | None, message: str) -> SnapshotError:
        """Return the error for a row."""
        place = str(self.snapshot.folder) if file is None else Path(file).relative_to(self.snapshot.folder).as_posix()
        return SnapshotError(f"{place}{'' if row is None else f', row {row}'}: {message}", hint=DISTRUST)
