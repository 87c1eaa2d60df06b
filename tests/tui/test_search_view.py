"""The search: hits as they come, what a stopped one says, and the words in their text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lrm.browse.axes import Slice
from lrm.browse.places import AnnotatePlace, Place, SearchPlace, TracePlace
from lrm.browse.reader import Reader, Stop
from lrm.browse.search import Found, Hit
from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.base import View
from lrm_tui.screens import search_state as state
from lrm_tui.screens.search import SearchView
from lrm_tui.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    found = Catalog(tmp_path_factory.mktemp("search") / "catalog.duckdb")
    fill(resolve(ROOT / "specs" / "quickstart.toml", Registry([packaged()])), found)
    return found


def hit(text: str, words: str, **fields: Any) -> Hit:
    start = text.index(words)
    given: dict[str, Any] = {
        "id": "g1:00", "model": "m", "prompt": "p", "attack": "none", "start": start, "end": start + len(words), "excerpt": text,
        "excerpt_start": 0, "spec": "s", "prompt_set": "set", "replicate": 0,
    }  # fmt: skip
    return Hit(**{**given, **fields})


def cells(found: Hit) -> dict[str, str]:
    shown = state.columns([found], SearchPlace("x"))
    row = state.row(found, shown)
    return {column.key: cell if isinstance(cell, str) else cell.text for column, cell in zip(shown, row, strict=True)}


def test_the_words_stand_between_what_is_before_and_after() -> None:
    found = cells(hit("please tell\nme about the coat rack", "coat"))
    assert (found["before"], found["words"], found["after"]) == ("please tell me about the", "‹coat›", "rack")
    long = cells(hit("a" * 200 + "coat", "coat"))
    assert long["before"].startswith("…")
    assert len(long["before"]) == state.BEFORE


def test_columns_leave_out_what_the_slice_holds() -> None:
    part = Slice("s", (("attack", ("none",)), ("model", ("m",))))
    keys = {one.key for one in state.columns([], SearchPlace("x", part))}
    assert keys & {"model", "attack"} == set()
    assert "prompt_set" in keys


def test_partial_is_never_said_to_be_all() -> None:
    hits = state.Hits()
    assert "nothing" in hits.status(searching=False)
    one = hit("coat", "coat")
    hits.add(Found((one,), 10, 100))
    assert "1 hit  ·  10 of 100" in hits.status(searching=True)
    assert "only part" in hits.status(searching=False)
    hits.add(Found((one,), 20, 100, capped=True))
    assert "may be more" in hits.status(searching=False)
    assert not hits.complete
    hits.add(Found((), 100, 100))
    assert hits.status(searching=False) == "2 hits in 100 samples"


def test_files() -> None:
    hits = [hit("a coat", "coat"), hit("a coat", "coat"), hit("coat", "coat", id=None)]
    assert state.as_ids(hits) == "g1:00\n"
    assert json.loads(state.as_jsonl(hits).splitlines()[0])["excerpt"] == "a coat"
    assert state.as_csv(hits).count("\n") == 4


@pytest.mark.parametrize("place", [SearchPlace("natural"), SearchPlace("/nat[u]ral/", within="answer"),
    SearchPlace("Natural", Slice(None, (("model", ("sim-reasoning",)),)))])  # fmt: skip
def test_the_sql_finds_the_same(catalog: Catalog, place: SearchPlace) -> None:
    from lrm.browse.console import run
    from lrm.browse.search import find

    reader = Reader(catalog)
    ids = {one.id for found in find(reader, place, Stop()) for one in found.hits}
    assert {row[0] for row in run(reader, state.as_sql(place)).rows} == ids
    reader.close()


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


def app_of(catalog: Catalog, tmp_path: Path, place: Place) -> LrmApp:
    return LrmApp(catalog, place, settings=Settings(annotator="a"), folder=tmp_path)


def _lines(path: str | None) -> list[str]:
    return Path(str(path)).read_text().splitlines()


def view_of(app: LrmApp) -> SearchView:
    return next(screen for screen in app.screen_stack if isinstance(screen, SearchView))


async def test_hits_and_their_traces(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SearchPlace("natural"))
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert view.hits.complete
        assert view.hits.count > 3
        assert "540 samples" in view.status()
        row = view.rows.cells(0)
        assert row is not None
        await pilot.press("j", "enter")
        await settle(pilot)
        child = app.screen
        assert isinstance(child, View)
        assert child.place == TracePlace(str(view.hits.hits[1].id), view.hits.hits[1].prompt)
        await pilot.press("J")
        await settle(pilot)
        app.back()
        await settle(pilot)
        assert view.rows.row == 2


async def test_other_places_and_no_hits(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SearchPlace("zzzz no such words"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert "is in no thinking here" in view.rows.empty
        for within in ("answer", "prompt", "thinking"):
            await pilot.press("w")
            await settle(pilot)
            assert view.wanted.within == within


async def test_without_words_it_asks(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SearchPlace())
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert app.screen is not view
        await pilot.press(*"coat", "enter")
        await settle(pilot)
        assert view.place == SearchPlace("coat")
        assert app.screen is view


async def test_a_stopped_search_keeps_what_it_found(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(reader: Reader, place: SearchPlace, stop: Stop) -> Iterator[Found]:
        yield Found((hit("coat", "coat"),), 10, 540)
        while True:
            stop.check()

    monkeypatch.setattr("lrm.browse.search.find", endless)
    app = app_of(catalog, tmp_path, SearchPlace("coat"))
    async with app.run_test(size=(120, 24)) as pilot:
        view = view_of(app)
        while not view.hits.count:
            await pilot.pause()
        assert "10 of 540" in view.status()
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is view
        assert view.rows.count == 1
        assert "only part" in view.status()


async def test_a_bad_pattern_is_an_error(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SearchPlace("/(/"))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        assert view_of(app).error is not None


async def test_what_was_found_is_a_queue(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(catalog, tmp_path, SearchPlace("natural"))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        places: list[Place] = []
        monkeypatch.setattr(app, "open", lambda place, **_: places.append(place))
        view = view_of(app)
        await pilot.press("space", "A")
        await settle(pilot)
        assert isinstance(places[-1], AnnotatePlace)
        assert _lines(places[-1].queue) == [view.hits.hits[0].id]
