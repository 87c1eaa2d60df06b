"""`lrm judge evaluate|agreement`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrm.quality.agreement import Agreement
from lrm.quality.evaluate import Evaluation
from lrm.store.catalog import Catalog
from lrm_cli import exits, quality_page
from tests.cli.common import Json, Run
from tests.hostile import ALL, is_quiet

PEOPLE = """
INSERT INTO lrm.annotations
SELECT 'x'::BLOB, s.model_n, s.attack_n, v.prompt_n, v.replicate, v.generation_n, v.scope, $who, false, $rubric,
    {label}, NULL, {unsafe}, NULL, '[]', NULL, 'test'
FROM verdicts v
JOIN lrm.spec_spans p USING (spec) JOIN lrm.slices s ON s.span_n = p.span_n AND (s.model, s.attack) = (v.model, v.attack)
    AND s.prompt_set = v.prompt_set
WHERE v.scope = 'answer' AND v.status = 'ok'
"""


@pytest.fixture
def labelled(quickstart: Path, tmp_path: Path) -> Catalog:
    """Return the quickstart's catalog with two people's labels: `ann` says what the judge says, `ben` never «partial»."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    label(catalog, "ann", "v.label", unsafe="v.label = 'compliance'")
    label(catalog, "ben", "replace(v.label, 'partial_', 'full_')", unsafe="v.label = 'compliance'")
    return catalog


def label(catalog: Catalog, who: str, expression: str, *, unsafe: str = "NULL", rubric: str = "") -> None:
    with catalog.writing() as connection:
        connection.execute(PEOPLE.format(label=expression, unsafe=unsafe), {"who": who, "rubric": rubric})


def counted(catalog: Catalog, query: str) -> list[tuple[Any, ...]]:
    with catalog.reading() as connection:
        return connection.execute(query).fetchall()


def test_keys_are_the_fields() -> None:
    assert tuple(Evaluation.__dataclass_fields__) == quality_page.EVALUATION_KEYS
    assert tuple(Agreement.__dataclass_fields__) == quality_page.AGREEMENT_KEYS


def test_a_list_of_who_labelled_what(lrm: Run, lrm_json: Json, labelled: Catalog) -> None:
    told = lrm("judge", "evaluate")
    assert [line.split()[:3] for line in told.stdout.splitlines()[1:]] == [
        ["judge", "refusal", "answer"], ["judge", "refusal", "thinking"],
        ["annotator", "ann", "answer"], ["annotator", "ben", "answer"],
    ]  # fmt: skip
    assert "--against" in told.stderr
    assert [one["name"] for one in lrm_json("judge", "evaluate")["raters"]] == ["refusal", "refusal", "ann", "ben"]


def test_nobody_labelled_anything(lrm: Run, tmp_path: Path) -> None:
    with Catalog(tmp_path / "catalog.duckdb").writing():
        pass
    told = lrm("judge", "evaluate")
    assert told.stdout == ""
    assert "lrm import" in told.stderr
    assert "no two people" in lrm("judge", "agreement", code=exits.USAGE).stderr


def test_a_judge_that_is_always_right(lrm_json: Json, labelled: Catalog) -> None:
    found = lrm_json("judge", "evaluate", "refusal", "--against", "ann", "--by", "expect,model")
    (judged,) = counted(labelled, "SELECT count(*) FROM verdicts WHERE scope = 'answer' AND status = 'ok'")[0]
    assert found["overall"]["scores"]["n"] == judged
    assert found["overall"]["scores"]["accuracy"]["value"] == 1.0
    assert found["overall"]["scores"]["kappa"] == {"value": 1.0, "low": None, "high": None}
    assert (found["candidate"]["scope"], found["reference"]["name"]) == ("answer", "ann")
    assert {tuple(one["values"]) for one in found["strata"]} == set(
        counted(labelled, "SELECT DISTINCT expect, model FROM verdicts")
    )
    assert sum(one["scores"]["n"] for one in found["strata"]) == judged
    assert found["simulated"] == found["overall"]["counts"]["items"]


