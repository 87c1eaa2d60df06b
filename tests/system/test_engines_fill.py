"""Fills of models that run here, over engines that answer in this process: who is loaded when, and what becomes of the calls.

The engines themselves are tested for real in tests/vllm.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lrm.errors import ModelError
from lrm.plan.plan import Plan
from lrm.plan.why import why
from lrm.registry.declarations import Model
from lrm.run import session as sessions
from lrm.run.fill import fill
from lrm.run.progress import Silent
from lrm.spec.matrix import ChosenJudge, Located, Matrix
from lrm.store.catalog import Catalog
from tests import builders, judging
from tests.engine_stand_in import Executor, local

PROMPTS = [f"prompt {number}" for number in range(20)]


class Heard(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Executor:
    found = Executor()
    monkeypatch.setattr(sessions, "open_executor", lambda *_: found)
    return found


@pytest.fixture(autouse=True)
def no_checkpoint_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names stand for no files; what pins them is tested in test_pinned."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def named(name: str, **vllm: Any) -> Located[Model]:
    return Located(name, local(f"org/{name}", **vllm), builders.SPEC)


def matrix(*names: str, judge: str | None = None, **fields: Any) -> Matrix:
    judges: list[ChosenJudge] = []
    models: dict[str, Located[Model]] = {}
    if judge is not None:
        declared = judging.judge(kind="llm", model=judge, reading={"choices": judging.CHOICES}, prompt="{{ text }}")
        judges = [ChosenJudge(declared, ("answer",))]
        models = {judge: named(judge)}
    found = builders.matrix(
        [named(name, **fields) for name in names], [builders.prompt_set("set", PROMPTS)], judges=judges
    )
    return replace(found, judge_models=models)


def loads(executor: Executor) -> list[str]:
    return [line for line in executor.log if line.startswith("start")]


def test_engines_are_loaded_one_after_the_other_and_not_at_all_when_nothing_is_missing(
    executor: Executor, tmp_path: Path
) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    first = fill(matrix("one", "two"), catalog)
    assert (first.done, first.failed, first.left) == (40, 0, 0)
    assert executor.log == ["start one", "stop one", "start two", "stop two", "close"]
    executor.log.clear()
    again = fill(matrix("one", "two"), catalog)
    assert again.plan.nothing_to_do
    assert executor.log == []
    assert first.cost == 0.0


def test_a_model_that_judges_too_is_asked_last_and_loaded_once(executor: Executor, tmp_path: Path) -> None:
    outcome = fill(matrix("both", "other", judge="both"), Catalog(tmp_path / "catalog.duckdb"))
    assert outcome.judge_calls > 0
    assert loads(executor) == ["start other", "start both"]
    assert [one.checkpoint for one in outcome.plan.engines] == ["org/other", "org/both"]
    assert outcome.plan.engines[1].models == ("both",)
    assert [one.loads for one in outcome.plan.engines] == [1, 1]


def test_one_that_does_not_start_leaves_its_calls_and_the_others_go_on(executor: Executor, tmp_path: Path) -> None:
    executor.refuses["org/one"] = "there is no checkpoint org/one"
    watch = Heard()
    catalog = Catalog(tmp_path / "catalog.duckdb")
    outcome = fill(matrix("one", "two"), catalog, observer=watch)
    assert (outcome.done, outcome.failed, outcome.left) == (20, 0, 20)
    assert any("one: its other calls are not made: there is no checkpoint" in line for line in watch.lines)
    said = why(catalog, "one/set/1/none").explanation
    assert re.search(r"its engine did not start, \d{4}-\d\d-\d\d \d\d:\d\d UTC: there is no checkpoint org/one$", said)
    executor.refuses.clear()
    assert fill(matrix("one", "two"), catalog).done == 20


def test_where_none_starts_the_fill_says_so_as_it_does_of_servers(executor: Executor, tmp_path: Path) -> None:
    executor.refuses |= {"org/one": "there is no checkpoint org/one", "org/two": "there is no GPU"}
    with pytest.raises(ModelError, match="there is no checkpoint org/one"):
        fill(matrix("one", "two"), Catalog(tmp_path / "catalog.duckdb"))
    assert executor.log[-1] == "close"


def test_one_that_dies_is_started_again_and_nothing_is_lost(executor: Executor, tmp_path: Path) -> None:
    executor.dies_after["org/one"] = [7]
    watch = Heard()
    catalog = Catalog(tmp_path / "catalog.duckdb")
    outcome = fill(matrix("one"), catalog, observer=watch)
    assert (outcome.done, outcome.failed, outcome.left) == (20, 0, 0)
    assert loads(executor) == ["start one"] * 2
    assert any("its engine died and is started again: out of memory" in line for line in watch.lines)
    rows = builders.rows(
        catalog, "SELECT checkpoint, load_s, output_tokens, fault FROM lrm.engines ORDER BY started_at"
    )
    assert [(one, load) for one, load, _, _ in rows] == [("org/one", 2.0)] * 2
    assert [(tokens, fault) for _, _, tokens, fault in rows] == [(7, "out of memory"), (13, None)]


def test_one_that_dies_before_it_answers_anything_is_given_up(executor: Executor, tmp_path: Path) -> None:
    executor.dies_after["org/one"] = [0] * 9
    outcome = fill(matrix("one", "two"), Catalog(tmp_path / "catalog.duckdb"))
    assert (outcome.done, outcome.left) == (20, 20)
    assert loads(executor) == ["start one", "start two"]


def test_calls_that_begin_alike_go_side_by_side(executor: Executor, tmp_path: Path) -> None:
    texts = [f"{beginning} {number}" for number in range(10) for beginning in ("Say", "Tell", "Ask")]
    spec = builders.matrix([named("one")], [builders.prompt_set("set", texts)])
    assert fill(spec, Catalog(tmp_path / "catalog.duckdb")).done == 30
    assert [json.loads(messages)[0]["content"] for messages in executor.asked] == sorted(texts)


def test_questions_of_a_judge_that_begin_alike_go_side_by_side(executor: Executor, tmp_path: Path) -> None:
    fill(matrix("one", judge="judge"), Catalog(tmp_path / "catalog.duckdb"))
    assert loads(executor) == ["start one", "start judge"]
    questions = executor.asked[len(PROMPTS) :]
    assert len(set(questions)) >= len(PROMPTS)
    rounds = [index for index in range(1, len(questions)) if questions[index] < questions[index - 1]]
    assert len(rounds) <= 1  # a second round asks again for what could not be read


def test_a_plan_tells_the_hours_by_what_was_measured(executor: Executor, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = matrix("one", tensor_parallel=4)
    before = builders.planned(catalog, spec)
    assert (before.engines[0].hours, before.gpu_hours) == (None, None)
    assert before.engines[0].gpus == 4
    fill(spec, catalog, limit=10)
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.engines SET load_s = 36, busy_s = 10, output_tokens = 5000")
    after: Plan = builders.planned(catalog, spec)
    (engine,) = after.engines
    assert (engine.load_s, engine.tokens_a_second, engine.device) == (36, 500, "stand-in")
    assert engine.output_tokens is None  # the stand-in counts none
    assert engine.hours is None
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.generations SET output_tokens = 1800, input_tokens = 10")
    (engine,) = builders.planned(catalog, spec).engines
    assert engine.output_tokens == 18_000
    assert engine.hours == pytest.approx((36 + 36) / 3600)
    assert engine.gpu_hours == pytest.approx(4 * 72 / 3600)
