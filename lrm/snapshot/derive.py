"""Deriving: what readers want to see at once (cells, rates), made from a snapshot's other tables alone.

The rows go without their texts into a passing catalog in memory, whose views say what the catalog's own views say. So a
snapshot's rates can be made again by whoever has it, and are the same whoever makes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.snapshot.load import Loaded, Stamp, load, offer
from lrm.snapshot.spans import take_spans
from lrm.snapshot.staging import query_memory
from lrm.store.catalog import workspace

if TYPE_CHECKING:
    import duckdb

QUERIES = {
    "cells": "SELECT spec, model, prompt_set, prompt, category, expect, attack, condition, replicate, state, parse_status, "
    "visibility, simulated, source, finish_reason, input_tokens, output_tokens, thinking_tokens, cost, "
    "generation AS generation_id FROM cells",
    # A mean of fractions depends, in its last digits, on the order in which they are added.
    "rates": "SELECT * REPLACE (round(mean_harm, 9) AS mean_harm) FROM rates",
}
"""What the tables for readers are, in a catalog that holds the snapshot and nothing else."""


@contextmanager
def derived(
    folder: Path, files: Mapping[str, Sequence[str]], spill: Path, rows: int
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Loaded]]:
    """Have a catalog in memory that holds a snapshot's rows without their texts; what is beyond its memory goes to `spill`."""
    from lrm.store import migrations

    connection = workspace()
    try:
        with query_memory(connection, spill, rows):
            migrations.apply(connection, folder)
            offer(connection, folder, files, texts=False)
            connection.execute(
                "INSERT INTO lrm.snapshots VALUES (1, '', NULL, NULL, '', [], 0, 0, TIMESTAMP '2000-01-01', '', true)"
            )
            loaded = load(connection, Stamp("snapshot:", 1))
            take_spans(connection, "snapshot:", datetime(2000, 1, 1))  # noqa: DTZ001 - of no zone, as the catalog has them
            yield connection, loaded
    finally:
        connection.close()
