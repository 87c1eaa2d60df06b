"""A real fill in a process of its own, watched and steered from here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.run.desk import died, find, running, tell
from lrm.run.fill import fill
from lrm.run.wishes import InFlight, Pause, Resume, Stop
from lrm.store.catalog import Catalog
from tests.filling import filling, spec_of
from tests.servers import Server, serving

PATIENCE_S = 60.0
PROMPTS = [f"Tell me about subject {number}." for number in range(300)]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


@pytest.fixture(scope="module")
def _slow() -> Iterator[Server]:
    with serving("--latency-ms", "50") as running:
        yield running


@pytest.fixture
def slow(_slow: Server) -> Server:
    _slow.reset()
    return _slow


def until(true: Callable[[], Any]) -> None:
    """Return when something is true."""
    given_up = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < given_up


def in_flight(catalog: Catalog) -> int:
    return sum(lane.in_flight for lane in find(catalog, None).lanes)


def log_of(catalog: Catalog, run: str) -> list[dict[str, Any]]:
    text = (catalog.runs_folder / f"{run}.log.jsonl").read_text("utf-8")
    assert "subject" not in text
    return [json.loads(line) for line in text.splitlines()]


def test_a_fill_is_paused_widened_resumed_and_stopped(catalog: Catalog, slow: Server) -> None:
    with filling(slow.url, catalog, PROMPTS, max_in_flight=2) as process:
        process.line("planned")
        until(lambda: slow.total() >= 5)
        spec = find(catalog, None).spec
        assert spec is not None
        state = tell(catalog, spec, Pause(), patience_s=PATIENCE_S)
        assert (state.answer, state.state.state) == ("obeyed", "paused")
        until(lambda: in_flight(catalog) == 0)
        asked = slow.total()
        assert asked < len(PROMPTS)
        (lane,) = find(catalog, None).lanes
        assert (lane.done, lane.total, lane.failed) == (asked, len(PROMPTS), 0)
        assert slow.count()["in_flight_max"] == 2
        run = state.state.run
        assert tell(catalog, run, InFlight("*", 5), patience_s=PATIENCE_S).answer == "obeyed"
        assert slow.total() == asked
        assert tell(catalog, run, Resume(), patience_s=PATIENCE_S).state.state == "running"
        until(lambda: slow.total() >= asked + 20)
        assert slow.count()["in_flight_max"] == 5
        assert tell(catalog, run, Stop(), patience_s=PATIENCE_S).answer in ("obeyed", "ended")
        outcome = process.outcome()
    total = slow.total()
    assert outcome == {"done": total, "failed": 0, "left": len(PROMPTS) - total, "interrupted": True}
    assert outcome["left"] > 0
    assert (running(catalog), died(catalog)) == ((), ())
    events = [line["event"] for line in log_of(catalog, run)]
    assert [name for name in events if name in ("begin", "paused", "limit set", "resumed", "stopping", "end")] == [
        "begin", "paused", "limit set", "resumed", "stopping", "end",
    ]  # fmt: skip
    assert fill(spec_of(slow.url, PROMPTS), catalog).done == len(PROMPTS) - total
    assert slow.total() == len(PROMPTS)


def test_a_fill_that_hangs_is_stopped_at_once(catalog: Catalog, server: Server) -> None:
    hangs = ["behave: hang" + " " * number for number in range(3)]
    with filling(server.url, catalog, hangs) as process:
        until(lambda: server.total() == 3)
        run = find(catalog, None).run
        assert tell(catalog, run, Stop(), patience_s=PATIENCE_S).state.state == "stopping"
        assert in_flight(catalog) == 3
        assert tell(catalog, run, Stop(now=True), patience_s=PATIENCE_S).answer in ("obeyed", "ended")
        assert process.outcome() == {"done": 0, "failed": 0, "left": 3, "interrupted": True}
    assert log_of(catalog, run)[-1]["state"] == "interrupted"


def test_a_killed_fill_is_found_dead_and_its_journal_is_merged(catalog: Catalog, slow: Server) -> None:
    with filling(slow.url, catalog, PROMPTS, merge_s=3600) as process:
        until(lambda: slow.total() >= 30)
        (state,) = running(catalog)
        process.process.kill()
        process.process.wait(timeout=60)
    assert running(catalog) == ()
    (dead,) = died(catalog)
    assert (dead.run, dead.segments) == (state.run, 1)
    assert dead.last is not None
    assert dead.last.pid == process.process.pid
    fill(spec_of(slow.url, PROMPTS), catalog)
    assert died(catalog) == ()
    assert {"".join(path.suffixes) for path in catalog.runs_folder.iterdir()} == {".log.jsonl"}
