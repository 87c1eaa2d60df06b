"""One fill over everything that a server can do wrong: each cell ends as it should, and both sides count the same."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.backends.base import Call, CallFailure, FailureClass
from lrm.backends.open import open_backend
from lrm.run import capacity, runner
from lrm.run.fill import fill
from lrm.run.lane import pause_s
from lrm.run.progress import Outcome
from lrm.spec.matrix import Matrix, Slice
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import builders
from tests.chaos_server import BYTE_S
from tests.servers import Server, serving

ATTEMPTS = 2
PATIENCE_S = {"http": 3.0, "litellm": 8.0}
"""Seconds for an attempt: enough for the slow replies, and for litellm's first ones on a busy machine."""
EACH = 2
"""Prompts that ask for the same misbehaviour; but one for each limit, as those make the others of their pool wait."""

DONE = [
    "ok", "parrot", "slow", "drip", "drip-ok", "late-body", "padding", "chunked", "no-length", "created",
    "cost", "cut", "empty", "null", "hidden", "marked", "think-inline", "think-template", "think-field",
    "escape", "surrogate", "surrogates", "nul", "long-line", "five-mb", "duplicate-keys", "deep", "nan",
    "huge-number", "usage-null", "quota-nonsense", "byte-order-mark", "gzip", "wrong-kind", "padded",
    "early-hints", "no-finish", "refusal-field", "tool-calls", "flaky+500", "flaky+drop", "flaky+html",
    "flaky+half-body", "flaky+chunked-cut",
]  # fmt: skip
BLOCKED = [
    "filter", "filter400", "filter403", "filter-prompt", "filter-policy", "filter-words", "filter-inspected",
    "filter-403", "filter-on-the-way", "filter-refusal", "flaky+500+then+filter",
]  # fmt: skip
FAILED = {
    "server": [
        "500", "502-html", "status-409", "status-425", "status-502", "status-520", "status-524", "flaky+500x9",
    ],
    "timeout": ["hang", "hang-in-head", "stall", "drip-for-ever", "status-408"],
    "connection": [
        "drop", "drop-in-head", "drop-in-body", "reset-in-body", "too-short", "half-body", "chunked-cut",
    ],
    "bad_payload": [
        "html", "empty-200", "no-content", "json-cut", "json-list", "json-null", "no-choices", "event-stream",
        "not-utf8", "invalid-utf8", "latin-1", "deeper", "gzip-cut", "not-http", "chunked-nonsense",
    ],
    "not_found": ["status-410"],
    "context_too_long": ["context", "context-words", "status-413"],
    "bad_request": [
        "400", "status-422", "status-451", "redirect", "redirect-307", "redirect-308", "redirect-away",
    ],
}  # fmt: skip
LIMITED = [
    "429", "429-0", "429-1", "429-ms", "429-negative", "429-nonsense", "429-date", "429-date-past", "429-html",
    "429-empty", "503-0", "529", "status-498", "overloaded-in-200", "error-in-200",
]  # fmt: skip
SERVED_LATE = ["flaky+429", "flaky+429-1", "flaky+429-date", "flaky+529", "flaky+503-0"]
OF_BACKEND: dict[str, dict[str, str]] = {
    "http": {
        "reset": "connection", "flaky+reset": "done", "gzip-not": "connection",
        "bare-controls": "done", "content-parts": "done", "no-message": "done",
        "usage-nonsense": "done", "filter-in-200": "blocked", "error-in-choice": "server", "status-504": "server",
    },
    "litellm": {
        "bare-controls": "bad_payload", "content-parts": "bad_payload", "no-message": "bad_payload",
        "usage-nonsense": "bad_payload", "error-in-choice": "bad_payload", "gzip-not": "bad_payload",
        "status-504": "timeout",
    },
}  # fmt: skip
"""What litellm reads otherwise than plain HTTP does."""
TIMEOUT: tuple[FailureClass, ...] = ("timeout",)
BACKENDS: dict[str, dict[str, Any]] = {
    "http": {"model": "ok"},
    "litellm": {"model": "hosted_vllm/ok", "price": {"input": 1, "output": 1}},
}


