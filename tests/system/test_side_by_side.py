"""Several fills of one catalog at the same time, in real processes against a real server that counts."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lrm.errors import BusyError
from lrm.run.desk import running
from lrm.store.catalog import Catalog
from lrm.store.lock import locked
from lrm.store.verify import verify
from tests import builders
from tests.filling import Filling, filling
from tests.servers import Server, serving
from tests.system.test_crash import asked, wait_for

IN_FLIGHT = 4
SHARED = [f"shared {n}" for n in range(40)]


@pytest.fixture(scope="module")
def slow_process() -> Iterator[Server]:
    with serving("--latency-ms", "40") as running_server:
        yield running_server


@pytest.fixture
def slow(slow_process: Server) -> Server:
    slow_process.reset()
    return slow_process


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


def own(name: str) -> list[str]:
    return [f"{name} {n}" for n in range(20)]


SPEC = """
[matrix]
models = ["served"]
prompt_sets = ["{name}"]
judges = ["refusal"]

[models.served]
backend = "http"
endpoint = "{url}"
model = "ok"
thinking = {{visibility = "visible"}}
limits = {{max_in_flight = {in_flight}}}

[prompt_sets.{name}]
expect = "safe"
rows = [{rows}]
"""


def begun(stack: ExitStack, server: Server, catalog: Catalog, name: str) -> tuple[Filling, int]:
    """Begin a fill of what is shared and of its own; return it and the calls that it planned to make itself."""
    rows = ", ".join(f'{{text = "{prompt}"}}' for prompt in (*SHARED, *own(name)))
    spec = catalog.path.with_name(f"{name}.toml")
    spec.write_text(SPEC.format(name=name, url=server.url, in_flight=IN_FLIGHT, rows=rows))
    one = stack.enter_context(filling(server.url, catalog, (), spec=spec))
    return one, int(one.line("planned"))


def check_complete(catalog: Catalog, names: list[str]) -> None:
    states = builders.rows(catalog, "SELECT spec, state, count(*) FROM cells GROUP BY ALL ORDER BY ALL")
    assert states == [(name, "done", len(SHARED) + 20) for name in sorted(names)]
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.claims") == [(0,)]
    assert verify(catalog).problems == ()
    assert running(catalog) == ()
    assert not catalog.journal_folder.exists()


@pytest.mark.parametrize("names", [["one", "two"], ["one", "two", "three"]], ids=len)
def test_fills_pay_once_for_what_they_share(catalog: Catalog, slow: Server, names: list[str]) -> None:
    with ExitStack() as stack:
        fills: list[Filling] = []
        for name in names:
            one, planned = begun(stack, slow, catalog, name)
            assert planned == (20 if fills else 60)
            fills.append(one)
        outcomes = [one.outcome() for one in fills]
    assert [(one["failed"], one["left"]) for one in outcomes] == [(0, 0)] * len(names)
    assert asked(slow) == Counter([*SHARED, *(prompt for name in names for prompt in own(name))])
    check_complete(catalog, names)
    judged = builders.rows(
        catalog, "SELECT spec, count(*) FROM verdicts WHERE status = 'ok' GROUP BY spec ORDER BY spec"
    )
    assert [spec for spec, _ in judged] == sorted(names)
    assert len({count for _, count in judged}) == 1


def test_what_a_killed_fill_had_claimed_is_asked_by_the_other(catalog: Catalog, slow: Server) -> None:
    with ExitStack() as stack:
        first, _ = begun(stack, slow, catalog, "one")
        second, planned = begun(stack, slow, catalog, "two")
        assert planned == 20
        wait_for(slow, 12, first)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(timeout=60)
        assert second.outcome()["left"] == 0
    counts = asked(slow)
    twice = {prompt for prompt, times in counts.items() if times > 1}
    assert len(twice) <= IN_FLIGHT
    assert twice <= set(SHARED)
    assert max(counts.values()) <= 2
    assert set(counts) >= {*SHARED, *own("two")}
    with ExitStack() as stack:
        again, planned = begun(stack, slow, catalog, "one")
        assert planned <= 20
        assert again.outcome()["left"] == 0
    assert max(asked(slow).values()) <= 2
    check_complete(catalog, ["one", "two"])


def test_a_stopped_fill_leaves_the_rest_to_the_other(catalog: Catalog, slow: Server) -> None:
    with ExitStack() as stack:
        first, _ = begun(stack, slow, catalog, "one")
        second, _ = begun(stack, slow, catalog, "two")
        wait_for(slow, 12, first)
        first.process.send_signal(signal.SIGINT)
        assert second.outcome()["left"] == 0
    counts = asked(slow)
    assert max(counts.values()) == 1
    assert set(counts) >= {*SHARED, *own("two")}


def test_an_import_waits_for_no_fill_and_says_so(catalog: Catalog, slow: Server) -> None:
    with ExitStack() as stack:
        first, _ = begun(stack, slow, catalog, "one")
        wait_for(slow, 4, first)
        with pytest.raises(BusyError, match="the filling test"), locked(catalog, "lrm import"):
            pass
        assert first.outcome()["left"] == 0
