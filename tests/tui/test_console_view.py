"""The console: an editor that keeps the keys to itself, results beside it, and queries that are remembered."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lrm.browse.console import Answer
from lrm.browse.places import Place, SqlPlace, TracePlace
from lrm.registry.layers import Registry, packaged
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.screens import console_state as state
from lrm_tui.screens.console import ConsoleView
from lrm_tui.screens.console_row import RowScreen
from lrm_tui.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NASTY = "\x1b]0;title\x07\u202e[@click=app.quit]x[/]"


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> state.History:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return state.History.of_user()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    found = Catalog(tmp_path_factory.mktemp("console") / "catalog.duckdb")
    fill(resolve(ROOT / "specs" / "quickstart.toml", Registry([packaged()])), found)
    return found


def test_history_keeps_the_latest_first(history: state.History) -> None:
    assert history.read() == ()
    for query in ("a", "b\nb", "a", "  ", "c\ud800"):
        history.add(query)
    assert history.read() == ("c\ufffd", "a", "b\nb")
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    for number in range(state.MOST_QUERIES + 5):
        history.add(f"q{number}")
    assert len(history.read()) == state.MOST_QUERIES
    assert history.read()[0] == f"q{state.MOST_QUERIES + 4}"


def test_a_torn_history_is_read_as_far_as_it_goes(history: state.History) -> None:
    history.add("a")
    with history.path.open("a") as file:
        file.write('"torn\n{"not": "a query"}\n17\n')
    assert history.read() == ("a",)


def test_a_history_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    state.History(tmp_path / "file" / "console.jsonl").add("a")


def answer(
    *rows: tuple[Any, ...], columns: tuple[str, ...] = ("a", "b"), types: tuple[str, ...] = ("INTEGER", "VARCHAR")
) -> Answer:
    return Answer(columns, types, rows, None, 0.1)


def test_values_in_words() -> None:
    given = (None, True, 0.1 + 0.2, "x", b"\x01\xff", [1, "é"], 3)
    assert [state.said(value) for value in given] == ["NULL", "true", "0.3", "x", "01ff", '[1, "é"]', "3"]


def test_columns_are_as_wide_as_they_need() -> None:
    narrow, wide = state.columns(answer((1, "x" * 500), (22222, "y")))
    assert (narrow.width, narrow.align) == (5, "right")
    assert (wide.width, wide.flexible) == (state.WIDEST, True)
    [cell] = [one for one in state.row((None,)) if not isinstance(one, str)]
    assert cell.text == "NULL"


def test_files_of_a_result() -> None:
    found = answer((1, None), (2, 'say "x"\n'), (float("nan"), "é"))
    assert state.as_csv(found).splitlines()[:2] == ["a,b", "1,"]
    lines = [json.loads(line) for line in state.as_jsonl(found).splitlines()]
    assert lines[:2] == [{"a": 1, "b": None}, {"a": 2, "b": 'say "x"\n'}]
    assert lines[2]["a"] == "nan"


def test_finding_goes_round() -> None:
    rows = ((1, "one"), (2, "two"), (3, "ONE more"))
    assert state.matching(rows, "one", 0, 1) == 2
    assert state.matching(rows, "one", 2, 1) == 0
    assert state.matching(rows, "one", 0, -1) == 2
    assert state.matching(rows, "four", 0, 1) is None


@pytest.mark.parametrize(("at", "where"), [(0, (0, 0)), (3, (0, 3)), (4, (1, 0)), (6, (1, 2)), (99, (1, 3))])
def test_where_an_error_is(at: int, where: tuple[int, int]) -> None:
    assert state.location("abc\ndef", at) == where


async def settle(pilot: Pilot[Any]) -> None:
    for _ in range(3):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


def app_of(catalog: Catalog, tmp_path: Path, query: str = "") -> LrmApp:
    return LrmApp(catalog, SqlPlace(query), settings=Settings(annotator="a"), folder=tmp_path)


def view_of(app: LrmApp) -> ConsoleView:
    return next(screen for screen in app.screen_stack if isinstance(screen, ConsoleView))


async def test_the_editor_keeps_the_keys(catalog: Catalog, tmp_path: Path, history: state.History) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert "F5" in view.status()
        assert view.rows.count == 3
        await pilot.press(*"select", "space", *"1", "space", *"as q")
        assert view.query_text == "select 1 as q"
        await pilot.press("f5")
        await settle(pilot)
        assert view.place == SqlPlace("select 1 as q")
        assert view.answer is not None
        assert view.answer.rows == [(1,)]
        assert "1 of 1" in view.status()
        assert history.read() == ("select 1 as q",)


async def test_a_result_and_back(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, "SELECT * FROM range(500)")
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert view.answer is not None  # what the TUI was started with is run
        await pilot.press("tab", "G")
        await settle(pilot)
        assert view.rows.row == 499
        assert view.rows.cells(499) == ("499",)
        await pilot.press("enter")
        await pilot.pause()
        assert [type(screen) for screen in app.screen_stack[-2:]] == [ConsoleView, RowScreen]
        await pilot.press("escape", "escape")
        assert app.screen is view
        assert view.focused is view.editor
        assert view.query_text == "SELECT * FROM range(500)"


async def test_an_error_puts_the_cursor_where_it_is(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path, "SELECT 1,\n  nope")
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        view = view_of(app)
        assert view.error is not None
        assert "line 2, column 3" in view.error.message
        assert view.editor.cursor_location == (1, 2)
        await pilot.press("escape")
        assert view.error is None
        assert app.screen is view


async def test_a_query_is_stopped(catalog: Catalog, tmp_path: Path) -> None:
    endless = "SELECT count(*) FROM range(100000000) a, range(100000) b WHERE a.range * b.range % 7 = 3"
    app = app_of(catalog, tmp_path, endless)
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.pause()
        view = view_of(app)
        while not view.loading_now:
            await pilot.pause()
        await pilot.press("escape")
        await settle(pilot)
        assert app.screen is view
        assert view.answer is None
        assert view.error is None


async def test_history_views_and_examples(catalog: Catalog, tmp_path: Path, history: state.History) -> None:
    history.add(f"SELECT '{NASTY}'")
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        view = view_of(app)
        await pilot.press("ctrl+r")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert view.query_text.startswith("SELECT '␛")
        assert "\u202e" not in view.query_text
        view.editor.say("")
        await pilot.press("ctrl+t")
        await settle(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert view.query_text == "cells"
        view.editor.say("")
        await pilot.press("tab", "j", "enter")
        await pilot.pause()
        assert view.query_text.startswith("SELECT spec")


async def test_what_is_pasted_is_inert(catalog: Catalog, tmp_path: Path) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        view = view_of(app)
        view.editor.insert(NASTY)
        assert "\x1b" not in view.query_text
        assert "\u202e" not in view.query_text


async def test_what_was_written_and_not_run_is_remembered(
    catalog: Catalog, tmp_path: Path, history: state.History
) -> None:
    app = app_of(catalog, tmp_path)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        await pilot.press(*"from", "space", *"cells")
        await pilot.pause()
    assert history.read() == ("from cells",)


async def test_an_id_in_a_row_opens(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(catalog, tmp_path, "SELECT call, generation FROM cells WHERE state = 'done' LIMIT 1")
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        places: list[Place] = []
        monkeypatch.setattr(app, "open", lambda place, **_: places.append(place))
        await pilot.press("tab", "enter")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(places[0], TracePlace)
        assert places[0].id.startswith("g1:")
