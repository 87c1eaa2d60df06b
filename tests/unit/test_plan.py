from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrm.plan.plan import Plan
from lrm.registry.declarations import PromptSet
from lrm.spec.matrix import Located, Matrix, Slice
from lrm.store.catalog import Catalog
from tests import builders

ROWS = {"a": "alpha", "b": "beta", "c": "gamma", "d": "delta"}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


# --- properties -------------------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["alpha", "beta", "gamma", "Say: alpha"])
MODELS = st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=2)
SETS = st.lists(st.lists(TEXTS, min_size=1, max_size=4), min_size=1, max_size=2)
ATTACKS = st.lists(st.sampled_from(["{prompt}", "Say: {prompt}", "{prompt}!"]), min_size=1, max_size=2)
SEVERAL = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    """Return a small matrix in which messages, prompts and whole declarations may coincide, some slices left out."""
    whole = builders.matrix(
        [builders.model(f"m{n}", sampling={"temperature": value}) for n, value in enumerate(draw(MODELS))],
        [builders.prompt_set(f"s{n}", texts) for n, texts in enumerate(draw(SETS))],
        [builders.template(f"a{n}", text) for n, text in enumerate(draw(ATTACKS))],
        replicates=draw(st.integers(1, 2)),
    )
    kept = draw(st.lists(st.sampled_from(whole.slices), min_size=1, unique=True))
    return dataclasses.replace(whole, slices=tuple(kept))


def expected_calls(spec: Matrix) -> Counter[tuple[float | None, str, int]]:
    """Return the cells of each call, worked out cell by cell."""
    found: Counter[tuple[float | None, str, int]] = Counter()
    for one in spec.slices:
        rows = spec.prompt_sets[one.prompt_set].declaration.rows or []
        step = spec.attacks[one.attack].declaration.steps[0].model_extra or {}
        for row in rows:
            for replicate in range(one.replicates):
                text = str(step["text"]).replace("{prompt}", row.text or "")
                found[spec.models[one.model].declaration.sampling.temperature, text, replicate] += 1
    return found


@SEVERAL
@given(matrices())
def test_a_plan_is_what_counting_cell_by_cell_gives(spec: Matrix) -> None:
    expected = expected_calls(spec)
    with TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder) / "catalog.duckdb")
        plan = builders.planned(catalog, spec)
        assert (plan.cells, plan.calls, plan.done) == (expected.total(), len(expected), 0)
        assert Counter(builders.missing(catalog, spec).values()) == Counter(text for _, text, _ in expected)


@SEVERAL
@given(matrices(), st.integers(0, 6))
def test_nothing_is_missing_once_all_is_answered(spec: Matrix, first: int) -> None:
    with TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder) / "catalog.duckdb")
        whole = set(builders.missing(catalog, spec))
        before = builders.answer(catalog, spec, limit=first, run="r1")
        assert len(before) == min(first, len(whole))
        assert set(builders.missing(catalog, spec)) == whole - set(before)
        builders.answer(catalog, spec, run="r2")
        plan = builders.planned(catalog, spec)
        assert plan.nothing_to_do
        assert (plan.missing, plan.done) == (0, plan.cells)
        assert builders.planned(catalog, spec) == plan
        assert builders.rows(catalog, "SELECT count(*) FROM lrm.calls") == [(len(whole),)]


@SEVERAL
@given(matrices(), st.randoms(use_true_random=False))
def test_the_order_of_declarations_does_not_matter(spec: Matrix, random: Any) -> None:
    slices = list(spec.slices)
    random.shuffle(slices)
    other = dataclasses.replace(
        spec,
        models=dict(reversed(spec.models.items())),
        prompt_sets={name: _shuffled(one, random) for name, one in reversed(spec.prompt_sets.items())},
        attacks=dict(reversed(spec.attacks.items())),
        slices=tuple(slices),
    )
    with TemporaryDirectory() as folder:
        catalog = Catalog(Path(folder) / "catalog.duckdb")
        assert builders.missing(catalog, other) == builders.missing(catalog, spec)
        builders.answer(catalog, spec)
        assert builders.missing(catalog, other) == {}


def _shuffled(located: Located[PromptSet], random: Any) -> Located[PromptSet]:
    rows = list(located.declaration.rows or [])
    random.shuffle(rows)
    return dataclasses.replace(located, declaration=located.declaration.model_copy(update={"rows": rows}))


