"""Fills against a real server in a process of its own, which counts what it is asked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lrm.backends.base import CallFailure
from lrm.errors import ModelError
from lrm.plan.plan import Plan
from lrm.run import runner
from lrm.run.fill import fill
from lrm.run.lane import pause_s
from lrm.run.progress import Progress, Silent
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import builders
from tests.servers import Server

ROWS = {f"k{n}": f"text {n}" for n in range(12)}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


class Watch(Silent):
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.plans: list[Plan] = []
        self.last: Progress | None = None

    def planned(self, plan: Plan) -> None:
        self.plans.append(plan)

    def tick(self, progress: Progress) -> None:
        self.last = progress

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have the runner note its pauses between attempts instead of waiting."""
    noted: list[float] = []

    def note(failure: CallFailure, attempts: int) -> float:
        noted.append(pause_s(failure, attempts))
        return 0.0

    monkeypatch.setattr(runner, "pause_s", note)
    return noted


def spec_of(server: Server, *, rows: dict[str, str] | None = None, replicates: int = 1, **fields: Any) -> Matrix:
    return builders.matrix(
        [builders.http_model(server.url, **fields)],
        [builders.prompt_set("set", rows or ROWS)],
        [builders.attack("none"), builders.template("say", "Say: {prompt}")],
        replicates=replicates,
        judges=[builders.judge(scopes=("thinking", "answer"))],
    )


def states(catalog: Catalog) -> dict[str, int]:
    return dict(builders.rows(catalog, "SELECT state, count(*) FROM cells GROUP BY state"))


BACKENDS: dict[str, dict[str, Any]] = {
    "http": {},
    "litellm": {"backend": "litellm", "model": "hosted_vllm/ok", "price": {"input": 1, "output": 1}},
}


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_fill_of_an_unchanged_spec_asks_nothing(catalog: Catalog, server: Server, backend: str) -> None:
    spec = spec_of(server, **BACKENDS[backend])
    outcome = fill(spec, catalog)
    assert (outcome.done, outcome.failed, outcome.left) == (24, 0, 0)
    assert server.total() == 24
    assert set(server.count()["by_digest"].values()) == {1}
    assert verify(catalog).problems == ()
    assert builders.rows(catalog, "SELECT status, count(*) FROM verdicts GROUP BY status") == [("ok", 48)]

    server.reset()
    again = fill(spec, catalog)
    assert server.total() == 0
    assert again.run is None
    assert again.plan.nothing_to_do


def test_exactly_what_changed_is_asked(catalog: Catalog, server: Server) -> None:
    fill(spec_of(server), catalog)
    for changed, calls in (
        (spec_of(server, rows={**ROWS, "k3": "changed"}), 2),
        (spec_of(server, sampling={"temperature": 0.5}), 24),
        (spec_of(server, limits={"max_in_flight": 2}, description="same", price={"input": 1, "output": 1}), 0),
        (spec_of(server, replicates=2), 24),
        (spec_of(server, rows=dict(reversed(ROWS.items()))), 0),
    ):
        server.reset()
        assert fill(changed, catalog).done == calls
        assert server.total() == calls


def test_cells_that_share_a_call_ask_it_once(catalog: Catalog, server: Server) -> None:
    spec = builders.matrix(
        [builders.http_model(server.url)],
        [
            builders.prompt_set("set", {"a": "alpha", "b": "alpha", "c": "Say: alpha"}),
            builders.prompt_set("other", ["alpha"]),
        ],
        [builders.attack("none"), builders.template("say", "Say: {prompt}")],
    )
    outcome = fill(spec, catalog)
    assert (outcome.plan.cells, outcome.done) == (8, 3)
    assert server.total() == 3
    assert states(catalog) == {"done": 8}


def test_a_limit_is_what_is_asked(catalog: Catalog, server: Server) -> None:
    assert fill(spec_of(server), catalog, limit=5).done == 5
    assert server.total() == 5
    assert states(catalog) == {"done": 5, "missing": 19}
    assert fill(spec_of(server), catalog).done == 19
    assert server.total() == 24


