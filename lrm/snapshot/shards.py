"""Shards: the rows of a table, in order, cut into Parquet files where their content says so, each named by its own hash.

A cut depends on the rows around it and not on how many came before, so that a row more or less changes one file and leaves
the others as they are. Equal rows give equal bytes: no times, fixed row groups, one version of the writer.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm.errors import SnapshotError
from lrm.snapshot.manifest import File
from lrm.snapshot.tables import Kind, Table

if TYPE_CHECKING:
    import pyarrow as pa

LEAST = 16 * 2**20
"""Bytes before which a shard is not cut at a row that would do."""
MOST = 64 * 2**20
"""Bytes at which it is cut anywhere."""
APART = 2**20
"""Bytes after which another model begins a shard of its own, so that a model more adds files and changes none."""
GROUP_BYTES = 4 * 2**20
"""Size that row groups aim at: what a query for one cell reads of a text column."""
LEVEL = 3
"""Of zstd: a third smaller than level 1 for the same time; beyond it time grows faster than files shrink."""
WRITERS = 2


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where shards end, in bytes without compression."""

    least: int = LEAST
    most: int = MOST
    apart: int = APART


CUTS = Cuts()
"""Those of every snapshot: with others the same rows are other files."""


def arrow_schema(table: Table) -> pa.Schema:
    """Return the Arrow schema of a table."""
    import pyarrow as pa

    types: dict[Kind, Any] = {
        "string": pa.string(), "strings": pa.list_(pa.string()), "int32": pa.int32(), "int64": pa.int64(),
        "float64": pa.float64(), "bool": pa.bool_(), "timestamp": pa.timestamp("us"),
    }  # fmt: skip
    return pa.schema([pa.field(one.name, types[one.kind], nullable=one.null) for one in table.columns])


def dictionaries(table: Table) -> list[str]:
    """Return the columns whose values repeat: they are written once in each row group, and referred to."""
    unique = {*table.key, "call_id", "messages_id", "generation_id", "raw_sha256", "thinking_sha256", "answer_sha256"}
    texts = {one.name for one in table.columns if one.family is not None}
    plain = unique - {"judge_id", "scope", "prompt_id", "attack_id", "spec", "kind", "prompt_set_id", "rank"}
    return [
        one.name
        for one in table.columns
        if one.kind in ("string", "int32", "int64") and one.name not in plain and one.name not in texts
    ]


def write_table(
    batches: Iterable[pa.RecordBatch], table: Table, folder: Path, *, cuts: Cuts = CUTS
) -> tuple[File, ...]:
    """Write sorted rows of a table as shards below `folder/data/TABLE`; return what the manifest says of them.

    Memory is that of a few shards, whatever the number of rows.
    """
    home = folder / "data" / table.name
    done: list[File] = []
    with ThreadPoolExecutor(WRITERS) as pool:
        busy: deque[Future[File]] = deque()
        for number, (rows, weight) in enumerate(_cut(batches, table, cuts)):
            home.mkdir(parents=True, exist_ok=True)
            if len(busy) >= WRITERS:
                done.append(busy.popleft().result())
            busy.append(pool.submit(_write, rows, weight, table, home, number))
        done += [one.result() for one in busy]
    return tuple(done)


def _cut(batches: Iterable[pa.RecordBatch], table: Table, cuts: Cuts) -> Iterator[tuple[pa.Table, int]]:
    """Yield the runs of rows that are shards, with their bytes. How the rows come in batches makes no difference."""
    import numpy as np
    import pyarrow as pa

    schema = arrow_schema(table)
    held: list[pa.Table] = []
    size = 0
    before: str | None = None
    for batch in batches:
        if batch.num_rows == 0:
            continue
        rows = pa.Table.from_batches([batch]).select(table.names).cast(schema)
        summed = np.concatenate(([0], np.cumsum(weigh(rows))))
        places, before = _places(rows, before)
        start = 0
        for end in _ends(summed, places, size, cuts):
            held.append(rows.slice(start, end - start))
            yield _joined(held), size + int(summed[end] - summed[start])
            held, size, start = [], 0, end
        if start < rows.num_rows:
            held.append(rows.slice(start))
            size += int(summed[-1] - summed[start])
    if held:
        yield _joined(held), size