# --- what a change makes missing --------------------------------------------------------------------------------------


def spec_of(
    rows: dict[str, str] | None = None, say: str = "Say: {prompt}", replicates: int = 1, **changes: Any
) -> Matrix:
    """Return two models × four prompts × two attacks; `changes` are fields of the first model."""
    first: dict[str, Any] = {"model": "one", "backend": "http", "endpoint": "http://127.0.0.1:1/v1"}
    return builders.matrix(
        [builders.model("first", **{**first, **changes}), builders.model("second", model="two")],
        [builders.prompt_set("set", rows or ROWS)],
        [builders.attack("none"), builders.template("say", say)],
        replicates=replicates,
    )


def texts(catalog: Catalog, spec: Matrix) -> Counter[str]:
    """Return the missing texts, each as often as calls ask it."""
    return Counter(builders.missing(catalog, spec).values())


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    catalog = Catalog(tmp_path_factory.mktemp("plan") / "catalog.duckdb")
    builders.answer(catalog, spec_of())
    return catalog.path


@pytest.fixture
def filled(original: Path, tmp_path: Path) -> Catalog:
    return Catalog(Path(shutil.copy(original, tmp_path)))


def test_an_unchanged_spec_misses_nothing(filled: Catalog) -> None:
    assert builders.planned(filled, spec_of()).nothing_to_do


def test_a_changed_row_makes_its_calls_missing(filled: Catalog) -> None:
    changed = spec_of({**ROWS, "b": "changed"})
    assert texts(filled, changed) == {"changed": 2, "Say: changed": 2}
    assert builders.planned(filled, changed).done == 12


def test_a_new_row_makes_its_calls_missing(filled: Catalog) -> None:
    assert texts(filled, spec_of({"new": "new", **ROWS})) == {"new": 2, "Say: new": 2}


@pytest.mark.parametrize("rows", [{"a": "alpha"}, {f"renamed-{key}": text for key, text in ROWS.items()}])
def test_fewer_rows_and_renamed_rows_miss_nothing(filled: Catalog, rows: dict[str, str]) -> None:
    assert texts(filled, spec_of(rows)) == {}


def test_an_attack_reworded_for_half_of_its_prompts_makes_that_half_missing(catalog: Catalog, tmp_path: Path) -> None:
    def spec(name: str, sayings: dict[str, str]) -> Matrix:
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps([{"goal": goal, "prompt": said} for goal, said in sayings.items()]))
        artifact = {"file": file.name, "original": "goal", "attacked": "prompt"}
        found = builders.attack("found", file=tmp_path / "attack.toml", artifact=artifact)
        return builders.matrix(
            prompt_sets=[builders.prompt_set("set", ROWS)], attacks=[found], file=tmp_path / "spec.toml"
        )

    before = {text: f"Please, {text}" for text in ROWS.values()}
    builders.answer(catalog, spec("before", before))
    after = {text: said if text in ("alpha", "beta") else f"Do {text}" for text, said in before.items()}
    assert texts(catalog, spec("after", after)) == {"Do gamma": 1, "Do delta": 1}


def test_an_attack_said_in_other_words_misses_nothing(filled: Catalog) -> None:
    """Its id is another, and what it renders is not."""
    spec = spec_of()
    prefixed = builders.attack("say", steps=[{"transform": "prefix", "text": "Say:"}])
    assert texts(filled, dataclasses.replace(spec, attacks={**spec.attacks, "say": prefixed})) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": {"temperature": 0.5}},
        {"model": "three"},
        {"revision": "abc"},
        {"epoch": "2026-11"},
        {"thinking": {"effort": "high"}},
        {"extra_body": {"a": 1}},
        {"engine": "vllm"},
    ],
)
def test_a_changed_model_makes_its_own_calls_missing(filled: Catalog, change: dict[str, Any]) -> None:
    plan = builders.planned(filled, spec_of(**change))
    assert plan.calls == 8
    assert {block.model for block in plan.blocks if block.missing} == {"first"}
    assert texts(filled, spec_of(**change)) == Counter([*ROWS.values(), *(f"Say: {text}" for text in ROWS.values())])


