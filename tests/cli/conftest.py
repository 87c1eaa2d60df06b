"""Fixtures of the command line's tests: a runner in a folder of its own, and the quickstart filled once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lrm_cli.main import cli
from tests.cli.common import ROOT, Json, Run, Small, write_small


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, with none of the caller's settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("LRM_CATALOG", "LRM_DATA", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def lrm() -> Run:
    """Return a function that runs `lrm WORDS…` in this process; `code` is the exit code that it must end with."""

    def run(*words: str | Path, code: int = 0, **options: Any) -> Result:
        result = CliRunner().invoke(cli, [str(word) for word in words], **options)
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
        return result

    return run


@pytest.fixture
def lrm_json(lrm: Run) -> Json:
    """Return a function that runs `lrm WORDS… --json` and gives the value printed."""

    def run(*words: str | Path, code: int = 0) -> Any:
        return json.loads(lrm(*words, "--json", code=code).stdout)

    return run


@pytest.fixture(scope="session")
def _filled_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart")
    shutil.copy(ROOT / "specs" / "quickstart.toml", folder)
    words = ["matrix", "fill", str(folder / "quickstart.toml"), "--catalog", str(folder / "catalog.duckdb"), "--quiet"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return folder


@pytest.fixture
def quickstart(_filled_once: Path, tmp_path: Path) -> Path:
    """Return the quickstart spec in the working folder, beside its filled catalog."""
    for name in ("quickstart.toml", "catalog.duckdb"):
        shutil.copy(_filled_once / name, tmp_path)
    return tmp_path / "quickstart.toml"


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a function that writes a spec of two cells, whose model does as the TOML inline table says."""

    def write(simulation: str = "{seed = 1}", *, name: str = "small.toml") -> Path:
        return write_small(tmp_path, simulation, name=name)

    return write
