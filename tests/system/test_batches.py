"""Batches through the real litellm against a real server process: what it does wrong, kills at every step, readers beside it."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.errors import ModelError
from lrm.run import batch_waiting, batches
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import batching
from tests.batch_server import BatchServer, serving_batches

PROMPTS = [f"Tell me about subject {n}." for n in range(5)]


@pytest.fixture(scope="module")
def _process() -> Iterator[BatchServer]:
    with serving_batches() as running:
        yield running


@pytest.fixture
def provider(_process: BatchServer, monkeypatch: pytest.MonkeyPatch) -> BatchServer:
    """Return a batch server that knows nothing yet, asked with short pauses."""
    for name, value in batching.QUICK.items():
        monkeypatch.setattr(batch_waiting, name, value)
    _process.reset()
    return _process


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Return a catalog that is not there yet."""
    return Catalog(tmp_path / "c.duckdb")


def answered(catalog: Catalog) -> list[str]:
    """Return the raw responses of a catalog, one a call."""
    with catalog.reading() as connection:
        rows = connection.execute(
            "SELECT g.raw FROM lrm.calls c JOIN lrm.generations g ON g.n = c.generation_n ORDER BY c.n"
        ).fetchall()
        assert connection.execute("SELECT count(*) FROM lrm.generations").fetchall() == [(len(rows),)]
    return [row[0] for row in rows]


def states(catalog: Catalog) -> Counter[str]:
    """Return how many batches are in which state."""
    with catalog.reading() as connection:
        return Counter(row[0] for row in connection.execute("SELECT state FROM lrm.batches").fetchall())


def paid(provider: BatchServer) -> Counter[int]:
    """Return how many calls were part of how many batches."""
    return Counter(provider.state()["asked"].values())


def kinds(ran: batching.Ran) -> Counter[str]:
    """Return how many calls failed, by class."""
    return Counter(failure.kind for failure in ran.failures)


def test_calls_go_in_one_file_and_a_second_fill_asks_nothing(provider: BatchServer, catalog: Catalog) -> None:
    spec = batching.spec_of(provider.url, PROMPTS)
    ran = batching.run(catalog, spec)
    assert (ran.sent, ran.waiting, ran.collected, ran.stopped) == (5, 0, 5, None)
    assert states(catalog) == {"collected": 1}
    state = provider.state()
    assert {line["custom_id"] for line in state["bodies"]} == {call.hex() for call, _ in ran.kept}
    assert [line["body"]["messages"][-1]["content"] for line in state["bodies"]] == PROMPTS
    assert all(json.loads(raw)["choices"][0]["message"]["content"].startswith("Answer") for raw in answered(catalog))
    before = state["steps"]
    assert batching.run(catalog, spec).planned == 0
    assert provider.state()["steps"] == before
    assert verify(catalog).problems == ()


