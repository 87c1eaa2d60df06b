"""Builders of prompt sets and of the data files that they read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrm.prompts.load import load
from lrm.prompts.prompt import Prompt
from lrm.prompts.source import Pin, locate
from lrm.registry.declarations import PromptSet
from lrm.spec.matrix import Located

Cells = Mapping[str, Any]


def located(folder: Path, **fields: Any) -> Located[PromptSet]:
    """Return a prompt set declared on line 7 of `folder/set.toml`."""
    return Located("set", PromptSet.model_validate(fields), folder / "set.toml", 7)


def prompts_of(folder: Path, pinned: Pin | None = None, **fields: Any) -> list[Prompt]:
    """Return the prompts of a set declared in `folder`."""
    prompt_set = located(folder, **fields)
    return load(locate(prompt_set, pinned=pinned), prompt_set)


def csv_bytes(rows: Sequence[Cells], delimiter: str = ",") -> bytes:
    """Return rows of text as a CSV file; the first row names the columns."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def json_bytes(rows: Sequence[Cells]) -> bytes:
    """Return rows as a JSON list."""
    return json.dumps(rows).encode()


def jsonl_bytes(rows: Sequence[Cells]) -> bytes:
    """Return rows as JSON, one a line, without escapes for what is not ASCII."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet_bytes(rows: Sequence[Cells]) -> bytes:
    """Return rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), sink)
    return sink.getvalue()


def file_bytes(form: str, rows: Sequence[Cells]) -> bytes:
    """Return rows in the format `form`."""
    match form:
        case "csv":
            return csv_bytes(rows)
        case "tsv":
            return csv_bytes(rows, "\t")
        case "json":
            return json_bytes(rows)
        case "jsonl":
            return jsonl_bytes(rows)
        case "parquet":
            return parquet_bytes(rows)
        case _:
            raise ValueError(form)
