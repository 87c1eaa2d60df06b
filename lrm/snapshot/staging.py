"""Folders that get their name when they are whole, and queries that stay within a bound of memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.errors import SnapshotError
from lrm.snapshot import manifest

if TYPE_CHECKING:
    import duckdb

SPILL = ".spill"
"""Name of the passing folder for what does not fit into memory."""
LEAST_MB = 448
"""Megabytes that queries may take of a small snapshot; what is beyond it spills to the disk."""
MB_PER_MILLION = 400
"""Megabytes for a million responses or verdicts: not every join can spill all that it holds."""
LEAST_THREADS, MB_PER_THREAD = 2, 500
"""Threads, and megabytes for each, which holds what it works on: on a machine with many cores, few of them are used."""


@contextmanager
def drafting(folder: Path, *, replace: bool) -> Iterator[Path]:
    """Make a folder under a passing name; give it its own when the block ends well, else remove it.

    Raises SnapshotError where something is there that is no snapshot, or is one and `replace` was not said.
    """
    folder = folder.absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        if not (folder / manifest.NAME).is_file():
            raise SnapshotError(f"{folder} holds something else than a snapshot", hint="name a new folder")
        if not replace:
            raise SnapshotError(f"there is a snapshot at {folder} already", hint="name a new folder, or say --force")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    try:
        draft.mkdir(parents=True)
        yield draft
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    except OSError as error:
        raise SnapshotError(
            f"the snapshot cannot be written to {folder}: {error.strerror or error}",
            hint="free some disk space, or name another folder",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def query_memory(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int = 0) -> Iterator[None]:
    """Keep the queries of a connection within a bound of memory; what is beyond it goes to a passing folder in `folder`.

    `rows` are the responses and verdicts that they are about.
    """
    spill = folder / SPILL
    quoted = str(spill).replace("'", "''")
    limit = max(LEAST_MB, rows * MB_PER_MILLION // 1_000_000)
    connection.execute(f"SET memory_limit = '{limit}MB'")
    connection.execute(f"SET threads = {min(os.cpu_count() or 1, max(LEAST_THREADS, limit // MB_PER_THREAD))}")
    # Queries that need an order say so.
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET temp_directory = '{quoted}'")
    try:
        yield
    finally:
        shutil.rmtree(spill, ignore_errors=True)
