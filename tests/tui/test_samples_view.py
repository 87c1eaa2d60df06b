"""The list of samples on a screen: its pane, the filters of its keys, where it leads, and what one comes back to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lrm.browse.places import AnnotatePlace, ComparePlace, Place, SamplesPlace, SearchPlace, SqlPlace, TracePlace
from lrm.browse.reader import Reader, Stop
from lrm.browse.samples import Samples
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.base import View
from lrm_tui.screens import samples_state as state
from lrm_tui.screens.samples import SamplesView
from lrm_tui.screens.samples_detail import head
from lrm_tui.settings import Settings
from tests.tui import quickstarts
from tests.tui.made_samples import badge, sample


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return quickstarts.filled(tmp_path_factory.mktemp("samples"))


@contextmanager
def counting(app: LrmApp, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    bursts: list[str] = []
    real = app.reader.burst

    @contextmanager
    def burst(*args: Any, **kwargs: Any) -> Iterator[Any]:
        bursts.append("burst")
        with real(*args, **kwargs) as connection:
            yield connection

    monkeypatch.setattr(app.reader, "burst", burst)
    yield bursts


def app_of(catalog: Catalog, tmp_path: Path, place: Place | None = None) -> LrmApp:
    return LrmApp(catalog, place or SamplesPlace(), settings=Settings(annotator="a"), folder=tmp_path)


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


def _lines(path: str | None) -> list[str]:
    return Path(str(path)).read_text().splitlines()


def view_of(app: LrmApp) -> SamplesView:
    found = [screen for screen in app.screen_stack if isinstance(screen, SamplesView)]
    return found[-1]


def opened(app: LrmApp, monkeypatch: pytest.MonkeyPatch) -> list[Place]:
    places: list[Place] = []
    monkeypatch.setattr(app, "open", lambda place, **_: places.append(place))
    return places


async def test_a_page_and_the_first_sample(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert "1 of 540" in view.status()
        assert view.rows.cells(0) is not None
        view._look()
        await settle(pilot)
        words = str(view.detail.children[0].render())
        assert "PROMPT" in words
        assert "THINKING" in words
        await pilot.press("G")
        await settle(pilot)
        assert view.rows.cells(539) is not None


async def test_one_question_where_the_cursor_rests(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrm_tui.screens.samples.REST_S", 3600.0)
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        with counting(app, monkeypatch) as bursts:
            await pilot.press(*"jjjjjjjjjj")
            await settle(pilot)
            assert bursts == []
            view_of(app)._look()
            await settle(pilot)
            assert bursts == ["burst"]


async def test_filters_by_keys_and_back(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        await pilot.press("u")
        await settle(pilot)
        assert view.place == SamplesPlace(where="unsafe")
        few = view.samples.count if view.samples else 0
        assert 0 < few < 540
        await pilot.press("t")
        await settle(pilot)
        assert view.listed.where == f"unsafe and {state.UNSAFE_THINKING}"
        await pilot.press("escape")
        await settle(pilot)
        assert view.place == SamplesPlace()
        assert view.samples is not None
        assert view.samples.count == 540
        assert app.screen is view


async def test_nothing_matches_and_escape_clears(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SamplesPlace(where="model = nobody"))
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert "no sample matches: model = nobody" in view.rows.empty
        await pilot.press("escape")
        await settle(pilot)
        assert view.place == SamplesPlace()
        assert view.rows.count == 540


async def test_a_bad_filter_says_where(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, SamplesPlace(where="mdel = x"))
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert view.error is not None
        assert "model" in str(view.error)
        await pilot.press("f")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen is not view  # the question stays, as the filter is still wrong


async def test_sorting_by_the_column_under_the_cursor(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view.rows.to_column([one.key for one in view.rows.columns].index("thinking_tokens"))
        await pilot.press("S")
        await settle(pilot)
        assert view.listed.sort == "-thinking_tokens"
        tokens = [one.thinking_tokens or 0 for one in view.held.pages[0]]
        assert tokens == sorted(tokens, reverse=True)
        await pilot.press("S")
        await settle(pilot)
        assert view.listed.sort == ""


async def test_every_column_can_be_sorted_and_counted(catalog: Catalog, tmp_path: Path) -> None:
    from lrm.browse.columns import COLUMNS

    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        assert {state.sort_name(one.key) for one in view_of(app).rows.columns} <= set(COLUMNS)


async def test_frequencies_filter(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view.rows.to_column([one.key for one in view.rows.columns].index("model"))
        await pilot.press("F")
        await settle(pilot)
        assert app.screen is not view
        await pilot.press("enter")
        await settle(pilot)
        assert view.listed.where.startswith("model = ")
        assert view.rows.count == 180


async def test_the_trace_comes_back_to_where_it_went(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        await pilot.press("j", "enter")
        await settle(pilot)
        child = app.screen
        assert isinstance(child, View)
        assert isinstance(child.place, TracePlace)
        assert child.items is not None
        assert (child.items.count, child.row) == (540, 1)
        for _ in range(2):
            await pilot.press("J")
            await settle(pilot)
        assert child.row == 3
        app.back()
        await settle(pilot)
        assert app.screen is view
        assert view.rows.row == 3


async def test_finding_goes_to_the_next_match(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view.held.find = "coat"
        view.rows.jump(5)
        await pilot.press("n")
        await settle(pilot)
        found = view.rows.row
        assert found > 5
        await settle(pilot)
        assert "coat" in str(view.samples and view.samples.sample(found))
        await pilot.press("n")
        await settle(pilot)
        assert view.rows.row > found
        await pilot.press("N")
        await settle(pilot)
        assert view.rows.row == found
        await pilot.press("escape")
        assert "coat" not in view.status()


async def test_marks_are_compared_and_labelled(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(catalog, tmp_path, SamplesPlace(where="prompt = money-1-safe and attack = none"))
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        places = opened(app, monkeypatch)
        await pilot.press("space", "space", "c")
        assert isinstance(places[-1], ComparePlace)
        assert len(set(places[-1].models)) == 2
        assert places[-1].at == "money-1-safe"
        assert "2 marked" in view.status()
        await pilot.press("A")
        await settle(pilot)
        assert isinstance(places[-1], AnnotatePlace)
        queue = _lines(places[-1].queue)
        assert queue == [one.id for one in view.held.marked.values()]
        await pilot.press("escape", "A")
        assert places[-1] == AnnotatePlace(samples=view.listed)


async def test_where_keys_lead(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        places = opened(app, monkeypatch)
        await pilot.press("ctrl+f")
        assert places[-1] == SearchPlace()
        await pilot.press("Q")
        assert isinstance(places[-1], SqlPlace)
        copied = {letter: get() for letter, (_, get) in view_of(app).copies().items()}
        assert str(copied["i"]).startswith("g1:")
        assert copied["p"]
        assert copied["t"]
        assert copied["w"] is None


@pytest.mark.parametrize(("width", "shown"), [(80, False), (99, False), (100, True), (160, True)])
async def test_the_pane_needs_room(catalog: Catalog, tmp_path: Path, width: int, shown: bool) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(width, 24)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert view.detail.display == shown
        await pilot.press("w", "w")
        await pilot.pause()
        assert not view.detail.display


async def test_an_empty_catalog_says_what_to_do(tmp_path: Path) -> None:
    empty = Catalog(tmp_path / "empty.duckdb")
    with empty.writing():
        pass
    app = app_of(empty, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "lrm matrix fill" in view_of(app).rows.empty


async def test_hostile_words_are_inert(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        nasty = "\x1b]0;title\x07[@click=app.quit]x[/]\u202e"
        found = sample(words=nasty, model=nasty, verdicts=(badge(judge=nasty, unsafe=True),))
        view = view_of(app)
        view.detail.show(head(found))
        await pilot.pause()
        shown = str(view.detail.children[0].render())
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "[@click=app.quit]x[/]" in shown


async def test_a_filter_that_is_given_up_leaves_the_list(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)

        def endless(reader: Reader, place: SamplesPlace, stop: Stop) -> Samples:
            while True:
                stop.check()

        monkeypatch.setattr("lrm.browse.samples.open_samples", endless)
        await pilot.press("u")
        assert view.place == SamplesPlace(where="unsafe")
        assert "540" not in view.status()
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is view
        assert view.place == SamplesPlace()
        assert "1 of 540" in view.status()


async def test_a_bad_filter_is_dismissed_with_its_error(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(140, 36)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view._go(SamplesPlace(where="judge:nobody"))
        await settle(pilot)
        assert view.error is not None
        assert view.rows.count == 540
        await pilot.press("escape")
        await settle(pilot)
        assert view.error is None
        assert view.place == SamplesPlace()