def test_replicates_are_sent_their_own_seed(catalog: Catalog, server: Server) -> None:
    fill(spec_of(server, replicates=3, sampling={"seed": 40}), catalog)
    assert Counter(body["seed"] for body in server.bodies()) == {40: 24, 41: 24, 42: 24}


def test_no_more_is_in_flight_than_the_model_allows(catalog: Catalog, server: Server) -> None:
    fill(spec_of(server, behaviour="slow", limits={"max_in_flight": 3}), catalog)
    assert server.count()["in_flight_max"] == 3


def test_a_new_judge_grades_what_is_there_and_asks_nothing(catalog: Catalog, server: Server) -> None:
    spec = spec_of(server)
    fill(spec, catalog)
    server.reset()
    judged = builders.matrix(
        spec.models.values(),
        spec.prompt_sets.values(),
        spec.attacks.values(),
        judges=[builders.judge("strict", unsafe_from=0.5)],
    )
    outcome = fill(judged, catalog)
    assert (outcome.run, outcome.graded) == (None, 24)
    assert server.total() == 0
    assert builders.rows(catalog, "SELECT judge, status, count(*) FROM verdicts GROUP BY ALL") == [("strict", "ok", 24)]


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "kind", "attempts"),
    [
        ("500", "server", 3),
        ("429", "rate_limited", 3),
        ("drop", "connection", 3),
        ("html", "bad_payload", 3),
        ("half-body", "connection", 3),
        ("400", "bad_request", 1),
        ("404", "not_found", 1),
        ("context", "context_too_long", 1),
    ],
)
def test_failures_are_stored_by_class_and_asked_again(
    catalog: Catalog, server: Server, pauses: list[float], behaviour: str, kind: str, attempts: int
) -> None:
    rows = {"good": "fine", "bad": f"behave: {behaviour}"}
    spec = builders.matrix(
        [builders.http_model(server.url, "m", limits={"max_attempts": 3})], [builders.prompt_set("set", rows)],
        judges=[builders.judge()],
    )  # fmt: skip
    outcome = fill(spec, catalog)
    assert (outcome.done, outcome.failed, outcome.left) == (1, 1, 0)
    assert outcome.failures == (("m", kind, 1),)
    assert server.total() == 1 + attempts
    assert len(pauses) == attempts - 1
    found = builders.rows(catalog, "SELECT prompt, state, failure FROM cells ORDER BY prompt")
    assert found == [("bad", "failed", kind), ("good", "done", None)]
    assert builders.rows(catalog, "SELECT kind, attempts FROM lrm.failures") == [(kind, attempts)]
    assert builders.rows(catalog, "SELECT status FROM verdicts WHERE prompt = 'bad'") == [("failed",)]

    server.reset()
    again = fill(spec, catalog)
    assert (again.plan.failed, again.plan.calls, again.failed) == (1, 1, 1)
    assert server.total() == attempts
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.failures") == [(2,)]
    assert verify(catalog).problems == ()


@pytest.mark.parametrize("behaviour", ["500-once", "drop-once"])
def test_what_is_transient_is_asked_again_at_once(
    catalog: Catalog, server: Server, pauses: list[float], behaviour: str
) -> None:
    watch = Watch()
    outcome = fill(spec_of(server, behaviour=behaviour), catalog, observer=watch)
    assert (outcome.done, outcome.failed) == (24, 0)
    assert server.total() == 48
    assert len(pauses) == 24
    assert watch.last is not None
    assert watch.last.models["m"].retries == 24
    assert builders.rows(catalog, "SELECT DISTINCT attempts FROM lrm.generations") == [(2,)]
    assert max(pauses) <= 1
    attempts = builders.rows(catalog, "SELECT attempt, state, count(*) FROM attempts GROUP BY ALL")
    assert attempts == [(1, "done", 24)]