def test_the_page(lrm: Run, labelled: Catalog) -> None:
    told = lrm("judge", "evaluate", "refusal", "--against", "ben", "--by", "expect", "--positive", "compliance")
    assert told.stdout.startswith("judge refusal (answer) against annotator ben (answer): ")
    heads = [line.split()[0] for line in told.stdout.splitlines() if line.startswith(("expect", "ben \\"))]
    assert heads == ["expect", "expect", "ben", "expect"]
    (row,) = [line for line in told.stdout.splitlines() if line.startswith("all") and "(" in line]
    assert "TPR (compliance)" in told.stdout
    assert " to 1.000)" in row
    assert "come from simulated models" in told.stderr
    assert "nan" not in told.output.lower()


def test_classes_maps_and_harm(lrm: Run, lrm_json: Json, labelled: Catalog) -> None:
    words = ("judge", "evaluate", "refusal", "--against", "ben")
    merged = lrm_json(*words, "--classes", "refusal=full_refusal,partial_refusal", "--positive", "refusal")
    assert merged["classes"] == ["compliance", "refusal"]
    assert merged["overall"]["scores"]["accuracy"]["value"] == 1.0
    assert merged["overall"]["scores"]["binary"]["monitor_quality"] == 1.0
    harm = lrm_json(*words, "--unsafe", "--by", "expect")
    assert harm["classes"] == ["safe", "unsafe"]
    assert harm["overall"]["scores"]["binary"]["positive"] == "unsafe"
    assert [one["scores"]["n"] for one in harm["strata"] if one["values"] == ["safe"]] == [0]
    label(labelled, "cy", "CASE v.label WHEN 'compliance' THEN '1' ELSE '0' END")
    told = lrm("judge", "evaluate", "refusal", "--against", "cy", code=exits.USAGE)
    assert told.stdout == ""
    assert "the labels do not meet: judge refusal (answer) says `compliance`" in told.stderr
    assert "annotator cy (answer) says `0`, `1`" in told.stderr
    binary = lrm_json("judge", "evaluate", "refusal", "--against", "cy", "--map-against", "1=compliance", "--map-against",
                      "0=full_refusal", "--map-rater", "partial_refusal=full_refusal")  # fmt: skip
    assert binary["overall"]["scores"]["accuracy"]["value"] == 1.0


def test_policies(lrm: Run, lrm_json: Json, labelled: Catalog) -> None:
    with labelled.writing() as connection:
        connection.execute(
            "UPDATE lrm.verdicts SET status = 'unparsed', label = NULL, unsafe = NULL WHERE generation_n % 5 = 0"
        )
    words = ("judge", "evaluate", "refusal", "--against", "ann")
    left_out, wrong = (lrm_json(*words, "--unparsed", policy)["overall"] for policy in ("leave-out", "wrong"))
    unparsed = left_out["counts"]["undecided"]["unparsed"]
    assert unparsed > 0
    assert left_out["scores"]["accuracy"]["value"] == 1.0
    assert wrong["scores"]["n"] == left_out["scores"]["n"] + unparsed
    assert wrong["scores"]["accuracy"]["value"] == pytest.approx(left_out["scores"]["n"] / wrong["scores"]["n"])
    told = lrm(*words)
    assert f"looked at by refusal without a label, left out: {unparsed} unparsed" in told.stderr
    assert [line.split()[0] for line in told.stdout.split("without a label")[1].splitlines()[1:6]] == [
        "leave-out", "wrong", "compliance", "full_refusal", "partial_refusal",
    ]  # fmt: skip


def test_how_often_one_says_what(lrm: Run, lrm_json: Json, labelled: Catalog) -> None:
    told = lrm("judge", "evaluate", "ann", "--by", "expect").stdout.splitlines()
    assert told[0].split() == ["expect", "says", "compliance", "full_refusal", "partial_refusal", "left", "out"]
    (whole, *parts) = lrm_json("judge", "evaluate", "ann", "--by", "expect")["shares"]
    known = dict(counted(labelled, "SELECT label, count(*) FROM annotations WHERE annotator = 'ann' GROUP BY ALL"))
    assert {one["label"]: one["items"] for one in whole["labels"]} == known
    assert whole["labelled"] == sum(known.values()) == sum(one["labelled"] for one in parts)