def test_the_declared_key_is_sent_and_no_other(
    provider: BatchServer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai-itself")
    monkeypatch.setenv("SOME_KEY", "declared-key-1")
    batching.run(catalog, batching.spec_of(provider.url, PROMPTS[:1]))
    batching.run(catalog, batching.spec_of(provider.url, PROMPTS[:2], api_key_env="SOME_KEY"))
    assert set(provider.state()["keys"]) == {"Bearer no-key-declared", "Bearer declared-key-1"}
    stored = b"".join(path.read_bytes() for path in catalog.path.parent.rglob("*") if path.is_file())
    assert b"declared-key-1" not in stored
    assert b"sk-of-openai" not in stored


def test_many_calls_are_cut_into_batches(
    provider: BatchServer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_CALLS", 2)
    monkeypatch.setattr(batches, "LINES", 1)
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (ran.sent, ran.collected, len(answered(catalog))) == (5, 5, 5)
    assert provider.state()["steps"]["created"] == 3
    assert states(catalog) == {"collected": 3}
    assert paid(provider) == {1: 5}


def test_each_line_has_its_own_result(provider: BatchServer, catalog: Catalog) -> None:
    named = [
        "filter",
        "filter400",
        "500",
        "429",
        "context",
        "400",
        "404",
        "no-choices",
        "null",
        "surrogate",
        "escape",
        "nul",
    ]
    ran = batching.run(catalog, batching.spec_of(provider.url, [*PROMPTS[:1], *(f"behave: {name}" for name in named)]))
    assert kinds(ran) == {
        "server": 1, "rate_limited": 1, "context_too_long": 1, "bad_request": 1, "not_found": 1, "bad_payload": 1,
    }  # fmt: skip
    assert Counter(reply.blocked for reply in ran.replies) == {True: 2, False: 5}
    with catalog.reading() as connection:
        counted = connection.execute(
            "SELECT status, count(*) FROM lrm.generations GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        failed = connection.execute("SELECT count(DISTINCT call_n) FROM lrm.failures").fetchall()
    assert counted == [("blocked", 2), ("ok", 5)]
    assert failed == [(6,)]
    again = batching.run(
        catalog, batching.spec_of(provider.url, [*PROMPTS[:1], *(f"behave: {name}" for name in named)])
    )
    assert (again.planned, again.sent) == (6, 6)  # a failure does not fill a cell


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["reverse"], None),
        (["empty-lines"], None),
        (["no-newline"], None),
        (["cut-once"], None),
        (["repeat"], "5 lines"),
        (["unknown"], "2 lines"),
        (["nonsense", "reverse", "repeat", "unknown"], "9 lines"),
    ],
)
def test_a_file_of_responses_in_any_order_is_read(
    provider: BatchServer, catalog: Catalog, told: list[str], said: str | None
) -> None:
    provider.command(lines=told)
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (ran.collected, len(ran.failures), len(answered(catalog))) == (5, 0, 5)
    assert "Another" not in "".join(answered(catalog))
    assert any(said in line for line in ran.said) if said else len(ran.said) == 1
    assert states(catalog) == {"collected": 1}


def test_a_file_that_stays_cut_off_leaves_the_rest_missing(provider: BatchServer, catalog: Catalog) -> None:
    provider.command(lines=["cut"])
    spec = batching.spec_of(provider.url, PROMPTS)
    ran = batching.run(catalog, spec)
    assert provider.state()["steps"]["content"] == batch_waiting.DOWNLOADS
    assert (len(ran.replies), kinds(ran)) == (3, {"server": 2})
    assert any("ends too early" in line for line in ran.said)
    provider.command(lines=[])
    again = batching.run(catalog, spec)
    assert (again.planned, again.collected, len(answered(catalog))) == (2, 2, 5)


@pytest.mark.parametrize(
    ("told", "replies", "failed"),
    [
        ({"end": "expired", "answered": 3}, 3, {"timeout": 2}),
        ({"end": "expired", "answered": 0}, 0, {"timeout": 5}),
        ({"end": "cancelled", "answered": 2}, 2, {"server": 3}),
        ({"end": "completed", "answered": 4}, 4, {"server": 1}),
        ({"end": "completed", "answered": 0}, 0, {"server": 5}),
        ({"end": "completed", "answered": 4, "counts": False}, 4, {"server": 1}),
        ({"end": "failed"}, 0, {"server": 5}),
        ({"end": "failed", "code": "token_limit_exceeded", "message": "Enqueued token limit."}, 0, {"rate_limited": 5}),
        ({"end": "failed", "code": "model_not_found", "message": "No such model."}, 0, {"not_found": 5}),
    ],
)
def test_what_a_batch_leaves_unanswered_is_missing_again(
    provider: BatchServer, catalog: Catalog, told: dict[str, Any], replies: int, failed: dict[str, int]
) -> None:
    provider.command(**told)
    spec = batching.spec_of(provider.url, PROMPTS)
    ran = batching.run(catalog, spec)
    assert (len(ran.replies), kinds(ran), states(catalog)) == (replies, failed, {"collected": 1})
    assert any(told.get("message", told["end"]) in line for line in ran.said)
    provider.command(end="completed", answered=None, counts=True)
    again = batching.run(catalog, spec)
    assert (again.planned, again.collected, len(answered(catalog))) == (5 - replies, 5 - replies, 5)