def test_pauses_grow(catalog: Catalog, server: Server, pauses: list[float]) -> None:
    spec = builders.matrix(
        [builders.http_model(server.url, behaviour="500", limits={"max_attempts": 6})],
        [builders.prompt_set("set", ["a"])],
    )
    fill(spec, catalog)
    assert len(pauses) == 5
    assert all(0.5 * 2**n <= pause <= 0.5 * 2**n + 0.5 for n, pause in enumerate(pauses))


def test_a_key_that_is_refused_stops_that_model_only(catalog: Catalog, server: Server) -> None:
    one_at_a_time = {"max_in_flight": 1}
    models = [
        builders.http_model(server.url, "refused", behaviour="401", limits=one_at_a_time),
        builders.http_model(server.url, "good", limits=one_at_a_time),
    ]
    spec = builders.matrix(models, [builders.prompt_set("set", ROWS)])
    watch = Watch()
    outcome = fill(spec, catalog, observer=watch)
    assert (outcome.done, outcome.failed, outcome.left) == (12, 1, 11)
    assert outcome.failures == (("refused", "auth", 1),)
    assert server.count()["by_model"] == {"401": 1, "ok": 12}
    assert len([line for line in watch.lines if line.startswith("refused:")]) == 1
    assert not [line for line in watch.lines if line.startswith("good:")]


def test_many_in_flight_are_told_once_that_the_key_is_refused(catalog: Catalog, server: Server) -> None:
    watch = Watch()
    outcome = fill(spec_of(server, behaviour="401", limits={"max_in_flight": 8}), catalog, observer=watch)
    assert outcome.done == 0
    assert outcome.failed + outcome.left == 24
    assert outcome.failed == server.total() <= 8
    assert len(watch.lines) == 1


@pytest.mark.parametrize("behaviour", ["filter", "filter400"])
def test_a_refusal_by_the_provider_is_a_result(catalog: Catalog, server: Server, behaviour: str) -> None:
    spec = spec_of(server, behaviour=behaviour)
    outcome = fill(spec, catalog)
    assert (outcome.done, outcome.blocked, outcome.failed) == (24, 24, 0)
    assert states(catalog) == {"blocked": 24}
    server.reset()
    assert fill(spec, catalog).plan.blocked == 24
    assert server.total() == 0


