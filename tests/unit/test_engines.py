"""When engines are loaded and freed: the order of a fill's stages, the pool of a session, what a fill and a plan say."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.engines import order
from lrm.engines.engine import Load, Settings
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.run.engines import Engines
from lrm.run.log import RunLog
from tests.engine_stand_in import Executor, local


def settings(name: str, memory: float = 0.9) -> Settings:
    return settings_of(local(name, memory=memory))


A, B, J = settings("a"), settings("b"), settings("j")


def pool(executor: Executor, tmp_path: Path) -> Engines:
    said: list[str] = []
    return Engines(
        lambda: executor, lambda label: tmp_path / label, said.append, RunLog(tmp_path / "log", say=said.append)
    )


# --- order ------------------------------------------------------------------------------------------------------------


def test_a_judge_that_is_also_a_subject_is_loaded_once() -> None:
    assert order.loads([[J, A], [], [J]]) == [A, J]


def test_what_is_loaded_already_goes_first() -> None:
    assert order.arranged([A, B, J], loaded=[J], later=[]) == [J, A, B]
    assert order.loads([[A, B], [B, A]]) == [A, B, A] or order.loads([[A, B], [B, A]]) == [B, A, B]


def test_shares_that_fit_stay_side_by_side() -> None:
    small, other, large = settings("small", 0.4), settings("other", 0.5), settings("large", 0.7)
    assert order.loads([[small, other], [small], [other]]) == [small, other]
    assert order.displaced(large, [small, other]) == [small, other]
    assert order.displaced(settings("tiny", 0.1), [small, other]) == []


@given(st.lists(st.lists(st.sampled_from([A, B, J, settings("c", 0.3), settings("d", 0.6)]), max_size=5), max_size=5))
def test_every_stage_finds_its_engines_and_none_is_loaded_for_nothing(stages: list[list[Settings]]) -> None:
    made = order.loads(stages)
    needed = set(itertools.chain.from_iterable(stages))
    assert set(made) == needed
    assert len(made) <= sum(len(set(stage)) for stage in stages)


# --- the pool ---------------------------------------------------------------------------------------------------------


async def test_an_engine_is_freed_only_when_its_room_is_needed(tmp_path: Path) -> None:
    executor = Executor()
    engines = pool(executor, tmp_path)
    for name in ("a", "a", "b", "b"):
        engines.leave(await engines.enter(local(name)))
    assert executor.log == ["start a", "stop a", "start b"]
    await engines.close()
    assert executor.log[-1] == "stop b"
    assert [(use.settings.label, use.load_s, use.device) for use in engines.uses] == [
        ("a", 2.0, "stand-in"), ("b", 2.0, "stand-in")
    ]  # fmt: skip


async def test_models_that_are_only_asked_otherwise_share_an_engine(tmp_path: Path) -> None:
    executor = Executor()
    engines = pool(executor, tmp_path)
    warm = local("a").model_copy(update={"sampling": local("a").sampling.model_copy(update={"temperature": 1.0})})
    first, second = await engines.enter(local("a")), await engines.enter(warm)
    assert first is second
    assert executor.log == ["start a"]


async def test_an_engine_that_is_asked_is_waited_for(tmp_path: Path) -> None:
    executor = Executor()
    engines = pool(executor, tmp_path)
    first = await engines.enter(local("a"))
    second = asyncio.ensure_future(engines.enter(local("b")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert executor.log == ["start a"]
    engines.leave(first)
    await second
    assert executor.log == ["start a", "stop a", "start b"]


async def test_small_ones_are_there_together(tmp_path: Path) -> None:
    executor = Executor()
    engines = pool(executor, tmp_path)
    await engines.enter(local("a", memory=0.5))
    await engines.enter(local("b", memory=0.5))
    assert executor.log == ["start a", "start b"]
    assert len(engines.held) == 2


async def test_one_that_does_not_start_says_why_and_holds_no_room(tmp_path: Path) -> None:
    executor = Executor(refuses={"a": "there is no checkpoint"})
    engines = pool(executor, tmp_path)
    with pytest.raises(ModelError, match="no checkpoint"):
        await engines.enter(local("a"))
    engines.leave(await engines.enter(local("b")))
    assert executor.log == ["start a", "start b"]
    assert [use.fault for use in engines.uses] == ["there is no checkpoint", None]


async def test_a_start_that_is_given_up_leaves_the_turn_to_the_next(tmp_path: Path) -> None:
    executor = Executor(held_back=asyncio.Event())
    engines = pool(executor, tmp_path)
    starting = asyncio.ensure_future(engines.enter(local("a")))
    for _ in range(5):
        await asyncio.sleep(0)
    assert engines.loading is not None
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert engines.loading is None
    executor.held_back = None
    await engines.enter(local("b"))
    assert executor.log == ["start a", "cancelled a", "start b"]


async def test_one_that_died_is_started_anew(tmp_path: Path) -> None:
    executor = Executor()
    engines = pool(executor, tmp_path)
    held = await engines.enter(local("a"))
    held.engine.died = "out of memory"  # type: ignore[misc]
    engines.leave(held)
    again = await engines.enter(local("a"))
    assert again is not held
    assert executor.log == ["start a", "stop a", "start a"]
    assert [use.fault for use in engines.uses] == ["out of memory", None]


async def test_an_engine_that_makes_no_token_is_seen_to_stand_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("lrm.run.engines.time.monotonic", lambda: now)
    held = await pool(Executor(), tmp_path).enter(local("a"))
    assert held.tokens_a_second() is None
    now, held.engine.load = 104.0, Load(output_tokens=400)  # type: ignore[misc]
    assert held.tokens_a_second() == 100
    now = 160.0
    held.tokens_a_second()
    assert held.moved_at == 104.0