def _ends(summed: Any, places: Any, size: int, cuts: Cuts) -> Iterator[int]:
    """Yield where shards end, as numbers of rows; `summed` are the bytes before each row, `size` those of the rows held."""
    import numpy as np

    start = 0
    wanted = iter(np.flatnonzero(places).tolist())
    place = next(wanted, None)
    while True:
        # The first row with which the shard is as large as may be.
        full = int(np.searchsorted(summed, cuts.most - size + summed[start]))
        if place is not None and place <= full:
            least = cuts.apart if places[place] == _BEGINS else cuts.least
            if size + summed[place] - summed[start] >= least and (place > start or size):
                yield place
                size, start = 0, place
            place = next(wanted, None)
        elif full < len(summed):
            yield full
            size, start = 0, full
        else:
            return


def _joined(parts: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables([one for one in parts if one.num_rows]).combine_chunks()


def weigh(rows: pa.Table) -> Any:
    """Return the bytes of each row as an array of integers: of its texts, and 8 for every other value."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made when it is imported, so checkers know none

    total = np.zeros(rows.num_rows, dtype=np.int64)
    for column in rows.columns:
        if pa.types.is_string(column.type):
            total += pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
        else:
            total += 8
    return total


_MAY_END, _BEGINS = 1, 2


def _places(rows: pa.Table, before: str | None) -> tuple[Any, str | None]:
    """Return between which rows a shard may end, as an array of one place more than rows, and the last row's model.

    `before` is the model of the row before the first one; None where there is none.
    """
    import numpy as np
    import pyarrow.compute

    pc: Any = pyarrow.compute  # its functions are made when it is imported, so checkers know none

    places = np.zeros(rows.num_rows + 1, dtype=np.int8)
    named = next((name for name in ("id", "generation_id", "prompt_id") if name in rows.column_names), None)
    if named is not None:
        # Three hexadecimal digits: one of 4,096.
        tail = pc.fill_null(pc.utf8_slice_codeunits(rows[named], start=-3), "")
        places[1:][pc.equal(tail, "000").to_numpy()] = _MAY_END
    if "model" in rows.column_names:
        models = pc.fill_null(rows["model"], "").combine_chunks()
        differs = pc.not_equal(models.slice(1), models.slice(0, rows.num_rows - 1)).to_numpy(zero_copy_only=False)
        places[1:-1][differs] = _BEGINS
        if before is not None and models[0].as_py() != before:
            places[0] = _BEGINS
        before = models[rows.num_rows - 1].as_py()
    return places, before


def _write(rows: pa.Table, weight: int, table: Table, home: Path, number: int) -> File:
    """Write one shard under a passing name, then give it that of its hash."""
    import pyarrow.parquet as pq

    draft = home / f".{os.getpid()}.{number}.new"
    per_row = max(1, weight // max(1, rows.num_rows))
    group = max(512, min(65_536, GROUP_BYTES // per_row))
    try:
        write: Any = pq.write_table  # its stubs know one form of arguments only
        write(
            rows, draft, row_group_size=group, compression="zstd", compression_level=LEVEL, store_schema=False,
            use_dictionary=dictionaries(table), write_statistics=_told(table), write_page_index=True, version="2.6",
        )  # fmt: skip
        with draft.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        path = f"data/{table.name}/{found[:32]}.parquet"
        size = draft.stat().st_size
        draft.replace(home / f"{found[:32]}.parquet")
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SnapshotError(
            f"a shard cannot be written to {home}: {error.strerror or error}",
            hint="free some disk space, or name another",
        ) from error
    return File(path=path, table=table.name, rows=rows.num_rows, bytes=size, unpacked=weight, sha256=found)


def _told(table: Table) -> list[str]:
    """Return the columns whose least and greatest value each row group tells: all but texts."""
    return [one.name for one in table.columns if one.family is None and one.kind != "strings"]
