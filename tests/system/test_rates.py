"""Pacing, outages and slow calls against a real server: what arrives there, how much of it is refused, and in which order."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lrm.backends.base import CallFailure
from lrm.registry.declarations import Model
from lrm.run import runner
from lrm.run.fill import fill
from lrm.run.lane import pause_s
from lrm.run.progress import Outcome, Silent
from lrm.spec.matrix import Located, Matrix, Slice
from lrm.store.catalog import Catalog
from tests import builders
from tests.servers import Server


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses between a call's attempts a twentieth; what a server asks for is obeyed as ever."""

    def shorter(failure: CallFailure, attempts: int) -> float:
        return max(pause_s(failure, attempts) / 20, failure.retry_after_s or 0.0)

    monkeypatch.setattr(runner, "pause_s", shorter)


def texts(count: int, kind: str = "subject") -> list[str]:
    return [f"Tell me about {kind} {n}." for n in range(count)]


def asking(server: Server, prompts: list[str], *, name: str = "m", **limits: Any) -> Matrix:
    return builders.matrix(
        [builders.http_model(server.url, name, limits=limits)], [builders.prompt_set("set", prompts)]
    )


def side_by_side(*pairs: tuple[Located[Model], list[str]]) -> Matrix:
    """Return a matrix in which each model has prompts of its own."""
    sets = [builders.prompt_set(model.name, prompts) for model, prompts in pairs]
    attack = builders.attack()
    return Matrix(
        "rates",
        builders.SPEC,
        {model.name: model for model, _ in pairs},
        {one.name: one for one in sets},
        {attack.name: attack},
        tuple(Slice(model.name, model.name, "none", 1) for model, _ in pairs),
        (),
    )


def attempts(catalog: Catalog) -> dict[str, int]:
    return dict(builders.rows(catalog, "SELECT kind, count(*) FROM lrm.attempts GROUP BY kind"))


def agree(server: Server, catalog: Catalog, outcome: Outcome) -> None:
    """Check that the server counted what the catalog did."""
    assert server.total() == outcome.done + sum(attempts(catalog).values())


# --- limits of the provider -------------------------------------------------------------------------------------------


def test_a_limit_on_requests_at_a_time_is_found(catalog: Catalog, server: Server, quick: None) -> None:
    server.order(latency_s=0.03, in_flight=12)
    outcome = fill(asking(server, texts(600), max_in_flight=200, max_attempts=10), catalog)
    assert (outcome.done, outcome.failed, outcome.left) == (600, 0, 0)
    refused = attempts(catalog)["rate_limited"]
    assert refused <= 120  # a fifth; with 200 at once all the time, most would be
    assert server.count()["in_flight_max"] == 12
    agree(server, catalog, outcome)


@pytest.mark.parametrize(("says", "most"), [("nothing", 240), ("retry-after", 160), ("openai", 80), ("claude", 80)])
def test_a_limit_on_requests_in_a_window_is_kept_to(
    catalog: Catalog, server: Server, quick: None, says: str, most: int
) -> None:
    server.order(latency_s=0.01, window=60, window_s=1, says=says)
    outcome = fill(asking(server, texts(240), max_in_flight=100, max_attempts=20), catalog)
    assert (outcome.done, outcome.failed, outcome.left) == (240, 0, 0)
    # At most one a call where little is said; without a gate each call would be refused again and again, up to 20 times. What
    # is told it keeps to, but for calls that were on their way: more of them on a machine that is busy.
    assert attempts(catalog).get("rate_limited", 0) <= most
    agree(server, catalog, outcome)


def test_a_named_pause_is_kept_by_the_whole_pool(catalog: Catalog, server: Server, quick: None) -> None:
    prompts = ["behave: flaky 429-1 # first", *texts(20)]
    outcome = fill(asking(server, prompts, max_in_flight=1), catalog)
    assert outcome.done == 21
    first, *others = [at for at, _, _ in server.arrivals()]
    assert all(at - first >= 1 for at in others)
    assert len(others) == 21


def test_requests_a_minute_are_kept_to(catalog: Catalog, server: Server) -> None:
    outcome = fill(asking(server, texts(40), max_in_flight=40, requests_per_minute=600), catalog)
    assert outcome.done == 40
    arrivals = [at for at, _, _ in server.arrivals()]
    for early, late in zip(arrivals, arrivals[20:], strict=False):
        assert late - early >= 0.9  # ten a second, and a small burst


# --- models side by side ----------------------------------------------------------------------------------------------


def test_no_more_than_declared_is_in_flight_at_the_server(catalog: Catalog, server: Server) -> None:
    server.order(latency_s=0.02)
    caps = {"one/ok": 5, "two/ok": 9}
    models = [
        builders.http_model(server.url, name, behaviour=name, limits={"max_in_flight": cap})
        for name, cap in caps.items()
    ]
    outcome = fill(side_by_side(*((model, texts(150, model.name)) for model in models)), catalog)
    assert outcome.done == 300
    assert server.count()["model_in_flight_max"] == caps