@pytest.mark.parametrize("step", ["upload", "create", "retrieve", "content"])
@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_waited_for(provider: BatchServer, catalog: Catalog, step: str, status: int) -> None:
    provider.command(fail={step: [status, 3, {"Retry-After": "0"}]})
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (ran.collected, len(answered(catalog))) == (5, 5)
    assert provider.state()["steps"][step] >= 4
    assert paid(provider) == {1: 5}


@pytest.mark.parametrize(("late", "collected"), [(3, 5), (10**9, 0)])
def test_a_batch_that_names_its_files_late_is_looked_at_again(
    provider: BatchServer, catalog: Catalog, late: int, collected: int
) -> None:
    provider.command(late=late)
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (len(ran.replies), len(answered(catalog)), states(catalog)) == (collected, collected, {"collected": 1})


def test_a_poll_is_never_given_up(provider: BatchServer, catalog: Catalog) -> None:
    provider.command(fail={"retrieve": [500, 25]})
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS, limits={"max_attempts": 2}))
    assert (ran.collected, len(answered(catalog))) == (5, 5)
    assert sum("cannot be asked at the moment" in line for line in ran.said) == 2


def test_retry_after_is_obeyed(provider: BatchServer, catalog: Catalog) -> None:
    provider.command(fail={"retrieve": [429, 1, {"Retry-After": "600"}]})
    with batching.batching(provider.url, catalog, PROMPTS) as running:
        wait_for(provider, "retrieve")
        # A whole other fill, which polls twice, takes many times as long as the lane's own pauses.
        other = Catalog(catalog.path.with_name("other.duckdb"))
        assert batching.run(other, batching.spec_of(provider.url, PROMPTS)).collected == 5
        assert provider.state()["steps"]["retrieve"] == 1 + 2
        running.process.send_signal(signal.SIGINT)
        assert running.outcome()["waiting"] == 5


def test_a_batch_that_was_made_though_its_answer_failed_is_not_made_again(
    provider: BatchServer, catalog: Catalog
) -> None:
    provider.command(fail={"created": [500, 1]})
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (ran.collected, paid(provider)) == (5, {1: 5})
    assert provider.state()["steps"]["create"] == 1


def test_a_batch_is_found_on_a_later_page(provider: BatchServer, catalog: Catalog) -> None:
    for n in range(3):
        batching.run(catalog, batching.spec_of(provider.url, [f"Tell me about number {n}."]))
    provider.command(fail={"created": [500, 1]}, page=1)
    with batching.batching(provider.url, catalog, PROMPTS, stop_at="before sent") as first:
        first.line("at")
        first.kill()
    for n in range(3, 6):
        batching.run(Catalog(catalog.path.with_name("other.duckdb")), batching.spec_of(provider.url, [f"Number {n}."]))
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (ran.planned, ran.collected) == (0, 5)
    assert paid(provider) == {1: 11}


@pytest.mark.parametrize(("step", "status"), [("upload", 401), ("create", 400), ("create", 404)])
def test_a_batch_that_is_refused_stops_the_model_and_fails_no_call(
    provider: BatchServer, catalog: Catalog, step: str, status: int
) -> None:
    provider.command(fail={step: [status, 1]})
    spec = batching.spec_of(provider.url, PROMPTS)
    ran = batching.run(catalog, spec)
    assert ran.stopped is not None
    assert "Not now." in ran.stopped
    assert (ran.sent, ran.kept, states(catalog)) == (0, [], {"lost": 1})
    assert sum("Not now." in line for line in ran.said) == 1
    again = batching.run(catalog, spec)
    assert (again.planned, again.collected, len(answered(catalog))) == (5, 5, 5)