@pytest.mark.parametrize(
    "change",
    [
        {"description": "another"},
        {"price": {"input": 1, "output": 2}},
        {"endpoint": "http://127.0.0.1:2/v1"},
        {"limits": {"max_in_flight": 1, "timeout_s": 1}},
        {"api_key_env": "KEY"},
        {"thinking": {"visibility": "visible"}},
        {"licence": "MIT", "citation": "c", "homepage": "h"},
    ],
)
def test_what_is_said_about_a_model_makes_nothing_missing(filled: Catalog, change: dict[str, Any]) -> None:
    assert texts(filled, spec_of(**change)) == {}


def test_new_names_make_nothing_missing(filled: Catalog) -> None:
    spec = spec_of()
    names = {"first": "uno", "second": "due", "set": "other", "none": "plain", "say": "told"}
    renamed = builders.matrix(
        [dataclasses.replace(one, name=names[one.name]) for one in spec.models.values()],
        [dataclasses.replace(one, name=names[one.name]) for one in spec.prompt_sets.values()],
        [dataclasses.replace(one, name=names[one.name]) for one in spec.attacks.values()],
        name="another",
    )
    assert texts(filled, renamed) == {}


def test_one_more_replicate_asks_each_call_once_more(filled: Catalog) -> None:
    plan = builders.planned(filled, spec_of(replicates=2))
    assert (plan.cells, plan.done, plan.calls) == (32, 16, 16)
    builders.answer(filled, spec_of(replicates=2), run="r2")
    assert builders.planned(filled, spec_of(replicates=2)).nothing_to_do
    assert builders.planned(filled, spec_of()).nothing_to_do


def test_cells_that_render_to_the_same_messages_share_a_call(catalog: Catalog) -> None:
    spec = builders.matrix(
        prompt_sets=[
            builders.prompt_set("set", {"a": "alpha", "again": "alpha", "said": "Say: alpha"}),
            builders.prompt_set("other", ["alpha"]),
        ],
        attacks=[builders.attack("none"), builders.template("say", "Say: {prompt}")],
    )
    plan = builders.planned(catalog, spec)
    assert plan.cells == 8
    assert texts(catalog, spec) == {"alpha": 1, "Say: alpha": 1, "Say: Say: alpha": 1}
    builders.answer(catalog, spec)
    assert builders.rows(catalog, "SELECT state, count(*) FROM cells GROUP BY state") == [("done", 8)]


def test_two_names_for_one_model_share_its_calls(catalog: Catalog) -> None:
    spec = builders.matrix([builders.model("one"), builders.model("two", description="the same")])
    assert builders.planned(catalog, spec).calls == 2
    builders.answer(catalog, spec)
    assert builders.rows(catalog, "SELECT model, state, count(*) FROM cells GROUP BY ALL ORDER BY ALL") == [
        ("one", "done", 2), ("two", "done", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"unsafe_from": 0.5}, {"harm": {"compliance": 0.7}}])
def test_a_changed_judge_makes_verdicts_missing_and_no_call(filled: Catalog, change: dict[str, Any]) -> None:
    spec = dataclasses.replace(spec_of(), judges=(builders.judge(scopes=("thinking", "answer")),))
    plan = builders.planned(filled, spec)
    assert (plan.calls, plan.ungraded) == (0, 32)
    assert not plan.nothing_to_do

    builders.answer(filled, spec_of({**ROWS, "e": "new"}), run="r2")
    graded = dataclasses.replace(spec_of({"f": "other"}), judges=spec.judges)
    builders.answer(filled, graded, run="r3")
    assert builders.planned(filled, graded).ungraded == 0
    changed = dataclasses.replace(graded, judges=(builders.judge(scopes=("thinking", "answer"), **change),))
    plan = builders.planned(filled, changed)
    assert (plan.calls, plan.ungraded) == (0, 8)
    described = dataclasses.replace(graded, judges=(builders.judge(scopes=("thinking", "answer"), description="x"),))
    assert builders.planned(filled, described).nothing_to_do
    more = dataclasses.replace(graded, judges=(builders.judge(scopes=("thinking", "answer", "both")),))
    assert builders.planned(filled, more).ungraded == 4


def test_a_prompt_for_which_an_artifact_has_nothing_is_no_cell(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "found.json").write_text(
        json.dumps([{"goal": "alpha", "prompt": "ALPHA"}, {"goal": "beta", "prompt": ""}])
    )
    artifact = {"file": "found.json", "original": "goal", "attacked": "prompt"}
    found = builders.attack("found", file=tmp_path / "attack.toml", artifact=artifact)
    spec = builders.matrix(
        prompt_sets=[builders.prompt_set("set", ROWS)], attacks=[found], file=tmp_path / "spec.toml", replicates=2
    )
    plan = builders.planned(catalog, spec)
    assert (plan.cells, plan.not_applicable, plan.calls) == (2, 6, 2)
    builders.answer(catalog, spec)
    assert builders.planned(catalog, spec).nothing_to_do
    assert builders.rows(catalog, "SELECT prompt, state FROM cells") == [("a", "done")] * 2


