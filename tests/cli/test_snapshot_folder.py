"""`lrm snapshot` with folders: export, verify, pull, list what was pulled, and a fill that takes from one first."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lrm.store.catalog import Catalog
from lrm_cli import exits
from tests import builders, pulled
from tests.cli.common import Json, Run, Small

NASTY = "\x1b[31mred\x1b[0m\u202e"


@pytest.fixture
def shared(lrm: Run, small: Small, tmp_path: Path) -> Path:
    """A folder with the snapshot of the filled spec of two cells; the catalog is named `theirs.duckdb`."""
    lrm("matrix", "fill", small(), "--quiet", "--catalog", "theirs.duckdb")
    lrm("snapshot", "export", "small", "shared", "--catalog", "theirs.duckdb", "--quiet")
    return tmp_path / "shared"


def state(*files: Path) -> dict[str, str]:
    """Return what is in these files, and which others are beside them."""
    found = {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in files}
    return found | {"beside": ",".join(sorted(one.name for one in files[0].parent.iterdir()))}


# --- export -----------------------------------------------------------------------------------------------------------


def test_export_says_what_went(lrm: Run, lrm_json: Json, quickstart: Path) -> None:
    told = lrm("snapshot", "export", quickstart, "shared")
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["table", "rows", "files", "size", "withheld"]
    rows = {line.split()[0]: line.split()[1:3] for line in lines[1:]}
    assert rows["cells"] == ["540", "1"]
    assert rows["verdicts"] == ["1,080", "1"]
    files = list(Path("shared").glob("data/*/*.parquet"))
    assert int(rows["together"][1]) == len(files)
    assert "  lrm snapshot publish " in told.stderr
    assert lrm_json("snapshot", "verify", "shared")["sound"] is True


def test_a_dry_run_writes_nothing_and_knows_the_sizes(lrm: Run, lrm_json: Json, quickstart: Path) -> None:
    before = state(Path("catalog.duckdb"))
    planned = lrm_json("snapshot", "export", "quickstart", "shared", "--dry-run")
    assert state(Path("catalog.duckdb")) == before
    done = lrm_json("snapshot", "export", "quickstart", "shared")
    assert planned == done | {"dry_run": True}
    assert done["bytes"] == sum(one.stat().st_size for one in Path("shared").glob("data/*/*.parquet"))
    assert sum(one["bytes"] for one in done["tables"]) == done["bytes"]
    told = lrm("snapshot", "export", "quickstart", "other", "--dry-run").stdout
    assert told.endswith("nothing was written to other\n")


def test_what_is_withheld_is_said(lrm: Run, lrm_json: Json, quickstart: Path) -> None:
    told = lrm("snapshot", "export", "quickstart", "shared", "--texts", "prompts=none", "--texts", "judgements=hashed")
    assert "withheld: the 60 prompts of " in told.stderr
    assert "texts of judgements" in told.stderr
    assert "60 without text" in told.stdout
    got = lrm_json("snapshot", "export", "quickstart", "again", "--texts", "none")
    assert got["texts"] == {"prompts": "none", "responses": "none", "judgements": "none"}
    assert all(one["withheld"] for one in got["tables"] if one["table"] in ("prompts", "messages", "traces"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nothing", "shared"), "knows no spec or import `nothing`"),
        (("small", "shared", "--texts", "prompt=none"), "`prompt=none` says nothing of texts"),
        (("small", "shared", "--only", "modell=x"), "did you mean `model`?"),
        (("small", "shared", "--only", "model=x"), "no model matches"),
        (("small", "there"), "there is a snapshot at"),
        (("small", "full"), "holds something else than a snapshot"),
    ],
)
def test_wrong_words(lrm: Run, shared: Path, words: tuple[str, ...], said: str) -> None:
    shared.rename("there")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine")
    before = state(Path("theirs.duckdb"))
    told = lrm("snapshot", "export", *words, "--catalog", "theirs.duckdb", "--quiet", code=exits.USAGE)
    assert said in told.stderr
    assert state(Path("theirs.duckdb")) == before


def test_force_replaces_a_snapshot(lrm: Run, shared: Path) -> None:
    before = (shared / "manifest.json").read_bytes()
    (shared / "manifest.json").write_text("{}")
    lrm("snapshot", "export", "small", "shared", "--catalog", "theirs.duckdb", "--force", "--quiet")
    assert (shared / "manifest.json").read_bytes() == before


# --- verify -----------------------------------------------------------------------------------------------------------


def test_verify_names_the_fault_and_ends_with_1(lrm: Run, lrm_json: Json, shared: Path) -> None:
    assert lrm("snapshot", "verify", "shared", "--quiet").stdout.startswith("sound: shared, ")
    whole = lrm_json("snapshot", "verify", "shared")
    assert (whole["rows"]["generations"], whole["files"], whole["fault"]) == (
        2,
        len(list(shared.glob("data/*/*"))),
        None,
    )
    shard = next(shared.glob("data/verdicts/*.parquet"))
    body = shard.read_bytes()
    shard.write_bytes(body[:-5] + b"x" + body[-4:])
    told = lrm("snapshot", "verify", "shared", "--quiet", code=exits.CELLS_FAILED)
    assert told.stdout.startswith("not sound: ")
    assert shard.name in told.stdout
    bad = lrm_json("snapshot", "verify", "shared", code=exits.CELLS_FAILED)
    assert (bad["sound"], bad["name"]) == (False, "shared")
    assert shard.name in bad["fault"]
    assert lrm("snapshot", "verify", "nowhere", code=exits.USAGE).stderr.startswith("error: there is no folder nowhere")


# --- pull -------------------------------------------------------------------------------------------------------------


def test_pull_brings_all_and_a_fill_asks_for_nothing(lrm: Run, lrm_json: Json, shared: Path) -> None:
    told = lrm("snapshot", "pull", "shared", "--quiet").stdout
    assert told.startswith(
        "shared: 2 new responses of small for 2 calls without one, 4 new verdicts, 0 new labels, 2 new prompts\n"
    )
    assert lrm_json("catalog", "verify")["problems"] == []
    assert lrm_json("matrix", "fill", "small.toml", "--quiet")["calls"] == 0
    before = state(Path("catalog.duckdb"))
    again = lrm_json("snapshot", "pull", "./shared")
    assert (again["responses"], again["name"], bool(again["merged_before"])) == (0, "shared", True)
    assert state(Path("catalog.duckdb")) == before, "what was merged whole is not merged again"
    assert "shared: nothing new, it was merged 20" in lrm("snapshot", "pull", "shared").stdout


def test_a_bad_snapshot_changes_nothing(lrm: Run, lrm_json: Json, shared: Path, small: Small) -> None:
    told = json.loads((shared / "manifest.json").read_text())
    told["counts"]["generations"] = 3
    shutil.copytree(shared, "bad")
    Path("bad/manifest.json").write_text(json.dumps(told))
    refused = lrm("snapshot", "pull", "bad", code=exits.USAGE)
    assert "the manifest counts 3 generations, and there are 2" in refused.stderr
    assert not Path("catalog.duckdb").exists()
    lrm("matrix", "fill", small(name="other.toml"), "--quiet", "--limit", "1")
    before = state(Path("catalog.duckdb"))
    for words in (("snapshot", "pull", "bad"), ("matrix", "fill", "small.toml", "--from", "bad")):
        lrm(*words, "--quiet", code=exits.USAGE)
        assert state(Path("catalog.duckdb")) == before
    lrm("snapshot", "verify", "bad", "--quiet", code=exits.CELLS_FAILED)
    assert state(Path("catalog.duckdb")) == before


def test_a_second_response_is_kept_beside_the_first(lrm: Run, lrm_json: Json, shared: Path, small: Small) -> None:
    lrm("snapshot", "pull", "shared", "--quiet")
    lrm("matrix", "fill", small(), "--quiet", "--catalog", "mine.duckdb")
    catalog = Catalog(Path("mine.duckdb").absolute())
    first = [n for (n,) in builders.rows(catalog, "SELECT n FROM lrm.generations")]
    for (call,) in builders.rows(catalog, "SELECT id FROM lrm.calls"):
        pulled.other_response(catalog, call, builders.payload("Another answer."), at="2020-01-01")
    with catalog.writing() as connection:  # as if the model had said something else here
        for table, column in (("verdicts", "generation_n"), ("traces", "generation_n"), ("generations", "n")):
            connection.execute(f"DELETE FROM lrm.{table} WHERE list_contains(?, {column})", [first])
        connection.execute("UPDATE lrm.calls SET generation_n = g.n FROM lrm.generations g WHERE g.call_n = calls.n")
    told = lrm("snapshot", "pull", "shared", "--catalog", "mine.duckdb")
    assert "2 responses to calls that had another one: kept beside the first\n" in told.stderr
    got = lrm_json("snapshot", "diff", "shared", "spec:small", "--catalog", "mine.duckdb")
    (responses,) = (one for one in got["counts"] if one["what"] == "responses")
    assert (responses["only_a"], responses["only_b"], responses["same"]) == (0, 2, 2)


def test_what_waits_for_prompts_is_said_and_taken_by_a_fill(lrm: Run, lrm_json: Json, shared: Path) -> None:
    lrm(
        "snapshot", "export", "small", "hidden", "--texts", "prompts=hashed", "--catalog", "theirs.duckdb", "--quiet"
    )  # fmt: skip
    told = lrm("snapshot", "pull", "hidden")
    assert told.stdout.startswith("hidden: 0 new responses of small")
    assert "2 responses wait for prompts that are withheld:\n  p (2 prompts): " in told.stderr
    assert "`lrm matrix fill small.toml --from hidden`" in told.stderr
    dry = lrm("matrix", "fill", "small.toml", "--from", "hidden", "--dry-run")
    assert "2 cells came from hidden\nno cell is left to ask for\n" in dry.stderr
    assert lrm_json("matrix", "plan", "small.toml")["missing"] == 2, "a dry run changes nothing"
    filled = lrm("matrix", "fill", "small.toml", "--from", "hidden", "--json")
    assert json.loads(filled.stdout)["calls"] == 0
    assert "2 cells came from hidden\nno cell is left to ask for\n" in filled.stderr
    assert lrm_json("catalog", "verify")["problems"] == []


def test_a_fill_asks_only_for_what_is_left(lrm: Run, lrm_json: Json, shared: Path, small: Small) -> None:
    spec = Path(small())
    spec.write_text(spec.read_text() + '\n[prompt_sets.q]\nrows = [{id = "three", text = "And now?"}]\n')
    spec.write_text(spec.read_text().replace('prompt_sets = ["p"]', 'prompt_sets = ["p", "q"]'))
    before = state(spec)
    dry = lrm("matrix", "fill", spec, "--from", "shared", "--dry-run")
    assert state(spec) == before
    assert "2 cells came from shared\n1 cell of 3 left to ask for\n" in dry.stderr
    done: Any = lrm("matrix", "fill", spec, "--from", "./shared", "--json", "--quiet")
    assert (json.loads(done.stdout)["calls"], done.stderr) == (1, "")
    plan = lrm_json("matrix", "plan", spec)
    assert (plan["missing"], plan["pulled"]) == (0, [{"snapshot": "shared", "publisher": "shared", "cells": 2}])
    again = lrm("matrix", "fill", spec, "--from", "shared")
    assert "0 cells came from shared (2 were here from it before)\n" in again.stderr


def test_results_of_those_who_are_not_trusted_fill_nothing(lrm: Run, lrm_json: Json, shared: Path) -> None:
    dry = lrm("matrix", "fill", "small.toml", "--from", "shared", "--trust", "none", "--dry-run")
    assert "2 cells of 2 left to ask for\n" in dry.stderr
    done = lrm("matrix", "fill", "small.toml", "--from", "shared", "--trust", "none", "--json", "--quiet")
    assert json.loads(done.stdout)["calls"] == 2
    assert [one["trusted"] for one in lrm_json("snapshot", "list", "--pulled")] == [False]


# --- list -------------------------------------------------------------------------------------------------------------


def test_list_of_what_was_pulled(lrm: Run, lrm_json: Json, shared: Path) -> None:
    assert lrm("snapshot", "list", "--pulled").stderr == "nothing was pulled\n"
    lrm("snapshot", "pull", "shared", "--quiet")
    (one,) = lrm_json("snapshot", "list", "--pulled")
    assert (one["name"], one["trusted"], one["responses"], one["specs"]) == ("shared", True, 2, ["small"])
    heads, row = lrm("snapshot", "list", "--pulled").stdout.splitlines()
    assert heads.split() == ["snapshot", "pulled", "(UTC)", "commit", "publisher", "trusted", "responses", "specs"]
    assert row.startswith("shared    20")
    assert lrm_json("snapshot", "list", "--pulled", "--search", "r1") == []


def test_names_cannot_drive_the_terminal(lrm: Run, lrm_json: Json, shared: Path) -> None:
    folder = f"a{NASTY}b"
    shared.rename(folder)
    for words in (
        ("snapshot", "verify", folder), ("snapshot", "pull", folder), ("snapshot", "list", "--pulled"),
        ("snapshot", "diff", folder, "spec:small", "--catalog", "theirs.duckdb"),
        ("matrix", "fill", "small.toml", "--from", folder),
    ):  # fmt: skip
        for told in (lrm(*words), lrm(*words, "--json")):
            assert "red" in told.stdout + told.stderr, words
            assert "\x1b" not in told.stdout + told.stderr, words
            assert "\u202e" not in told.stdout + told.stderr, words