def test_agreement(lrm: Run, lrm_json: Json, labelled: Catalog) -> None:
    found = lrm_json("judge", "agreement", "--by", "expect", "--seed", "3")
    assert [one["name"] for one in found["raters"]] == ["ann", "ben"]
    (alike,) = counted(
        labelled, "SELECT avg((label <> 'partial_refusal')::INT) FROM annotations WHERE annotator = 'ann'"
    )[0]
    assert found["overall"]["all_agree"]["value"] == found["overall"]["pairwise"]["value"] == pytest.approx(alike)
    assert found["overall"]["alpha"]["low"] < found["overall"]["alpha"]["value"] < found["overall"]["alpha"]["high"]
    assert (
        lrm_json("judge", "agreement", "ann", "ben", "refusal", "--scope", "answer")["overall"]["fleiss"]["labels_each"]
        == 3
    )
    ordered = "full_refusal,partial_refusal,compliance"
    told = lrm("judge", "agreement", "ann", "ben", "--level", "ordinal", "--order", ordered).stdout
    assert "alpha (ordinal)" in told
    assert "ann  ben" in told
    assert "needs an order" in lrm("judge", "agreement", "--level", "ordinal", code=exits.USAGE).stderr
    assert "two raters" in lrm("judge", "agreement", "ann", code=exits.USAGE).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("refusl",), "did you mean `refusal`?"),
        (("refusal", "--against", "anne"), "did you mean `ann`?"),
        (("refusal",), "--scope says which: answer, thinking"),
        (("refusal", "--against", "ann", "--scope", "thinking"), "has no label with scope `thinking`"),
        (("ann", "--against", "ann"), "no scope in common"),
        (("refusal", "--against", "ann", "--by", "categry"), "did you mean `category`?"),
        (("refusal", "--against", "ann", "--spec", "quickstrt"), "did you mean `quickstart`?"),
        (("refusal", "--against", "ann", "--unparsed", "leave"), "did you mean `leave-out`?"),
        (("refusal", "--against", "ann", "--positive", "refusal"), "did you mean"),
        (("refusal", "--against", "ann", "--map", "a"), "`a` is not FROM=TO"),
        (("refusal", "--against", "ann", "--map", "a=b", "--map", "a=c"), "is renamed to `b` and to `c`"),
        (("refusal", "--against", "ann", "--classes", "=a"), "is not NAME=LABEL"),
        (("refusal", "--against", "ann", "--classes", "x=compliance", "--classes", "y=compliance"), "two classes"),
        (("refusal", "--against", "ann", "--classes", "a", "--unsafe"), "exclude each other"),
        (("--against", "ann"), "needs a RATER"),
        (("\x1b[31m\u202e",), "no label by"),
    ],
)
def test_what_is_refused(lrm: Run, labelled: Catalog, words: tuple[str, ...], said: str) -> None:
    told = lrm("judge", "evaluate", *words, code=exits.USAGE)
    assert told.stdout == ""
    assert said in told.stderr
    is_quiet(told.output)


@pytest.mark.parametrize("words", [("evaluate",), ("evaluate", "ann"), ("agreement",)])
def test_without_a_catalog(lrm: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "there is no catalog at" in lrm("judge", *words, code=exits.USAGE).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_nasty_names_and_labels(lrm: Run, labelled: Catalog, form: list[str]) -> None:
    with labelled.writing() as connection:
        connection.execute(
            "UPDATE lrm.annotations SET annotator = annotator || ?, rubric = ?, label = label || ?", [ALL] * 3
        )
        connection.execute("UPDATE lrm.prompts SET category = [?, ?]", [ALL, ALL])
    for words in (("evaluate",), ("evaluate", f"ann{ALL}", "--against", f"ben{ALL}", "--by", "category"),
                  ("agreement", "--by", "category.0"), ("evaluate", f"ann{ALL}")):  # fmt: skip
        told = lrm("judge", *words, *form)
        is_quiet(told.output)
        assert "[31mred" in told.stdout
    is_quiet(lrm("judge", "evaluate", "refusal", "--against", f"ann{ALL}", *form, code=exits.USAGE).output)


def test_two_specs_can_be_told_apart(lrm: Run, lrm_json: Json, labelled: Catalog) -> None:
    assert lrm_json("judge", "evaluate", "ann", "--spec", "quickstart")["shares"][0]["labelled"] > 0
    assert lrm_json("judge", "evaluate", "--spec", "quickstart.toml") == lrm_json("judge", "evaluate")
