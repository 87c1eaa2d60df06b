"""Snapshots as DuckDB, pandas, pyarrow and `datasets` read them, with no code of ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lrm.snapshot.choice import choice_of
from lrm.snapshot.tables import BY_NAME
from tests import snapshot_forge

ROOT = Path(__file__).resolve().parents[2]
READERS = Path(os.environ.get("LRM_READERS_PYTHON") or ROOT / ".venv/readers/bin/python")
"""The Python that has `datasets`, pandas and DuckDB."""


@pytest.fixture(scope="module", params=["whole", "withheld"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a snapshot with rows in every table; the readers cannot tell a column of nothing but NULL by its values."""
    made = tmp_path_factory.mktemp("made")
    choice = choice_of(texts=["hashed"] if request.param == "withheld" else [])
    return snapshot_forge.exported(snapshot_forge.full(made), made / "out", choice=choice).folder


@pytest.fixture(scope="module")
def told(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the readers found, asked in their own environment and without a network."""
    if not READERS.is_file():
        pytest.skip(f"`datasets` and pandas are not installed at {READERS}")
    cache = tmp_path_factory.mktemp("cache")
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [str(READERS), "-P", str(Path(__file__).with_name("read_snapshot.py")), str(folder), str(cache)]
    done = subprocess.run(command, capture_output=True, check=False, text=True, encoding="utf-8", env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("reader", ["duckdb", "pandas", "pyarrow", "datasets"])
def test_a_reader_finds_every_table_whole(told: dict[str, Any], folder: Path, reader: str) -> None:
    counts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["counts"]
    found = told["readers"][reader]
    assert set(found) == {table for table in BY_NAME if table in counts}
    for table, (rows, columns, first) in found.items():
        assert rows == counts[table]
        assert columns == list(BY_NAME[table].names)
        assert first == told["readers"]["pyarrow"][table][2]


def test_each_table_is_a_config(told: dict[str, Any], folder: Path) -> None:
    counts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["counts"]
    assert set(told["configs"]) == {table for table in BY_NAME if table in counts}
    assert told["default"] in told["configs"]
