"""`--trust` of plan and fill, and where it is said who published a response."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrm.store.catalog import Catalog
from lrm_cli import exits
from tests import builders, pulled
from tests.cli.common import Json, Run, Small

ACME = "acme/r1@1a2b3c4d5e6f"
NASTY = "\x1b[31mred\x1b[0m\n\u202efolder"


@pytest.fixture
def filled(lrm: Run, small: Small, tmp_path: Path) -> Path:
    """The spec of two cells, filled; the response to the first came from acme, the other was received here."""
    spec = small("{seed = 1, comply_safe = 1, comply_unsafe = 0, partial = 0}")
    lrm("matrix", "fill", spec, "--quiet")
    pulled.mark(catalog_of(tmp_path), pulled.snapshot(catalog_of(tmp_path)), "x.messages LIKE '%bread%'")
    return spec


def catalog_of(folder: Path) -> Catalog:
    return Catalog(folder / "catalog.duckdb")


def test_plan_says_whose_results_it_rests_on(lrm: Run, lrm_json: Json, filled: Path) -> None:
    assert lrm("matrix", "plan", filled).stdout == (
        f"nothing to do: 2 of 2 cells are present\n1 of 2 present cells was pulled: 1 {ACME}\n"
    )
    assert lrm_json("matrix", "plan", filled)["pulled"] == [{"snapshot": ACME, "publisher": "acme", "cells": 1}]


def test_plan_says_what_would_be_missing_and_changes_nothing(
    lrm: Run, lrm_json: Json, filled: Path, tmp_path: Path
) -> None:
    before = catalog_of(tmp_path).path.read_bytes()
    told = lrm("matrix", "plan", filled, "--trust", "none").stdout
    assert told.startswith("small: 2 cells, 1 present, 1 missing: 1 call to make")
    assert "pulled" not in told
    plan = lrm_json("matrix", "plan", filled, "--trust", "none")
    assert (plan["done"], plan["missing"], plan["calls"], plan["pulled"]) == (1, 1, 1, [])
    for word in ("acme", "all"):
        plan = lrm_json("matrix", "plan", filled, "--trust", word)
        assert (plan["done"], len(plan["pulled"])) == (2, 1)
    assert lrm_json("matrix", "fill", filled, "--trust", "none", "--dry-run")["missing"] == 1
    assert catalog_of(tmp_path).path.read_bytes() == before


def test_fill_sets_trust_and_asks_for_the_rest(lrm: Run, lrm_json: Json, filled: Path) -> None:
    told = lrm("matrix", "fill", filled, "--trust", "none")
    assert "acme not trusted any more: of the calls, 1 lost their response\n" in told.stderr
    assert "1 response (0 blocked by the provider), 0 failed, 0 left, of 1 call planned" in told.stderr
    assert lrm_json("catalog", "verify")["problems"] == []
    plan = lrm_json("matrix", "plan", filled)
    assert (plan["nothing_to_do"], plan["pulled"]) == (True, [])
    again = lrm("matrix", "fill", filled, "--trust", "none")
    assert again.stderr.startswith("nothing to do: 2 of 2 cells are present\n")


def test_trust_stays_until_it_is_set_again(lrm: Run, lrm_json: Json, filled: Path) -> None:
    lrm("matrix", "fill", filled, "--trust", "none", "--limit", "0")
    assert lrm_json("matrix", "plan", filled)["missing"] == 1
    assert [one["trusted"] for one in lrm_json("catalog", "info")["snapshots"]] == [False]
    cell = "m/p/one/none"
    said = lrm_json("matrix", "why", cell)
    assert (said["state"], said["publisher"]) == ("missing", None)
    assert said["explanation"] == f"the response that came with {ACME} does not count: acme is not trusted"
    lrm("matrix", "fill", filled, "--trust", "acme")
    assert lrm_json("matrix", "plan", filled)["missing"] == 0
    assert lrm_json("matrix", "why", cell)["state"] == "done"


@pytest.mark.parametrize("command", ["plan", "fill"])
def test_wrong_words(lrm: Run, filled: Path, tmp_path: Path, command: str) -> None:
    before = catalog_of(tmp_path).path.read_bytes()
    told = lrm("matrix", command, filled, "--trust", "acne", code=exits.USAGE)
    assert "no snapshot of `acne` was pulled" in told.stderr
    assert "did you mean `acme`?" in told.stderr
    both = lrm("matrix", command, filled, "--trust", "none", "--trust", "acme", code=exits.USAGE)
    assert "`none` says whom to trust already" in both.stderr
    assert catalog_of(tmp_path).path.read_bytes() == before


def test_it_is_said_who_published(lrm: Run, lrm_json: Json, filled: Path) -> None:
    assert lrm("catalog", "info").stdout.count("acme/r1") == 1
    assert "acme/r1   1a2b3c4d5e6f  acme       yes              1  2026-01-01 00:00" in lrm("catalog", "info").stdout
    (one,) = lrm_json("catalog", "info")["snapshots"]
    assert (one["name"], one["publisher"], one["commit"], one["responses"]) == ("acme/r1", "acme", pulled.COMMIT, 1)
    said = lrm_json("matrix", "why", "m/p/one/none")
    assert said["publisher"] == ACME
    assert said["explanation"].endswith(f"by its publisher; came with {ACME}")
    assert lrm_json("matrix", "why", "m/p/two/none")["publisher"] is None
    (status,) = lrm_json("matrix", "status")
    assert status["pulled"] == [{"snapshot": ACME, "cells": 1}]
    assert f"{ACME}      1\n" in lrm("matrix", "status").stdout


def test_a_name_cannot_drive_the_terminal(lrm: Run, lrm_json: Json, filled: Path, tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path)
    pulled.mark(catalog, pulled.snapshot(catalog, NASTY), "x.messages LIKE '%bakery%'", run="snapshot:")
    for words in (
        ("matrix", "plan", filled), ("catalog", "info"), ("matrix", "status"), ("matrix", "why", "m/p/two/none"),
        ("matrix", "fill", filled, "--trust", "acme", "--limit", "0"), ("matrix", "why", "m/p/two/none"),
    ):  # fmt: skip
        told = lrm(*words)
        text = told.stdout + told.stderr
        assert "folder" in text
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.snapshots WHERE trusted") == [(1,)]
