"""Texts on their way out: traces and payloads in the order of their cells, though the catalog has them in that of their arrival.

Sorting gigabytes of text within a bound of memory: runs of responses, each sorted, go to the disk and are merged. What is
joined is one run at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm.errors import SnapshotError
from lrm.snapshot.tables import BY_NAME, Table

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LAID_OUT = ("traces", "raw")
"""The tables that are laid out."""
RUNS = ".runs"
"""Name of the passing folder for the runs of a snapshot that is being written."""
RUN = 10_000
"""Responses in a run."""
BATCH = 256
"""Rows that each run has in memory while they are merged."""
WINDOW = 4096
"""Rows that come out at a time."""
_SORTED = "place"


@dataclass(frozen=True, slots=True)
class Texts:
    """Traces and payloads, in runs on the disk."""

    runs: Mapping[str, tuple[Path, ...]]
    """By table."""
    rows: int
    """Responses, of whom some may have no row in a table."""

    def stream(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `traces` or `raw`, in their order."""
        for rows in _merged(self.runs[table.name], self.rows):
            yield from rows.select(table.names).to_batches()


def lay_out(connection: duckdb.DuckDBPyConnection, query: str, folder: Path) -> Texts:
    """Write what `query` gives to sorted runs in a folder.

    The query has the columns of `traces` and `raw`, `place` (from 1, without gaps) to sort by, and the parameters `$first` and
    `$last`: the numbers of the responses that are wanted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first, last, rows = connection.execute(
        "SELECT coalesce(min(n), 0), coalesce(max(n), -1), count(*) FROM x_generations"
    ).fetchall()[0]
    runs: dict[str, list[Path]] = {name: [] for name in LAID_OUT}

    def ask(start: int) -> pa.Table:
        return connection.sql(query, params={"first": start, "last": start + RUN - 1}).to_arrow_table()

    starts = range(first, last + 1, RUN)
    with ThreadPoolExecutor(1) as asking:
        # While one run is sorted and written, the next is read.
        coming = asking.submit(ask, starts[0]) if starts else None
        for number, _ in enumerate(starts):
            found = coming.result() if coming is not None else None
            coming = asking.submit(ask, starts[number + 1]) if number + 1 < len(starts) else None
            if found is not None and found.num_rows:
                for name, run in _parted(found.sort_by(_SORTED)):
                    runs[name].append(_write(run, folder / f"{name}-{number:06}.arrow"))
    return Texts({name: tuple(paths) for name, paths in runs.items()}, int(rows))


def _parted(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield what each table has of some responses, where it has anything."""
    import pyarrow as pa

    said = pa.array(rows["raw"].is_valid().to_numpy() | rows["sent"].is_valid().to_numpy())
    for name in LAID_OUT:
        found = (rows.filter(said) if name == "raw" else rows).select([*BY_NAME[name].names, _SORTED])
        if found.num_rows:
            yield name, found


def _write(run: pa.Table, path: Path) -> Path:
    import pyarrow as pa

    try:
        with pa.ipc.new_file(path, run.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(run, max_chunksize=BATCH)
    except OSError as error:
        raise SnapshotError(
            f"the texts cannot be sorted in {path.parent}: {error.strerror or error}", hint="free some disk space"
        ) from error
    return path


def _merged(runs: tuple[Path, ...], rows: int) -> Iterator[pa.Table]:
    """Yield windows of the rows of all runs, in order."""
    import pyarrow as pa

    cursors = [_Cursor(path) for path in runs]
    for until in range(WINDOW + 1, rows + WINDOW + 1, WINDOW):
        parts = [part for cursor in cursors for part in cursor.below(until)]
        if parts:
            yield pa.concat_tables(parts).combine_chunks().sort_by(_SORTED)


class _Cursor:
    """Where the merge stands in one run."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.reader = pa.ipc.open_file(path)
        self.next = 0
        self.held: Any = None

    def below(self, until: int) -> Iterator[pa.Table]:
        """Yield the next rows whose place is below a number."""
        import numpy as np
        import pyarrow as pa

        while True:
            if self.held is None:
                if self.next == self.reader.num_record_batches:
                    return
                self.held = pa.Table.from_batches([self.reader.get_batch(self.next)])
                self.next += 1
            count = int(np.searchsorted(self.held[_SORTED].to_numpy(), until))
            if count:
                yield self.held.slice(0, count)
            if count < self.held.num_rows:
                self.held = self.held.slice(count)
                return
            self.held = None
