"""A judge that transformers loads beside engines: they leave the GPU to it, and its verdicts do not depend on theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lrm.run import session as sessions
from lrm.run.fill import fill
from lrm.run.progress import Silent
from lrm.spec.matrix import ChosenJudge, Located
from lrm.store.catalog import Catalog
from tests import builders
from tests.pooled_stand_in import PoolingExecutor
from tests.reward.conftest import declared

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Watch(Silent):
    """Writes what is said between what an executor starts and stops."""

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def say(self, line: str) -> None:
        self._log.append(line)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_engines_are_freed_before_a_model_is_loaded_on_their_gpu(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    executor = PoolingExecutor()
    monkeypatch.setattr(sessions, "open_executor", lambda *_: executor)
    by_vllm = declared("org/reward", revision=COMMIT, engine="vllm", device="auto")
    judges = [
        ChosenJudge(Located("here", declared(tiny, device=device), builders.SPEC), ("answer",)),
        ChosenJudge(Located("engine", by_vllm, builders.SPEC), ("answer",)),
    ]
    spec = replace(builders.matrix(), judges=tuple(judges))
    outcome = fill(spec, Catalog(tmp_path / "catalog.duckdb"), observer=Watch(executor.log))
    assert sum(outcome.judged.values()) == 4
    assert "judge_failed" not in outcome.judged
    started, stopped = executor.log.index("start reward"), executor.log.index("stop reward")
    loading = executor.log.index(f"here: loading {tiny}")
    assert started < loading
    assert (stopped < loading) == (device == "auto")