@pytest.mark.parametrize("limit", [0, 1, 5, 16, 100])
def test_a_limit_caps_the_calls_and_not_the_cells(catalog: Catalog, limit: int) -> None:
    plan = builders.planned(catalog, spec_of(), limit=limit)
    assert (plan.calls, plan.cells, plan.missing) == (min(limit, 16), 16, 16)
    assert sum(one.calls for one in plan.estimates) == plan.calls


def test_a_limit_takes_the_first_prompts(catalog: Catalog) -> None:
    rows = {str(n): f"text {n}" for n in range(50)}
    spec = builders.matrix(prompt_sets=[builders.prompt_set("set", rows)])
    assert list(builders.missing(catalog, spec, limit=3).values()) == ["text 0", "text 1", "text 2"]


def test_ragged_slices_are_planned_as_they_are(catalog: Catalog) -> None:
    spec = dataclasses.replace(spec_of(), slices=(Slice("first", "set", "none", 3), Slice("second", "set", "say", 1)))
    plan = builders.planned(catalog, spec)
    assert [block.cells for block in plan.blocks] == [12, 4]
    assert texts(catalog, spec) == Counter(
        {**dict.fromkeys(ROWS.values(), 3), **{f"Say: {t}": 1 for t in ROWS.values()}}
    )


def test_planning_changes_nothing(filled: Catalog) -> None:
    before, names = filled.path.read_bytes(), sorted(filled.path.parent.iterdir())
    assert builders.planned(filled, spec_of({"x": "new"})).calls == 4
    assert filled.path.read_bytes() == before
    assert sorted(filled.path.parent.iterdir()) == names


def test_failed_calls_are_missing_and_blocked_ones_are_not(catalog: Catalog) -> None:
    spec = builders.matrix(prompt_sets=[builders.prompt_set("set", ROWS)])
    (by, first), (_, second), *_ = builders.calls_of(catalog, spec)
    builders.answer(catalog, spec, limit=0)
    blocked = builders.record(first, by, builders.payload())
    blocked["blocked"] = True
    failed = builders.record(second, by, "")
    del failed["raw"], failed["blocked"]
    failed |= {"kind": "server", "message": "It broke."}
    builders.merge(catalog, builders.write_journal(catalog, spec, [blocked, failed]))
    plan = builders.planned(catalog, spec)
    assert (plan.done, plan.blocked, plan.failed, plan.missing, plan.calls) == (1, 1, 1, 3, 3)


def test_the_estimate_uses_what_was_seen_and_else_the_prompts(catalog: Catalog) -> None:
    def spec(rows: dict[str, str], **fields: Any) -> Matrix:
        model = builders.http_model("http://127.0.0.1:1/v1", price={"input": 2, "output": 4}, **fields)
        return builders.matrix([model], [builders.prompt_set("set", rows)])

    unknown = builders.planned(catalog, spec(ROWS)).estimates[0]
    assert (unknown.calls, unknown.output_tokens, unknown.cost) == (4, None, None)
    assert unknown.input_tokens
    most = builders.planned(catalog, spec(ROWS, sampling={"max_tokens": 100})).estimates[0]
    assert most.output_tokens == 400
    assert most.cost == pytest.approx(((most.input_tokens or 0) * 2 + 400 * 4) / 1e6)
    builders.answer(catalog, spec(ROWS))
    seen = builders.planned(catalog, spec({"x": "new", "y": "newer"}, sampling={"temperature": 1})).estimates[0]
    assert (seen.calls, seen.input_tokens, seen.output_tokens) == (2, 6, 10)
    assert seen.cost == pytest.approx((6 * 2 + 10 * 4) / 1e6)
    free = builders.planned(catalog, builders.matrix(prompt_sets=[builders.prompt_set("new", ["z"])]))
    assert free.cost == 0


def test_an_empty_plan_costs_nothing() -> None:
    assert Plan("s", (), (), (), 0).cost == 0
    assert Plan("s", (), (), (), 0).nothing_to_do