@pytest.mark.parametrize("behaviour", ["escape", "surrogate", "nul", "empty", "null", "cut", "think-inline", "hidden"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_whatever_a_model_says_is_kept(catalog: Catalog, server: Server, behaviour: str, backend: str) -> None:
    declared = dict(BACKENDS[backend])
    prefix = str(declared.pop("model", "")).rpartition("/")[0]
    spec = builders.matrix(
        [builders.http_model(server.url, behaviour=f"{prefix}/{behaviour}" if prefix else behaviour, **declared)],
        [builders.prompt_set("set", ["one", "two"])],
        judges=[builders.judge(scopes=("thinking", "answer", "both"))],
    )
    assert fill(spec, catalog).done == 2
    assert states(catalog) == {"done": 2}
    assert verify(catalog).problems == ()
    assert fill(spec, catalog).run is None


# --- models that cannot be asked --------------------------------------------------------------------------------------


def test_a_model_without_its_key_is_reported_and_the_others_go_on(
    catalog: Catalog, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LRM_TEST_ABSENT", raising=False)
    models = [
        builders.http_model(server.url, "keyless", model="other", api_key_env="LRM_TEST_ABSENT"),
        builders.http_model(server.url, "good"),
    ]
    spec = builders.matrix(models, [builders.prompt_set("set", ROWS)])
    watch = Watch()
    outcome = fill(spec, catalog, observer=watch)
    assert (outcome.done, outcome.failed, outcome.left) == (12, 0, 12)
    assert "LRM_TEST_ABSENT" in "".join(outcome.notes)
    assert [line for line in watch.lines if "keyless" in line and "LRM_TEST_ABSENT" in line]
    assert states(catalog) == {"done": 12, "missing": 12}


def test_a_fill_that_can_ask_nobody_says_why(catalog: Catalog, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRM_TEST_ABSENT", raising=False)
    with pytest.raises(ModelError, match="LRM_TEST_ABSENT"):
        fill(spec_of(server, api_key_env="LRM_TEST_ABSENT"), catalog)
    assert server.total() == 0
    assert states(catalog) == {"missing": 24}
    assert not catalog.journal_folder.exists()


def test_a_run_is_recorded(catalog: Catalog, server: Server) -> None:
    watch = Watch()
    outcome = fill(spec_of(server, price={"input": 1, "output": 2}), catalog, observer=watch)
    found = builders.rows(catalog, "SELECT id, spec, state, done, failed, ended_at >= started_at FROM lrm.runs")
    assert found == [(outcome.run, "spec", "ended", 24, 0, True)]
    assert (outcome.input_tokens, outcome.output_tokens) == (24 * 11, 24 * 34)
    assert outcome.cost == pytest.approx(24 * (11 * 1 + 34 * 2) / 1e6)
    assert watch.plans == [outcome.plan]
    assert watch.last is not None
    assert watch.last.models["m"].left == 0


# --- keys -------------------------------------------------------------------------------------------------------------

KEY = "tok_planted5ecretValue0123456789"


class _Echo(BaseHTTPRequestHandler):
    """Repeats the key that it was sent: in errors, or in a reply where the prompt says `reply`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        header = self.headers["Authorization"]
        if "reply" in asked:
            status, body = 200, builders.payload(f"your header was {header}", thinking=f"key {KEY}")
        else:
            status = next((code for code in (401, 400, 500) if f"fail {code}" in asked), 400)
            body = f'{{"error": {{"message": "bad key {KEY} in {header}", "code": "{KEY}"}}}}'
        data = body.encode()
        self.send_response(status, KEY)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Key", KEY)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def echoing() -> Iterator[str]:
    """Run a server that repeats keys; yield its base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}/v1"
        finally:
            httpd.shutdown()
            thread.join()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_key_is_found_nowhere(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pauses: list[float],
    backend: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Neither the declared one nor what a server repeats of it: not in any file, nor in what the user is told."""
    monkeypatch.setenv("LRM_TEST_KEY", KEY)
    catalog = Catalog(tmp_path / "catalog.duckdb")
    journals: list[bytes] = []

    class Snooping(Watch):
        def tick(self, progress: Progress) -> None:
            super().tick(progress)
            journals.extend(path.read_bytes() for path in catalog.journal_folder.glob("*"))

    watch = Snooping()
    with echoing() as url:
        declared = {
            **BACKENDS[backend],
            "api_key_env": "LRM_TEST_KEY",
            "limits": {"max_in_flight": 1, "max_attempts": 2},
        }
        spec = builders.matrix(
            [builders.http_model(url, **declared)],
            [builders.prompt_set("set", ["reply", "fail 400", "fail 500", "fail 401"])],
            judges=[builders.judge()],
        )
        outcome = fill(spec, catalog, observer=watch, doing="lrm matrix fill")
    assert (outcome.done, outcome.failed, outcome.left) == (1, 2, 1)  # the server error waited to be asked again
    failures = builders.rows(catalog, "SELECT message FROM lrm.attempts")
    assert len(failures) == 3
    told = "\n".join(
        [*watch.lines, *outcome.notes, repr(outcome), repr(watch.last), repr(failures), *capfd.readouterr()]
    )
    assert KEY not in told
    with catalog.reading() as connection:
        tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
        for schema, table in tables:
            assert KEY not in repr(connection.execute(f"FROM {schema}.{table}").fetchall()), table
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path.name
    assert not [content for content in journals if KEY.encode() in content]