@pytest.mark.parametrize("first", ["slow/ok", "fast/ok"])
def test_a_slow_model_does_not_starve_a_fast_one_of_the_same_key(
    catalog: Catalog, server: Server, quick: None, first: str
) -> None:
    """They share eight places. If each freed place went to whoever comes next, they would be through at the same time."""
    server.order(latency_s=0.005, slow={"slow/ok": 0.25}, in_flight=8)
    counts = {"slow/ok": 60, "fast/ok": 200}
    names = sorted(counts, key=lambda name: name != first)
    models = [builders.http_model(server.url, name, behaviour=name, limits={"max_in_flight": 32}) for name in names]
    outcome = fill(side_by_side(*((model, texts(counts[model.name], model.name)) for model in models)), catalog)
    assert (outcome.done, outcome.failed) == (260, 0)
    order = [model for _, model, _ in server.arrivals()]
    last_fast = max(n for n, model in enumerate(order) if model == "fast/ok")
    assert order[:last_fast].count("slow/ok") <= 40
    assert order[: len(order) // 2].count("slow/ok") >= 4  # nor is the slow one starved
    agree(server, catalog, outcome)


def test_a_model_of_another_key_is_not_held_up(
    catalog: Catalog, server: Server, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRM_TEST_A", "sk-a-000000001")
    monkeypatch.setenv("LRM_TEST_B", "sk-b-000000001")
    held = builders.http_model(
        server.url, "held", behaviour="a/ok", api_key_env="LRM_TEST_A", limits={"max_in_flight": 4}
    )
    free = builders.http_model(
        server.url, "free", behaviour="b/ok", api_key_env="LRM_TEST_B", limits={"max_in_flight": 4}
    )
    server.order(only="sk-a", window=5, window_s=1.5, says="retry-after", latency_s=0.002)
    outcome = fill(side_by_side((held, texts(10, "a")), (free, texts(100, "b"))), catalog)
    assert outcome.done == 110
    order = [model for _, model, _ in server.arrivals()]
    assert order[-1] == "a/ok"
    agree(server, catalog, outcome)


# --- what goes wrong on the way ---------------------------------------------------------------------------------------


def test_a_key_that_is_refused_in_the_middle_stops_its_model_after_what_is_in_flight(
    catalog: Catalog, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRM_TEST_A", "sk-a-000000001")
    server.order(latency_s=0.02, good=30, only="sk-a")
    refused = builders.http_model(
        server.url, "a", behaviour="a/ok", api_key_env="LRM_TEST_A", limits={"max_in_flight": 6}
    )
    other = builders.http_model(server.url, "b", behaviour="b/ok", limits={"max_in_flight": 6})
    said: list[str] = []

    class Watch(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    outcome = fill(side_by_side((refused, texts(400, "a")), (other, texts(100, "b"))), catalog, observer=Watch())
    asked = server.count()["by_model"]
    assert 30 < asked["a/ok"] <= 30 + 6
    assert asked["b/ok"] == 100
    assert outcome.done == 130
    assert outcome.failed == asked["a/ok"] - 30
    assert outcome.left == 400 - asked["a/ok"]
    assert len([line for line in said if line.startswith("a:")]) == 1
    assert attempts(catalog) == {"auth": outcome.failed}


def test_an_outage_is_survived(catalog: Catalog, server: Server) -> None:
    """The server is gone for three seconds: what was asked waits and is asked again, and no call is given up."""
    server.order(latency_s=0.01)
    outage = Outage(server, after=100, seconds=3)
    outcome = fill(asking(server, texts(500), max_in_flight=32, max_attempts=6), catalog, observer=outage)
    assert outage.came
    assert (outcome.done, outcome.failed, outcome.left) == (500, 0, 0)
    failed = attempts(catalog)
    assert failed.keys() == {"connection"}
    assert 0 < failed["connection"] <= 32 * 6
    # Those that were refused a connection never came to the server.
    assert 500 <= server.total() <= 500 + 32


def test_an_outage_that_lasts_costs_few_requests(catalog: Catalog, server: Server, quick: None) -> None:
    """With hundreds of calls at a time and quick pauses, thousands could be refused a connection: the pool pauses instead."""
    server.order(latency_s=0.01)
    outage = Outage(server, after=100, seconds=12)
    outcome = fill(asking(server, texts(3000), max_in_flight=500, max_attempts=4), catalog, observer=outage)
    outage.over.wait()
    assert outage.came
    assert outcome.done + outcome.failed + outcome.left == 3000
    assert outcome.failed <= 10
    assert sum(attempts(catalog).values()) <= 600  # what was in flight, and a few that looked whether it is back


def test_a_hanging_call_costs_one_place(catalog: Catalog, server: Server) -> None:
    prompts = ["behave: hang # 1", *(f"behave: slow # {n}" for n in range(150))]
    outcome = fill(asking(server, prompts, max_in_flight=4, timeout_s=6, max_attempts=1), catalog)
    assert (outcome.done, outcome.failed) == (150, 1)
    assert server.count()["in_flight_max"] == 4
    ((failed_at,),) = builders.rows(catalog, "SELECT failed_at FROM lrm.failures")
    later = builders.rows(catalog, "SELECT count(*) FROM lrm.generations WHERE received_at > ?", failed_at)
    assert later == [(0,)]


def test_replies_that_drip_for_ever_cost_their_time_and_nothing_else(catalog: Catalog, server: Server) -> None:
    prompts = [*(f"behave: drip-for-ever # {n}" for n in range(3)), *texts(50)]
    outcome = fill(asking(server, prompts, max_in_flight=4, timeout_s=1.5, max_attempts=2), catalog)
    assert outcome.failures == (("m", "timeout", 3),)
    assert outcome.done == 50
    assert Counter(seen["received"] for seen in server.calls().values()) == {1: 50, 2: 3}


class Outage(Silent):
    """Takes the server down when it was asked so often, for so long."""

    def __init__(self, server: Server, *, after: int, seconds: float) -> None:
        self.came = False
        self.over = threading.Event()
        self._server, self._after, self._seconds = server, after, seconds
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self._server.total() < self._after:
            time.sleep(0.005)
        up = self._server.down()
        self.came = True
        time.sleep(self._seconds)
        up()
        self.over.set()
