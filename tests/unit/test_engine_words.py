from __future__ import annotations

import pytest

from lrm.engines import words
from lrm.engines.engine import Load
from lrm.plan.plan import EngineLoad, Plan
from lrm.run.progress import EngineState

GIB = 2**30


def test_what_is_not_known_is_left_out() -> None:
    assert words.doing(EngineState(None, 0, Load(), None)) == ""


def test_an_engine_on_gpus_says_what_it_holds_and_how_fast_it_is() -> None:
    load = Load(running=64, waiting=12, cache=0.453, memory_used=61 * GIB, memory_total=80 * GIB, busy=0.97)
    said = words.doing(EngineState("NVIDIA H200", 2, load, 2310.4))
    assert said == "2,310 tokens/s, 2 GPUs 61.0 of 80.0 GiB, 97 % busy, cache 45 % full, 12 wait for room"


@pytest.mark.parametrize(
    ("value", "said"), [(0.0001, "less than 0.001"), (0.0123, "0.012"), (0.5, "0.5"), (1234.56, "1,234.6")]
)
def test_hours(value: float, said: str) -> None:
    assert words.hours(value) == said


def engine(name: str, hours: float | None, *, loads: int = 1, gpus: int = 1) -> EngineLoad:
    return EngineLoad(name, (name,), gpus, "process", loads, 10, None, None, None, hours)


def plan(*engines: EngineLoad) -> Plan:
    return Plan("spec", (), (), (), 0, engines=engines)


def test_a_plan_says_the_order_and_the_gpu_hours() -> None:
    said = words.engines_line(plan(engine("one", 0.5, gpus=4), engine("two", 1.0, loads=2)))
    assert said == "engines: 3 loads: one, then two; GPU-hours: about 3.0"


def test_one_unknown_makes_the_sum_unknown() -> None:
    assert plan(engine("one", 0.5), engine("two", None)).gpu_hours is None
    assert "unknown until each has run once" in words.engines_line(plan(engine("one", None)))
    assert plan().gpu_hours is None
