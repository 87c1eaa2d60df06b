"""Reads every table of a snapshot with the tools that people use, and prints what each found. Run by a Python that has them:

    read_snapshot.py FOLDER CACHE

Prints JSON: by reader and table the number of rows, the columns, and the first row as text.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Found = tuple[int, list[str], list[str]]


def by_duckdb(folder: Path, table: str, _: str) -> Found:
    """Read with plain SQL over the folder."""
    duckdb: Any = importlib.import_module("duckdb")
    found = duckdb.sql(f"SELECT * FROM '{folder}/data/{table}/*.parquet'")
    return len(found), found.columns, shown(dict(zip(found.columns, found.limit(1).fetchall()[0], strict=True)))


def by_pandas(folder: Path, table: str, _: str) -> Found:
    """Read the folder of a table, as the card says."""
    pandas: Any = importlib.import_module("pandas")
    found = pandas.read_parquet(folder / "data" / table)
    first = found.astype(object).where(found.notna(), None).iloc[0].to_dict()
    return len(found), list(found.columns), shown(first)


def by_pyarrow(folder: Path, table: str, _: str) -> Found:
    """Read the folder of a table as one dataset."""
    dataset: Any = importlib.import_module("pyarrow.dataset")
    found = dataset.dataset(folder / "data" / table, format="parquet").to_table()
    return found.num_rows, found.column_names, shown(found.slice(0, 1).to_pylist()[0])


def by_datasets(folder: Path, table: str, cache: str) -> Found:
    """Load a config by its name: the card says which files it is."""
    datasets: Any = importlib.import_module("datasets")
    found = datasets.load_dataset(str(folder), table, split="train", cache_dir=cache)
    return found.num_rows, found.column_names, shown(found[0])


def shown(row: dict[str, Any]) -> list[str]:
    """Return the texts of a row: what all readers must agree on."""
    return [f"{name}={value}" for name, value in row.items() if isinstance(value, str)]


READERS: dict[str, Callable[[Path, str, str], Found]] = {
    "duckdb": by_duckdb, "pandas": by_pandas, "pyarrow": by_pyarrow, "datasets": by_datasets,
}  # fmt: skip


def main() -> None:
    """Read all tables with all readers."""
    folder = Path(sys.argv[1])
    tables = sorted(path.name for path in (folder / "data").iterdir())
    told = {name: {table: read(folder, table, sys.argv[2]) for table in tables} for name, read in READERS.items()}
    datasets: Any = importlib.import_module("datasets")
    configs = sorted(datasets.get_dataset_config_names(str(folder)))
    default = datasets.get_dataset_default_config_name(str(folder))
    sys.stdout.write(json.dumps({"readers": told, "configs": configs, "default": default}) + "\n")


if __name__ == "__main__":
    main()