def endings(backend: str) -> dict[str, str]:
    """Return by behaviour how a cell ends: `done`, `blocked`, or the class of its failure."""
    found = dict.fromkeys(DONE, "done") | dict.fromkeys(BLOCKED, "blocked")
    for kind, names in FAILED.items():
        found |= dict.fromkeys(names, kind)
    return found | OF_BACKEND[backend]


def mixed(names: list[str], each: int = EACH) -> dict[str, str]:
    """Return prompts by key, such that what is answered stands between what is not."""
    return {
        f"{name} {n}": f"behave: {name} # {n}" for n in range(each) for name in sorted(names, key=lambda one: one[::-1])
    }


def spec_of(server: Server, backend: str, *, failing: bool = True) -> Matrix:
    """Return a matrix of two models with keys, and so pools, of their own: one is limited, one meets all the rest."""
    plain = endings(backend)
    limited = [*LIMITED, *SERVED_LATE]
    if not failing:
        plain = {name: end for name, end in plain.items() if end in {"done", "blocked"}}
        limited = SERVED_LATE
    limits = {"max_attempts": ATTEMPTS, "timeout_s": PATIENCE_S[backend], "max_in_flight": 40}
    declared = {"backend": backend, "endpoint": server.url, "limits": limits, **BACKENDS[backend]}
    models = [
        builders.model("plain", **declared),
        builders.model("limited", **declared, api_key_env="LRM_TEST_KEY", sampling={"temperature": 0.5}),
    ]
    sets = [builders.prompt_set("rest", mixed(list(plain))), builders.prompt_set("limits", mixed(limited, 1))]
    attack = builders.attack()
    return Matrix(
        "chaos",
        builders.SPEC,
        {one.name: one for one in models},
        {one.name: one for one in sets},
        {attack.name: attack},
        (Slice("plain", "rest", "none", 1), Slice("limited", "limits", "none", 1)),
        (builders.judge(scopes=("thinking", "answer")),),
    )


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module", params=list(BACKENDS))
def chaos(
    request: pytest.FixtureRequest, own_server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Catalog, Outcome, Server]]:
    """Fill once over everything; pauses are a twentieth, and those of the gate where nobody named any are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRM_TEST_KEY", "sk-test-0123456789")
        patch.setattr(runner, "pause_s", _shorter)
        patch.setattr(capacity, "_LONGEST_PAUSE_S", 0.1)
        catalog = Catalog(tmp_path_factory.mktemp("chaos") / "catalog.duckdb")
        own_server.reset()
        outcome = fill(spec_of(own_server, request.param), catalog)
        yield request.param, catalog, outcome, own_server


def _shorter(failure: CallFailure, attempts: int) -> float:
    return pause_s(failure, attempts) / 20


def test_every_cell_ends_as_it_should(chaos: tuple[str, Catalog, Outcome, Server]) -> None:
    backend, catalog, outcome, _ = chaos
    expected = {f"{name} {n}": end for name, end in endings(backend).items() for n in range(EACH)}
    expected |= {f"{name} 0": "rate_limited" for name in LIMITED} | {f"{name} 0": "done" for name in SERVED_LATE}
    found = builders.rows(catalog, "SELECT prompt, coalesce(failure, state) FROM cells")
    assert dict(found) == expected
    ends = Counter(end for _, end in found)
    assert outcome.left == 0
    assert outcome.done == ends["done"] + ends["blocked"]
    assert outcome.blocked == ends["blocked"]
    assert outcome.failed == len(found) - outcome.done
    assert verify(catalog).problems == ()


def test_the_counts_at_the_server_are_those_of_the_catalog(chaos: tuple[str, Catalog, Outcome, Server]) -> None:
    """For every call: requests at the server = failed attempts, and one more where there is a response."""
    _, catalog, outcome, server = chaos
    in_catalog: Counter[str] = Counter()
    for (messages,) in builders.rows(catalog, "SELECT messages FROM attempts"):
        in_catalog[_last(messages)] += 1
    answered = builders.rows(
        catalog,
        "SELECT m.messages FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.messages m ON m.n = c.messages_n",
    )
    for (messages,) in answered:
        in_catalog[_last(messages)] += 1
    at_server = {seen["last"]: seen["received"] for seen in server.calls().values()}
    assert at_server == in_catalog
    requests = builders.rows(catalog, "SELECT requests FROM lrm.runs WHERE id = ?", outcome.run)
    assert requests == [(server.total(),)]
    assert server.count()["elsewhere"] == 0


def test_each_attempt_is_kept_with_its_class_and_status(chaos: tuple[str, Catalog, Outcome, Server]) -> None:
    _, catalog, outcome, _ = chaos
    attempts = builders.rows(
        catalog, "SELECT call, list(attempt ORDER BY tried_at), any_value(state) FROM attempts GROUP BY call"
    )
    assert {tuple(numbers) for _, numbers, _ in attempts} <= {(1,), (1, 2)}
    assert {state for _, _, state in attempts} == {"done", "blocked", "failed"}
    found = builders.rows(catalog, "SELECT kind, http_status, latency_ms, run FROM attempts")
    assert {(kind, status) for kind, status, _, _ in found} >= {
        ("rate_limited", 429), ("rate_limited", 529), ("rate_limited", 503), ("server", 500), ("server", 502),
        ("bad_request", 307), ("context_too_long", 413), ("connection", None), ("timeout", None),
    }  # fmt: skip
    assert {run for *_, run in found} == {outcome.run}
    assert all(ms is not None and ms >= 0 for _, _, ms, _ in found)
    failures = builders.rows(catalog, "SELECT kind, attempts FROM lrm.failures")
    permanent = {"not_found", "context_too_long", "bad_request"}
    assert {(kind, tried) for kind, tried in failures if kind in permanent} == {(kind, 1) for kind in permanent}
    assert {tried for kind, tried in failures if kind not in permanent} == {ATTEMPTS}


def test_a_fill_of_what_did_not_fail_asks_nothing(chaos: tuple[str, Catalog, Outcome, Server]) -> None:
    backend, catalog, _, server = chaos
    before = server.total()
    again = fill(spec_of(server, backend, failing=False), catalog)
    assert (again.run, again.plan.calls) == (None, 0)
    assert server.total() == before


def test_only_failures_of_a_class_are_asked_again(chaos: tuple[str, Catalog, Outcome, Server]) -> None:
    """Comes last: it changes what the other tests look at."""
    backend, catalog, _, server = chaos
    slow = {name for name, end in endings(backend).items() if end == "timeout"}
    server.reset()
    again = fill(spec_of(server, backend), catalog, retry_failed=TIMEOUT)
    assert {seen["last"] for seen in server.calls().values()} == {
        f"behave: {name} # {n}" for name in slow for n in range(EACH)
    }
    assert again.done == 0
    assert again.failed + again.left == EACH * len(slow)  # a model that answers nothing at all is given up after ten
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.attempts WHERE run = ?", again.run) == [(server.total(),)]


# --- what neither side can count --------------------------------------------------------------------------------------


def asking(server: Server, backend: str, prompts: list[str], **limits: int) -> Matrix:
    """Return a matrix of one model and these prompts."""
    declared = {"backend": backend, "endpoint": server.url, "limits": limits, **BACKENDS[backend]}
    return builders.matrix([builders.model("m", **declared)], [builders.prompt_set("set", prompts)])


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_reply_that_nobody_asked_for_answers_no_call(backend: str, server: Server) -> None:
    """A second reply comes on a connection that is idle by then; the next call on it must not take it for its own.

    One that comes after the next request was sent looks like that one's own: nothing in HTTP/1.1 tells them apart.
    """
    declared = builders.model("m", **{"backend": backend, "endpoint": server.url, **BACKENDS[backend]}).declaration
    opened = open_backend(declared)
    try:
        for n in range(3):
            for words in (f"behave: second-reply # {n}", f"good {n}"):
                messages = json.dumps([{"role": "user", "content": words}])
                reply = await opened.ask(Call(bytes(32), messages, 0))
                assert "Nobody asked" not in reply.raw
                await asyncio.sleep(10 * BYTE_S)  # until the second reply has come
    finally:
        await opened.close()
    assert server.total() == 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_reset_connection_is_one_request(backend: str, server: Server, tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    outcome = fill(asking(server, backend, ["behave: reset", "good"], max_attempts=1), catalog)
    assert (outcome.done, outcome.failures) == (1, (("m", "connection", 1),))
    assert server.total() == 2


def _last(messages: str) -> str:
    last: str = json.loads(messages)[-1]["content"]
    return last
