"""Fills of different specs into one catalog at the same time, some of them killed: who pays for what."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lrm.errors import BusyError
from lrm.run.desk import running
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import builders
from tests.filling import Filling, filling
from tests.gated import Book, Gated, gated, kept
from tests.importing import imported, row
from tests.system.test_kills import IN_FLIGHT, JUDGES, SPEC

SHARED, OWN = 40, 15


@pytest.fixture(scope="module")
def _gated() -> Iterator[Gated]:
    with gated("--latency-ms", "15") as serving:
        yield serving


@pytest.fixture
def server(_gated: Gated) -> Gated:
    _gated.reset()
    return _gated


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


def begun(stack: ExitStack, catalog: Catalog, server: Gated, name: str) -> Filling:
    """Begin a fill of what all share and of its own, judged by two judges that ask models."""
    prompts = [f"MARK-SAFE:{n} Tell me about subject {n}." for n in range(SHARED)]
    prompts += [f"MARK-UNSAFE:{n} Tell me about {name} {n}." for n in range(OWN)]
    rows = ", ".join(f'{{id = "{n}", text = "{text}", expect = "unsafe"}}' for n, text in enumerate(prompts))
    spec = catalog.path.with_name(f"{name}.toml")
    spec.write_text(SPEC.format(url=server.url, rows=rows))
    return stack.enter_context(filling("", catalog, (), spec=spec))


def check_complete(catalog: Catalog, server: Gated, names: list[str], *, kills: int) -> None:
    """Assert that all is there and sound, and that nothing was asked twice but what was in flight at a kill."""
    cells = SHARED + OWN
    states = builders.rows(catalog, "SELECT spec, state, count(*) FROM cells GROUP BY ALL ORDER BY ALL")
    assert states == [(name, "done", cells) for name in sorted(names)]
    graded = builders.rows(catalog, "SELECT spec, judge, status, count(*) FROM verdicts GROUP BY ALL ORDER BY ALL")
    assert graded == [(name, judge, "ok", cells) for name in sorted(names) for judge in ("refusal", "rubric", "strict")]
    assert verify(catalog).problems == ()
    assert builders.rows(catalog, "SELECT count(*) FROM lrm.claims") == [(0,)]
    assert running(catalog) == ()
    assert not catalog.journal_folder.exists()
    book, have = server.settled(), kept(catalog).responses
    assert set(have.values()) == {1}
    assert set(book.sent) == set(have)
    assert max(book.sent.values()) <= 1 + kills
    for name, most in IN_FLIGHT.items():
        of = book.of(name)
        answered = sum(count for key, count in have.items() if key.startswith(f"{name} "))
        assert of.asked.total() - answered <= kills * most


def after(server: Gated, models: tuple[str, ...], wanted: int) -> Book:
    """Wait until these models were asked so often."""
    return server.until(lambda book: book.of(*models).asked.total() >= wanted)


def merging(one: Filling, seconds: float) -> None:
    """Wait until a fill has been merging for so long."""
    one.line("merging")
    time.sleep(seconds)


MOMENTS: dict[str, Callable[[Gated, Filling, random.Random], object]] = {
    "asking": lambda server, _, chance: after(server, ("marked",), chance.randint(5, 40)),
    "merging": lambda _, one, chance: merging(one, chance.uniform(0, 0.05)),
    "judging": lambda server, _, chance: after(server, JUDGES, chance.randint(1, 40)),
    "planning": lambda _server, _one, chance: time.sleep(chance.uniform(0, 0.3)),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_other_asks_what_a_killed_fill_had_claimed(catalog: Catalog, server: Gated, moment: str) -> None:
    """Of what the dead one was asking, at most as much as may be in flight is asked once more."""
    chance = random.Random(moment)
    with ExitStack() as stack:
        first = begun(stack, catalog, server, "one")
        if moment != "planning":
            first.line("planned")
        second = begun(stack, catalog, server, "two")
        MOMENTS[moment](server, first, chance)
        first.kill()
        outcome = second.outcome()
        assert (outcome["failed"], outcome["left"]) == (0, 0)
        done = builders.rows(catalog, "SELECT count(*) FROM cells WHERE spec = 'two' AND state = 'done'")
        assert done == [(SHARED + OWN,)]
        assert begun(stack, catalog, server, "one").outcome()["left"] == 0
    check_complete(catalog, server, ["one", "two"], kills=1)


def test_three_fills_of_which_two_are_killed_leave_the_third_to_finish(catalog: Catalog, server: Gated) -> None:
    names = ["one", "two", "three"]
    with ExitStack() as stack:
        fills = {name: begun(stack, catalog, server, name) for name in names}
        after(server, ("marked",), 20)
        fills["one"].kill()
        after(server, ("marked",), 50)
        fills["two"].kill()
        assert fills["three"].outcome()["left"] == 0
        for name in ("one", "two"):
            assert begun(stack, catalog, server, name).outcome()["left"] == 0
    check_complete(catalog, server, names, kills=2)


def test_three_fills_pay_once_for_responses_and_for_judges_questions(catalog: Catalog, server: Gated) -> None:
    names = ["one", "two", "three"]
    with ExitStack() as stack:
        fills = [begun(stack, catalog, server, name) for name in names]
        for one in fills:
            outcome = one.outcome()
            assert (outcome["failed"], outcome["left"]) == (0, 0)
    check_complete(catalog, server, names, kills=0)


def test_an_import_meanwhile_is_told_who_fills(catalog: Catalog, server: Gated) -> None:
    with ExitStack() as stack:
        one = begun(stack, catalog, server, "one")
        after(server, ("marked",), 5)
        with pytest.raises(BusyError, match="the filling test") as caught:
            imported(catalog, [row()])
        assert caught.value.exit_code == 3
        assert "lrm matrix stop" in (caught.value.hint or "")
        assert one.outcome()["left"] == 0
    check_complete(catalog, server, ["one"], kills=0)
