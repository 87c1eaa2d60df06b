"""Rows out of Parquet files, as plain Python values."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lrm.errors import SpecError
from lrm.prompts.files import opened
from lrm.prompts.values import shown

_BATCH = 1024


def read_parquet(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the rows of a Parquet file with their numbers, from 1. Raises SpecError with file and row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with opened(path) as stream:
        try:
            file = pq.ParquetFile(pa.BufferReader(stream.read()) if _is_gzip(path) else path)
            names = file.schema_arrow.names
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise SpecError(f"the file names the column {shown(twice)} twice", file=path)
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in _rows(batch, path, number):
                    number += 1
                    yield number, row
        except (pa.ArrowException, UnicodeError) as error:
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise SpecError(f"not readable as Parquet: {problem}", file=path) from error


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _rows(batch: Any, path: Path, before: int) -> list[dict[str, object]]:
    columns: dict[str, list[object]] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        plain = _without_nanoseconds(column)
        try:
            columns[name] = plain.to_pylist()
        except UnicodeError as error:
            raise SpecError(
                f"column {shown(name)} is not utf-8", file=path, row=before + _first_unreadable(plain)
            ) from error
        except (ValueError, OverflowError) as error:
            raise SpecError(f"column {shown(name)} cannot be read: {error}", file=path) from error
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _first_unreadable(column: Any) -> int:
    for index in range(len(column)):
        try:
            column[index].as_py()
        except UnicodeError:
            return index + 1
    return len(column)


def _without_nanoseconds(column: Any) -> Any:
    """Return a column of nanosecond times as text: Python's own times are coarser, and pandas is no dependency."""
    import pyarrow as pa

    kind = column.type
    if (pa.types.is_timestamp(kind) or pa.types.is_time64(kind)) and kind.unit == "ns":
        try:
            return column.cast(pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else pa.time64("us"))
        except pa.ArrowInvalid:
            return column.cast(pa.string())
    if pa.types.is_duration(kind):
        return column.cast(pa.int64())
    return column
