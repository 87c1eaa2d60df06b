"""A fill by a provider's batch endpoint, whole: planned, sent, stopped, collected by the next fill, judged, within a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lrm.run import batch_waiting
from lrm.run.budget import Caps
from lrm.run.desk import Stop, running, tell
from lrm.run.fill import fill
from lrm.run.progress import Progress, Silent
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import batching, builders
from tests.batch_server import BatchServer, serving_batches

PROMPTS = [f"prompt {n}" for n in range(12)]


@pytest.fixture(scope="module")
def _process() -> Iterator[BatchServer]:
    with serving_batches() as running_server:
        yield running_server


@pytest.fixture
def provider(_process: BatchServer, monkeypatch: pytest.MonkeyPatch) -> BatchServer:
    for name, value in batching.QUICK.items():
        monkeypatch.setattr(batch_waiting, name, value)
    _process.reset()
    return _process


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


def judged(spec: Matrix) -> Matrix:
    return replace(spec, judges=builders.matrix(judges=[builders.judge()]).judges)


def paid(provider: BatchServer) -> Counter[int]:
    return Counter(provider.state()["asked"].values())


def states(catalog: Catalog) -> dict[str, int]:
    return dict(builders.rows(catalog, "SELECT state, count(*) FROM cells GROUP BY state"))


class StopsWhenSent(Silent):
    """Stops the fill, as from another terminal, when its calls are at the provider."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.lines: list[str] = []
        self.told = False

    def say(self, line: str) -> None:
        self.lines.append(line)

    def tick(self, progress: Progress) -> None:
        waiting = [one.waiting for one in progress.models.values() if one.waiting]
        if not self.told and waiting and "at the provider" in waiting[0]:
            self.told = True
            tell(self.catalog, None, Stop())


def test_a_fill_by_batches_is_complete_and_a_second_asks_nothing(provider: BatchServer, catalog: Catalog) -> None:
    spec = judged(batching.spec_of(provider.url, PROMPTS))
    outcome = fill(spec, catalog)
    assert (outcome.done, outcome.failed, outcome.left) == (12, 0, 0)
    assert states(catalog) == {"done": 12}
    assert builders.rows(catalog, "SELECT DISTINCT status FROM verdicts") == [("ok",)]
    assert builders.rows(catalog, "SELECT state FROM lrm.batches") == [("collected",)]
    assert verify(catalog).problems == ()
    assert fill(spec, catalog).run is None
    assert paid(provider) == {1: 12}


def test_what_a_stopped_fill_sent_is_collected_by_the_next(provider: BatchServer, catalog: Catalog) -> None:
    spec = judged(batching.spec_of(provider.url, PROMPTS))
    provider.command(polls=10**9)
    watch = StopsWhenSent(catalog)
    first = fill(spec, catalog, observer=watch)
    assert (first.done, first.left, first.interrupted) == (0, 12, True)
    assert any("the next fill collects" in line for line in watch.lines)
    assert states(catalog) == {"missing": 12}
    assert running(catalog) == ()

    provider.command(polls=0)
    second = fill(spec, catalog)
    assert (second.plan.calls, second.plan.at_provider, second.done) == (0, 12, 12)
    assert paid(provider) == {1: 12}
    assert builders.rows(catalog, "SELECT DISTINCT status FROM verdicts") == [("ok",)]


def test_a_model_that_is_no_longer_asked_by_batches_still_collects_them(
    provider: BatchServer, catalog: Catalog
) -> None:
    provider.command(polls=10**9)
    fill(batching.spec_of(provider.url, PROMPTS), catalog, observer=StopsWhenSent(catalog))
    provider.command(polls=0)
    outcome = fill(batching.spec_of(provider.url, PROMPTS, batch=False), catalog)
    assert (outcome.plan.calls, outcome.done, outcome.left) == (0, 12, 0)
    assert paid(provider) == {1: 12}


def test_failed_lines_are_failures_of_their_calls(provider: BatchServer, catalog: Catalog) -> None:
    prompts = ["good", "behave: context", "behave: 500"]
    outcome = fill(batching.spec_of(provider.url, prompts), catalog)
    assert (outcome.done, outcome.failed, outcome.left) == (1, 2, 0)
    kinds = builders.rows(catalog, "SELECT kind, count(*) FROM attempts GROUP BY kind ORDER BY kind")
    assert kinds == [("context_too_long", 1), ("server", 1)]
    assert states(catalog) == {"done": 1, "failed": 2}


def test_a_batch_is_no_larger_than_the_budget(provider: BatchServer, catalog: Catalog) -> None:
    spec = batching.spec_of(provider.url, PROMPTS)
    outcome = fill(spec, catalog, budget=Caps(calls=5))
    assert (outcome.done, outcome.left) == (5, 7)
    assert outcome.budget is not None
    assert paid(provider) == {1: 5}
    assert fill(spec, catalog).done == 7
    assert paid(provider) == {1: 12}
