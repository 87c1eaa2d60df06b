"""`lrm export`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from lrm.exports.export import FORMATS
from lrm_cli import exits, export_file
from tests.cli.common import Json, Run


def test_the_command_knows_the_engines_formats() -> None:
    assert export_file.FORMATS == FORMATS


def test_a_spec_is_exported_by_its_file_or_name_and_said(quickstart: Path, lrm: Run, lrm_json: Json) -> None:
    said = lrm("export", quickstart, "--format", "csv", "--out", "out.csv")
    assert said.stdout.startswith("out.csv  540 cells, ")
    assert said.stderr == ""
    with Path("out.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 540
    found = lrm_json("export", "quickstart", "--format", "jsonl", "--out", "out.jsonl")
    assert found["bytes"] == Path("out.jsonl").stat().st_size
    assert {**found, "bytes": 0} == {
        "spec": "quickstart", "format": "jsonl", "path": "out.jsonl", "files": 1, "bytes": 0, "cells": 540, "left_out": {},
    }  # fmt: skip


@pytest.mark.parametrize("form", ["inspect", "every-eval-ever", "helm"])
def test_folders_are_made_of_files(quickstart: Path, lrm: Run, form: str) -> None:
    said = lrm(
        "export", quickstart, "--format", form, "--out", "out", "--only", "model=sim-distilled", "--only", "attack=none"
    )
    files = [path for path in Path("out").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    shown = f"{len(files):,} files, " if len(files) > 1 else ""
    assert said.stdout == f"out  {shown}60 cells, {size:,} bytes\n"


def test_what_is_there_stays_unless_told_otherwise(quickstart: Path, lrm: Run) -> None:
    Path("out.csv").write_text("mine")
    words = ("export", quickstart, "--format", "csv", "--out", "out.csv")
    assert "is there already" in lrm(*words, code=exits.USAGE).stderr
    assert Path("out.csv").read_text() == "mine"
    lrm(*words, "--force")
    assert Path("out.csv").read_text("utf-8").startswith("spec,model,")


def test_what_is_not_known_is_said_with_the_nearest_name(quickstart: Path, lrm: Run) -> None:
    out = ("--format", "jsonl", "--out", "out")
    assert "did you mean `quickstart`" in lrm("export", "quickstrat", *out, code=exits.USAGE).stderr
    Path("other.toml").touch()
    assert "fill it first" in lrm("export", "other.toml", *out, code=exits.USAGE).stderr
    assert (
        "nothing of `quickstart` is model=x"
        in lrm("export", quickstart, *out, "--only", "model=x", code=exits.USAGE).stderr
    )
    assert "AXIS=GLOB" in lrm("export", quickstart, *out, "--only", "colour=red", code=exits.USAGE).stderr
    assert "texts are chosen for csv" in lrm("export", quickstart, *out, "--texts", code=exits.USAGE).stderr
    assert not Path("out").exists()


def test_cells_that_are_left_out_are_counted(quickstart: Path, lrm: Run) -> None:
    quickstart.write_text(quickstart.read_text("utf-8").replace("replicates = 1", "replicates = 2"), encoding="utf-8")
    lrm("matrix", "fill", quickstart, "--limit", "40", "--quiet")
    said = lrm("export", quickstart, "--format", "inspect", "--out", "logs")
    assert said.stderr == "left out: 500 missing\n"
    assert "580 cells" in said.stdout
    rows = json.loads(lrm("export", quickstart, "--format", "csv", "--out", "all.csv", "--json").stdout)
    assert (rows["cells"], rows["left_out"]) == (1080, {})
