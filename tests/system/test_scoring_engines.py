"""Reward judges by engines of vLLM's, over stand-ins: when weights are loaded, what is asked, what becomes of what is said.

The engines themselves are tested for real in tests/vllm/test_pooling.py.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lrm.engines.settings import settings_of
from lrm.errors import JudgeError, ModelError
from lrm.judges.judge import Subject
from lrm.judges.reward_vllm import VllmScorer, activated, weights_of
from lrm.registry.judges import RewardJudge
from lrm.run import session as sessions
from lrm.run.fill import fill
from lrm.spec.matrix import ChosenJudge, Located, Matrix
from lrm.store.catalog import Catalog
from tests import builders
from tests.pooled_stand_in import Pooled, PoolingExecutor, vector

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROMPTS = [f"prompt {number}" for number in range(6)]
ANSWERED = """
SELECT t.answer, v.status, v.detail FROM lrm.verdicts v JOIN lrm.traces t USING (generation_n) ORDER BY t.answer
"""


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> PoolingExecutor:
    found = PoolingExecutor()
    monkeypatch.setattr(sessions, "open_executor", lambda *_: found)
    return found


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


def declared(checkpoint: str = "org/reward", **more: Any) -> RewardJudge:
    told = {"kind": "reward", "checkpoint": checkpoint, "revision": COMMIT, "engine": "vllm", **more}
    return RewardJudge.model_validate(told)


def chosen(name: str = "reward", **more: Any) -> ChosenJudge:
    return ChosenJudge(Located(name, declared(**more), builders.SPEC), ("answer",))


def matrix(*judges: ChosenJudge) -> Matrix:
    return builders.matrix(prompt_sets=[builders.prompt_set("set", PROMPTS)], judges=judges)


def loads(executor: PoolingExecutor) -> list[str]:
    return [line for line in executor.log if line.startswith("start")]


def scorer(**more: Any) -> tuple[VllmScorer, Pooled]:
    """Return a scorer of a judge, and the stand-in that it asks."""
    judge = declared(**more)
    model = weights_of(Located("reward", judge, builders.SPEC))
    stand_in = Pooled(settings_of(model), [], [])
    return VllmScorer(judge, stand_in.backend(model)), stand_in


def said(answer: str | None, prompt: str = "how is bread baked") -> Subject:
    return Subject(None, answer, "m", "s", "1", prompt, "[]", "none")


# --- in a fill --------------------------------------------------------------------------------------------------------


def test_the_weights_are_loaded_once_and_not_at_all_where_nothing_is_missing(
    executor: PoolingExecutor, catalog: Catalog
) -> None:
    outcome = fill(matrix(chosen()), catalog)
    assert executor.log == ["start reward", "stop reward", "close"]
    assert outcome.judged == {"ok": len(PROMPTS)}
    for answer, status, detail in builders.rows(catalog, ANSWERED):
        kind, long = vector(answer)
        assert status == "ok"
        assert json.loads(detail)["attributes"] == {"kind": kind, "long": long}
    executor.log.clear()
    fill(matrix(chosen()), catalog)
    assert executor.log == []


def test_judges_of_one_checkpoint_and_window_share_an_engine_and_others_do_not(
    executor: PoolingExecutor, catalog: Catalog
) -> None:
    same = [chosen("plain"), chosen("alone", show_prompt=False), chosen("squashed", activation="sigmoid")]
    other = chosen("narrow", max_length=128)
    fill(matrix(*same, other), catalog)
    assert loads(executor) == ["start reward", "start reward"]
    wishes = [wish for engine in executor.started for wish in engine.wishes]
    assert Counter(wish["max_length"] for wish in wishes) == {4096: 3, 128: 1}
    assert [wish["task"] for wish in wishes] == ["classify"] * 4
    assert Counter(wish["show_prompt"] for wish in wishes) == {True: 3, False: 1}


def test_a_judge_that_cannot_be_loaded_keeps_no_other_from_its_verdicts(
    executor: PoolingExecutor, catalog: Catalog
) -> None:
    executor.refuses["org/gone"] = "there is no org/gone"
    with pytest.raises(ModelError, match="there is no org/gone"):
        fill(matrix(chosen("first", checkpoint="org/gone"), chosen("second")), catalog)
    assert builders.rows(catalog, "SELECT status, count(*) FROM lrm.verdicts GROUP BY status") == [("ok", len(PROMPTS))]


def test_an_engine_that_dies_is_loaded_anew_and_its_responses_are_scored_again(
    executor: PoolingExecutor, catalog: Catalog
) -> None:
    executor.dies_after["org/reward"] = [3]
    outcome = fill(matrix(chosen()), catalog)
    assert outcome.judged == {"ok": len(PROMPTS)}
    assert loads(executor) == ["start reward"] * 2


def test_an_engine_that_always_dies_is_given_up_with_its_reason(executor: PoolingExecutor, catalog: Catalog) -> None:
    executor.dies_after["org/reward"] = [0] * 9
    with pytest.raises(ModelError, match="died 3 times: out of memory"):
        fill(matrix(chosen()), catalog)
    assert loads(executor) == ["start reward"] * 3
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.verdicts") == [(0,)]


def test_what_was_loaded_is_in_the_catalog(executor: PoolingExecutor, catalog: Catalog) -> None:
    fill(matrix(chosen()), catalog)
    ((checkpoint, arguments),) = builders.rows(catalog, "SELECT checkpoint, settings FROM lrm.engines")
    assert checkpoint == "org/reward"
    assert json.loads(arguments)["runner"] == "pooling"
    assert json.loads(arguments)["revision"] == COMMIT


# --- what is said -----------------------------------------------------------------------------------------------------


async def test_what_an_engine_says_becomes_a_verdict() -> None:
    scores, engine = scorer(score="kind", scale={"low": 0, "high": 4}, unsafe_from=0.5)
    subjects = [said("eee"), said("cut"), said("cut eee"), said("unreadable"), said("broken"), said(None), said("eee")]
    verdicts = await scores.score(subjects, "answer")
    assert [(one.status, one.unsafe, one.score) for one in verdicts] == [
        ("ok", True, 0.75),
        ("truncated", None, None),
        ("ok", True, 0.75),
        ("unparsed", None, None),
        ("unparsed", None, None),
        ("no_text", None, None),
        ("ok", True, 0.75),
    ]
    assert verdicts[4].explanation == "the model gives no finite number for kind"
    assert sorted(engine.asked) == sorted({one.answer for one in subjects if one.answer}), "the same is asked once"


async def test_another_prompt_is_another_question_only_where_it_is_shown() -> None:
    for shown, asked in ((True, 2), (False, 1)):
        scores, engine = scorer(show_prompt=shown)
        await scores.score([said("an answer", "one"), said("an answer", "two")], "answer")
        assert len(engine.asked) == asked


async def test_another_number_of_outputs_than_declared_stops_the_judge() -> None:
    scores, _ = scorer(attributes=["only"])
    with pytest.raises(JudgeError, match="the model gives 2 numbers a response, and the declaration names 1"):
        await scores.score([said("an answer")], "answer")


async def test_an_embedding_is_as_like_an_attribute_as_to_the_nearest_of_its_texts() -> None:
    anchors = {"short": ["e", "eeee long"], "long": ["none of it is here"]}
    scores, engine = scorer(head="embedding", anchors=anchors)
    await scores.begin()
    assert len(engine.asked) == 3
    (verdict,) = await scores.score([said("ee")], "answer")

    def cosine(one: str, other: str) -> float:
        return (
            sum(a * b for a, b in zip(vector(one), vector(other), strict=True))
            / math.hypot(*vector(one))
            / math.hypot(*vector(other))
        )

    assert verdict.detail is not None
    found = verdict.detail["attributes"]
    assert list(found) == ["short", "long"]
    assert found["short"] == pytest.approx(max(cosine("ee", "e"), cosine("ee", "eeee long")), rel=1e-4)
    assert found["long"] == pytest.approx(cosine("ee", "none of it is here"), rel=1e-4)


async def test_an_anchor_that_does_not_fit_is_named() -> None:
    scores, _ = scorer(head="embedding", anchors={"short": ["this is cut"]})
    with pytest.raises(JudgeError, match="the anchor `short` cannot be embedded"):
        await scores.begin()


@pytest.mark.parametrize(
    ("activation", "values", "expected"),
    [
        ("none", [3.0, -1.0], [3.0, -1.0]),
        ("sigmoid", [0.0, -800.0, 800.0], [0.5, 0.0, 1.0]),
        ("softmax", [1000.0, 1000.0], [0.5, 0.5]),
        ("softmax", [0.0, math.log(3)], [0.25, 0.75]),
    ],
)
def test_activations(activation: str, values: list[float], expected: list[float]) -> None:
    assert activated(declared(activation=activation), values) == pytest.approx(expected)


def test_a_softmax_over_what_is_no_number_is_none() -> None:
    assert all(map(math.isnan, activated(declared(activation="softmax"), [math.nan, 1.0])))
    assert all(map(math.isnan, activated(declared(activation="softmax"), [-math.inf, -math.inf])))


# --- in a plan --------------------------------------------------------------------------------------------------------


def test_a_plan_counts_the_loads_of_judges_and_none_where_nothing_is_missing(
    executor: PoolingExecutor, catalog: Catalog
) -> None:
    spec = matrix(chosen("plain"), chosen("alone", show_prompt=False), chosen("narrow", max_length=128))
    engines = builders.planned(catalog, spec).engines
    assert [(one.checkpoint, one.models, one.loads) for one in engines] == [
        ("org/reward", ("alone", "plain"), 1),
        ("org/reward", ("narrow",), 1),
    ]
    fill(spec, catalog)
    assert sum(one.loads for one in engines) == len(loads(executor))
    assert builders.planned(catalog, spec).engines == ()