def test_a_redirect_takes_the_prompts_nowhere(provider: BatchServer, catalog: Catalog) -> None:
    provider.command(fail={"upload": [307, 1, {"Location": f"{provider.url}/elsewhere/files"}]})
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert ran.stopped is not None
    assert "redirects to" in ran.stopped
    assert provider.state()["files"] == 0


def test_attempts_to_send_are_bounded(provider: BatchServer, catalog: Catalog) -> None:
    provider.command(fail={"upload": [503, 100]})
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS, limits={"max_attempts": 3}))
    assert ran.stopped is not None
    assert provider.state()["steps"]["upload"] == 3
    assert states(catalog) == {"lost": 1}


def test_an_unknown_batch_is_not_believed_at_once(
    provider: BatchServer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = batching.spec_of(provider.url, PROMPTS)
    with batching.batching(provider.url, catalog, PROMPTS, stop_at="after sent") as first:
        first.line("at")
        first.kill()
    provider.command(forget=True)
    ran = batching.run(catalog, spec)
    assert (ran.planned, ran.sent, ran.waiting, states(catalog)) == (0, 0, 5, {"sent": 1})
    assert any("is the key of the account" in line for line in ran.said)
    monkeypatch.setattr(batch_waiting, "KNOWN_S", -1.0)
    ran = batching.run(catalog, spec)
    assert (ran.waiting, states(catalog)) == (0, {"lost": 1})
    provider.command(forget=False)
    assert batching.run(catalog, spec).collected == 5


# --- kills ------------------------------------------------------------------------------------------------------------

HELD = {"upload": "upload", "create": "create", "created": "create", "retrieve": "retrieve", "content": "content"}
"""Steps at which the server stands still, and what it has been asked for then."""


def wait_for(provider: BatchServer, step: str) -> None:
    """Wait until the server has been asked for a step."""
    for _ in range(2000):
        if provider.state()["steps"].get(step):
            return
        time.sleep(0.02)
    raise AssertionError(f"{step} was never asked for")


@pytest.mark.parametrize("step", HELD)
def test_a_kill_while_the_provider_does_not_answer(provider: BatchServer, catalog: Catalog, step: str) -> None:
    provider.command(hold=[step])
    with batching.batching(provider.url, catalog, PROMPTS) as first:
        wait_for(provider, step)
        first.kill()
    provider.command(hold=[])
    spec = batching.spec_of(provider.url, PROMPTS)
    _finish(catalog, spec)
    assert len(answered(catalog)) == 5
    assert paid(provider) == {1: 5}
    lost = step in ("upload", "create")
    assert states(catalog) == ({"lost": 1, "collected": 1} if lost else {"collected": 1})
    assert verify(catalog).problems == ()


@pytest.mark.parametrize(
    "stop_at", ["before sent", "after sent", "kept 1", "kept 3", "kept 5", "before collected", "after collected"]
)
def test_a_kill_between_two_steps(provider: BatchServer, catalog: Catalog, stop_at: str) -> None:
    with batching.batching(provider.url, catalog, PROMPTS, stop_at=stop_at) as first:
        assert first.line("at") == stop_at
        first.kill()
    _finish(catalog, batching.spec_of(provider.url, PROMPTS))
    assert len(answered(catalog)) == 5
    assert paid(provider) == {1: 5}
    assert states(catalog) == {"collected": 1}
    assert verify(catalog).problems == ()
    with catalog.reading() as connection:
        assert connection.execute("SELECT count(*) FROM lrm.failures").fetchall() == [(0,)]


def test_a_kill_again_and_again(provider: BatchServer, catalog: Catalog) -> None:
    for stop_at in ("before sent", "after sent", "kept 2", "before collected"):
        with batching.batching(provider.url, catalog, PROMPTS, stop_at=stop_at) as one:
            one.line("at")
            one.kill()
    _finish(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (len(answered(catalog)), paid(provider), states(catalog)) == (5, {1: 5}, {"collected": 1})


def _finish(catalog: Catalog, spec: Matrix) -> None:
    """Fill until nothing is missing: once for what is open, and once for what was lost."""
    for _ in range(2):
        batching.run(catalog, spec)
    assert batching.run(catalog, spec).planned == 0


def test_an_interrupt_leaves_the_batch_at_the_provider(provider: BatchServer, catalog: Catalog) -> None:
    provider.command(polls=10**9)
    with batching.batching(provider.url, catalog, PROMPTS) as first:
        assert "5 calls sent" in first.line("say")
        wait_for(provider, "retrieve")
        first.process.send_signal(signal.SIGINT)
        assert "5 calls are at the provider in 1 batch" in first.line("say")
        assert first.outcome()["waiting"] == 5
    assert states(catalog) == {"sent": 1}
    provider.command(polls=0)
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (ran.planned, ran.sent, ran.collected, len(answered(catalog))) == (0, 0, 5, 5)
    assert paid(provider) == {1: 5}


def test_the_batch_of_a_live_run_is_left_to_it(provider: BatchServer, catalog: Catalog) -> None:
    spec = batching.spec_of(provider.url, PROMPTS)
    with batching.batching(provider.url, catalog, PROMPTS, stop_at="after sent") as first:
        first.line("at")
        steps = provider.state()["steps"]
        ran = batching.run(catalog, spec)
        assert (ran.planned, ran.sent, ran.collected, ran.waiting) == (0, 0, 0, 0)
        assert provider.state()["steps"] == steps
        first.kill()
    assert batching.run(catalog, spec).collected == 5


def test_what_was_added_is_sent_beside_what_is_open(provider: BatchServer, catalog: Catalog) -> None:
    provider.command(polls=10**9)
    with batching.batching(provider.url, catalog, PROMPTS[:3], stop_at="after sent") as first:
        first.line("at")
        first.kill()
    provider.command(polls=0)
    ran = batching.run(catalog, batching.spec_of(provider.url, PROMPTS))
    assert (ran.planned, ran.sent, ran.collected, len(answered(catalog))) == (2, 2, 5, 5)
    assert paid(provider) == {1: 5}


def test_a_provider_that_does_not_list_what_it_has_at_once_is_waited_for(
    provider: BatchServer, catalog: Catalog
) -> None:
    with batching.batching(provider.url, catalog, PROMPTS, stop_at="before sent") as first:
        first.line("at")
        first.kill()
    provider.command(unlisted=True)
    with batching.batching(provider.url, catalog, PROMPTS, SETTLE_S=60.0) as second:
        wait_for(provider, "list")
        second.process.send_signal(signal.SIGINT)
        assert second.outcome()["waiting"] == 5
    assert states(catalog) == {"intended": 1}
    provider.command(unlisted=False)
    with batching.batching(provider.url, catalog, PROMPTS, SETTLE_S=60.0) as third:
        assert third.outcome()["collected"] == 5
    assert (len(answered(catalog)), paid(provider)) == (5, {1: 5})


def test_a_model_without_batches_is_refused(catalog: Catalog) -> None:
    with pytest.raises(ModelError, match="cannot make any"):
        batching.run(
            catalog, batching.spec_of("http://127.0.0.1:9", PROMPTS, model="anthropic/claude-3-haiku-20240307")
        )
    assert states(catalog) == {}


@pytest.mark.parametrize("name", ["hosted_vllm/ok", "litellm_proxy/ok", "azure/ok"])
def test_each_provider_that_is_taken_is_spoken_to(
    provider: BatchServer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SOME_KEY", "declared-key-1")
    monkeypatch.setenv("AZURE_API_VERSION", "2025-04-01-preview")
    provider.command(fail={"created": [500, 1]})
    url = provider.root if name.startswith("azure") else provider.url
    ran = batching.run(catalog, batching.spec_of(url, PROMPTS, model=name, api_key_env="SOME_KEY"))
    assert (ran.collected, len(answered(catalog)), paid(provider)) == (5, 5, {1: 5})
    steps = provider.state()["steps"]
    assert {step: steps[step] for step in ("upload", "create", "list", "content")} == {
        "upload": 1, "create": 1, "list": 1, "content": 1,
    }  # fmt: skip
