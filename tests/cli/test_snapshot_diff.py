"""`lrm snapshot diff`: what a new commit changed, seen at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrm.store.catalog import Catalog
from lrm_cli import exits
from tests.cli.common import Json, Run, Small

FIRM = "{seed = 1, comply_safe = 1, comply_unsafe = 0, partial = 0}"
LOOSE = "{seed = 1, comply_safe = 1, comply_unsafe = 1, partial = 0}"


@pytest.fixture
def before(lrm: Run, small: Small, tmp_path: Path) -> Path:
    """A snapshot of the filled spec of two cells, in the folder `before`."""
    lrm("matrix", "fill", small(FIRM), "--quiet")
    lrm("snapshot", "export", "small", "before", "--quiet")
    return tmp_path / "before"


def counts(found: Any) -> dict[str, tuple[int | None, ...]]:
    return {one["what"]: (one["only_a"], one["only_b"], one["differ"], one["same"]) for one in found["counts"]}


def test_a_snapshot_and_the_catalog_that_made_it_are_the_same(lrm: Run, lrm_json: Json, before: Path) -> None:
    told = lrm("snapshot", "diff", "before", "spec:small", "--quiet")
    assert (told.stdout, told.stderr) == ("A: before\nB: spec:small\nno difference\n", "")
    found = lrm_json("snapshot", "diff", "small.toml", "before")
    assert found["same"]
    assert counts(found) == {
        "cells with a response": (0, 0, 0, 2), "responses": (0, 0, 0, 2), "verdicts": (0, 0, 0, 4),
        "labels": (0, 0, None, 0), "prompts": (0, 0, 0, 2), "declarations": (0, 0, 0, 4),
    }  # fmt: skip


def test_one_more_cell(lrm: Run, lrm_json: Json, before: Path, small: Small) -> None:
    spec = Path(small(FIRM))
    spec.write_text(
        spec.read_text().replace('"unsafe"},', '"unsafe"},\n    {id = "three", text = "And?", expect = "safe"},')
    )
    lrm("matrix", "fill", spec, "--quiet", "--update")
    lrm("snapshot", "export", "small", "after", "--quiet")
    found = lrm_json("snapshot", "diff", "before", "after")
    assert not found["same"]
    told = counts(found)
    assert (told["cells with a response"], told["verdicts"], told["prompts"]) == (
        (0, 1, 0, 2),
        (0, 2, 0, 4),
        (0, 1, 0, 2),
    )
    assert [(one["kind"], one["name"], one["how"]) for one in found["declarations"]] == [("prompt_set", "p", "another")]
    (group,) = found["groups"]
    assert (group["model"], group["only_a"], group["only_b"], group["verdicts_only_b"]) == ("m", 0, 1, 2)
    (answer, _) = found["rates"]
    assert (answer["expect"], answer["refusal_judged_a"], answer["refusal_judged_b"]) == ("safe", 1, 2)
    back = counts(lrm_json("snapshot", "diff", "after", "before"))
    assert back["cells with a response"] == (1, 0, 0, 2)


def test_a_model_that_is_declared_otherwise(lrm: Run, lrm_json: Json, before: Path, small: Small) -> None:
    lrm("matrix", "fill", small(LOOSE), "--quiet")
    lrm("snapshot", "export", "small", "after", "--quiet")
    found = lrm_json("snapshot", "diff", "before", "after")
    told = counts(found)
    assert (told["cells with a response"], told["responses"][:2]) == ((0, 0, 2, 0), (2, 2))
    (changed,) = found["declarations"]
    assert (changed["kind"], changed["name"], changed["how"]) == ("model", "m", "another")
    assert [field[1:] for field in changed["fields"] if field[0].endswith("comply_unsafe")] in (
        [["0", "1"]],
        [["0.0", "1.0"]],
    )
    (group,) = found["groups"]
    assert (group["asked_otherwise"], group["other_response"]) == (2, 0)
    text = lrm("snapshot", "diff", "before", "after").stdout
    assert "0.0 % of 1  100.0 % of 1" in text
    assert "asked otherwise" in text


def test_another_response_and_another_verdict(lrm: Run, lrm_json: Json, before: Path) -> None:
    with Catalog(Path("catalog.duckdb").absolute()).writing() as connection:
        connection.execute(
            "UPDATE lrm.verdicts SET unsafe = NOT unsafe, score = 1 - score WHERE label = 'full_refusal'"
        )
    lrm("snapshot", "export", "small", "after", "--quiet")
    found = lrm_json("snapshot", "diff", "before", "after")
    told = counts(found)
    assert told["verdicts"] == (0, 0, 2, 2)
    assert told["responses"] == (0, 0, 0, 2)
    (group,) = found["groups"]
    assert (group["verdicts_differ"], group["only_a"], group["only_b"]) == (2, 0, 0)
    assert {(one["unsafe_a"], one["unsafe_b"], one["harm_judged_b"]) for one in found["rates"]} == {(0, 1, 1)}


def test_words_that_name_no_snapshot(lrm: Run, before: Path) -> None:
    for side, said in (
        ("nowhere", "there is no folder nowhere"), ("spec:nothing", "knows no spec or import `nothing`"),
        ("./before/data", "is no snapshot"), ("spec:smal", "did you mean `small`?"),
    ):  # fmt: skip
        assert said in lrm("snapshot", "diff", "before", side, code=exits.USAGE).stderr


def test_a_damaged_side_is_refused(lrm: Run, before: Path) -> None:
    shard = next(before.glob("data/cells/*.parquet"))
    shard.write_bytes(shard.read_bytes() + b"\0")
    told = lrm("snapshot", "diff", "before", "spec:small", code=exits.USAGE)
    assert "and the manifest says" in told.stderr
    assert told.stdout == ""
