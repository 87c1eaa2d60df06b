from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm.plan import planner, workspace
from lrm.plan.workspace import Workspace
from lrm.run import feed as feeds
from lrm.run.feed import Feed, copy_todo
from lrm.run.progress import ModelProgress
from lrm.spec.lock import Lock
from lrm.store.catalog import Catalog
from tests import builders

PROMPTS = 50
SPEC = builders.matrix(
    [builders.model("one"), builders.model("two", model="two")],
    [builders.prompt_set("set", {f"k{n}": f"text {n}" for n in range(PROMPTS)}, expect="safe")],
    [builders.attack("none"), builders.template("say", "Say: {prompt}")],
    replicates=2,
)
CALLS = PROMPTS * 2 * 2


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Workspace]:
    """Return the workspace of SPEC, its calls copied, the catalog let go."""
    with workspace.opened(Catalog(tmp_path / "catalog.duckdb"), SPEC, Lock()) as opened:
        planner.plan(opened)
        assert copy_todo(opened.connection) == dict.fromkeys(opened.model_ns.values(), CALLS)
        opened.detach()
        yield opened


@pytest.fixture(params=[1, 7, CALLS, 1024])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(feeds, "CHUNK", request.param)
    size: int = request.param
    return size


def feed_of(space: Workspace, name: str) -> Feed:
    return Feed(space.connection, space.model_ns[name], space.model_ids[name])


def test_every_call_comes_once_and_in_the_order_of_the_plan(space: Workspace, chunk: int) -> None:
    feed = feed_of(space, "one")
    calls = []
    while (call := feed.next()) is not None:
        calls.append(call)
        assert len(feed._ready or ()) < chunk
    assert len({call.id for call in calls}) == len(calls) == CALLS
    assert [call.replicate for call in calls] == [0, 1] * (CALLS // 2)
    assert [call.hint.attack for call in calls if call.hint] == ["none"] * (CALLS // 2) + ["say"] * (CALLS // 2)
    assert feed.next() is None


def test_the_feeds_of_two_models_do_not_mix(space: Workspace, chunk: int) -> None:
    one, two = feed_of(space, "one"), feed_of(space, "two")
    pairs = list(zip(iter(one.next, None), iter(two.next, None), strict=True))
    assert len(pairs) == CALLS
    assert all(first.messages == second.messages and first.id != second.id for first, second in pairs)


def test_a_call_says_where_it_comes_from(space: Workspace) -> None:
    call = feed_of(space, "one").next()
    assert call is not None
    assert call.hint is not None
    assert (call.hint.prompt_set, call.hint.attack, call.hint.expect) == ("set", "none", "safe")


def test_a_feed_needs_no_catalog(space: Workspace) -> None:
    """It is let go during a run, so that readers and merges find it free."""
    databases = [row[0] for row in space.connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()]
    assert "cat" not in databases
    assert feed_of(space, "two").next() is not None


def test_what_is_left_is_neither_done_nor_failed() -> None:
    assert ModelProgress("m", 10, done=4, blocked=1, failed=2, in_flight=3).left == 4
