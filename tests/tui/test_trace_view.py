"""The view `trace`: its panes for responses of every kind, passages, searching, stepping, copying."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lrm.browse.places import AnnotatePlace, ComparePlace, Place, TracePlace
from lrm.browse.reader import Reader
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.panes import Items
from lrm_tui.screens.trace import TraceView
from lrm_tui.screens.trace_page import Page
from lrm_tui.screens.trace_panel import WordsLine
from lrm_tui.screens.trace_state import (
    TraceState,
)
from tests import trace_catalog
from tests.trace_catalog import LONG


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with a response of each kind."""
    return trace_catalog.filled(tmp_path_factory.mktemp("traces"))


@pytest.fixture(scope="module")
def ids(catalog: Catalog) -> dict[tuple[str, str], str]:
    """Return its ids by model and prompt."""
    return trace_catalog.ids(catalog)


class App(LrmApp):
    """The app, which notes what is copied, told and opened."""

    def __init__(self, catalog: Catalog, place: Place, folder: Path, items: Items | None = None) -> None:
        super().__init__(catalog, place, folder=folder)
        self.opened: list[Place] = []
        self.copied: dict[str, str] = {}
        self.told: list[str] = []
        self._items = items

    def open(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        """Open the first place, note the others."""
        if self.opened or place != self.first_place:
            self.opened.append(place)
        else:
            super().open(place, items=items or self._items, row=0 if self._items else row)

    def copy(self, text: str, what: str) -> None:
        """Note it."""
        self.copied[what] = text

    def tell(self, words: str, *, bad: bool = False) -> None:
        """Note it."""
        self.told.append(words)

    @property
    def seen(self) -> TraceView:
        """The view."""
        return next(screen for screen in self.screen_stack if isinstance(screen, TraceView))

    @property
    def state(self) -> TraceState:
        """Its state."""
        assert self.seen.state is not None
        return self.seen.state

    @property
    def head(self) -> str:
        """Its head line."""
        return self.seen.query_one("#head", WordsLine).said


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until nothing is being done."""
    for _ in range(3):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys one after the other, each when the one before is done."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


def screen_text(app: LrmApp) -> str:
    """Return what stands on the screen."""
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


@contextmanager
def queries(reader: Reader) -> Iterator[list[str]]:
    """Count the bursts of a reader."""
    counted: list[str] = []
    burst = reader.burst

    @contextmanager
    def counting(*args: Any, **kwargs: Any) -> Iterator[Any]:
        counted.append("burst")
        with burst(*args, **kwargs) as connection:
            yield connection

    reader.burst = counting  # type: ignore[method-assign]
    try:
        yield counted
    finally:
        del reader.burst


def written(folder: Path, ending: str) -> list[str]:
    """Return the texts of the files of an ending in a folder."""
    return [path.read_text(encoding="utf-8") for path in folder.glob(f"*.{ending}")]


@dataclass
class Listed:
    """A list of traces."""

    names: list[str]
    count: int = 0

    def __post_init__(self) -> None:
        self.count = len(self.names)

    def place_at(self, row: int) -> Place | None:
        """Return the trace in a row."""
        return TracePlace(self.names[row])


async def test_a_response_is_shown_in_panes(catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        views = app.seen.texts.views
        assert views["prompt"].content == "How does a lock work?"
        assert views["thinking"].region.y == views["answer"].region.y
        assert views["thinking"].region.right <= views["answer"].region.x
        assert "refusal" in app.seen.panel.said
        assert app.state.cited
        part = app.state.cited[0].part
        assert part is not None
        assert len(views[part].spans) == sum(one.part == part for one in app.state.cited)
        await press(pilot, "tab", "tab", "tab")
        assert app.seen.pane in (views["prompt"], views["thinking"])
        await pilot.resize_terminal(80, 24)
        await settle(pilot)
        assert views["thinking"].region.bottom <= views["answer"].region.y
        assert views["answer"].size.height >= 2
        assert app.seen.panel.size.height >= 3
        await pilot.resize_terminal(180, 40)
        await settle(pilot)
        assert app.seen.panel.region.x >= views["answer"].region.right


@pytest.mark.parametrize(
    ("model", "prompt", "part", "words"),
    [
        ("beta", "plain", "thinking", ""),
        ("alpha", "empty", "answer", "the answer is empty"),
        ("alpha", "blocked", "answer", "refused"),
        ("alpha", "blocked", "thinking", "refused"),
        ("alpha", "failed", "answer", "4 attempts"),
        ("gamma", "plain", "answer", "not been asked"),
    ],
)
async def test_each_pane_says_why_it_is_empty(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path, model: str, prompt: str, part: str, words: str
) -> None:
    app = App(catalog, TracePlace(ids[model, prompt]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.seen.texts.query_one(f"#text-{part}")
        assert view.has_class("-why") == bool(words)
        if words:
            assert words in screen_text(app)
        expected = {"beta": "SUMMARY ONLY", "gamma": "SIMULATED"}.get(model, "")
        expected = {"blocked": "BLOCKED", "failed": "FAILED"}.get(prompt, expected)
        assert expected in app.head


async def test_thinking_folds_away_and_stands_alone(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        thinking, answer = (app.seen.texts.views[part] for part in ("thinking", "answer"))
        await press(pilot, "t")
        assert thinking.size.height == 1
        assert app.seen.pane is answer
        await press(pilot, "t")
        assert not answer.display
        assert app.seen.pane is thinking
        await press(pilot, "t")
        assert answer.display
        assert thinking.size.height > 1


async def test_digits_and_arrows_jump_to_passages(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        last = len(app.state.cited)
        await press(pilot, "1")
        assert app.state.span == 1
        assert app.seen.texts.part_of(app.seen.pane) == app.state.cited[0].part
        await press(pilot, "less_than_sign")
        assert app.state.span == last
        await press(pilot, "greater_than_sign")
        assert app.state.span == 1
        before = app.state.judge
        await press(pilot, "v")
        assert app.state.judge != before
        assert app.state.span == 0
        await press(pilot, "9")
        assert "passage" in app.told[-1]


async def test_searching_goes_through_all_texts(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "slash", *"help", "enter")
        count = app.state.trace.thinking.count("help") + app.state.trace.answer.count("help")  # type: ignore[union-attr]
        assert count > 1
        assert app.seen.texts.matched == (1, count)
        seen = [app.seen.texts.part_of(app.seen.pane)]
        for _ in range(count - 1):
            await press(pilot, "n")
            seen.append(app.seen.texts.part_of(app.seen.pane))
        assert app.seen.texts.matched == (count, count)
        assert set(seen) == {"thinking", "answer"}
        await press(pilot, "n")
        assert app.seen.texts.matched == (1, count)
        await press(pilot, "N")
        assert app.seen.texts.matched == (count, count)
        await press(pilot, "escape")
        assert app.state.words == ""
        assert app.seen.texts.matched == (0, 0)


async def test_words_to_find_are_found_when_it_is_there(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = TraceView(TracePlace(ids["alpha", "long"]))
        view.find_words = "line 3000 "
        app.push_screen(view)
        await settle(pilot)
        for _ in range(400):
            if view.texts.views["thinking"].laid_out:
                break
            await pilot.pause()
        assert view.texts.matched == (1, 1)
        assert view.pane is view.texts.views["thinking"]
        assert "line 3000 " in screen_text(app)


async def test_a_long_text_is_there_at_once_and_whole(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "long"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        thinking = app.seen.texts.views["thinking"]
        assert thinking.content == LONG
        assert "line 0 of" in screen_text(app)
        await press(pilot, "G")
        for _ in range(400):
            if thinking.laid_out:
                break
            await pilot.pause()
        assert "line 3499 of" in screen_text(app)
        with queries(app.reader) as counted:
            await press(pilot, "g", "j", "j", "k", "ctrl+d", "R", "R", "t", "t", "t", "v")
        assert counted == []


async def test_stepping_reads_the_next_one_ahead(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    names = [ids["alpha", prompt] for prompt in ("plain", "long", "empty")]
    app = App(catalog, TracePlace(names[0]), tmp_path, Listed(names))
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        read_trace = app.seen.ask
        jobs: list[str] = []

        def asked(job: str, *args: Any) -> None:
            jobs.append(job)
            read_trace(job, *args)

        app.seen.ask = asked  # type: ignore[method-assign,assignment]
        await press(pilot, "J")
        assert jobs == ["step"]
        assert app.state.trace.generation == names[1]
        assert app.seen.place == TracePlace(names[1])
        assert "2 of 3" in app.seen.status()
        await press(pilot, "J", "J")
        assert app.state.trace.generation == names[2]
        assert app.told == ["that is the last one"]
        assert app.seen.texts.views["thinking"].content == "A thought without an answer."


async def test_copies_never_mix_thinking_and_answer(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        for letter in "atpilv":
            await press(pilot, "y", letter)
        trace = app.state.trace
        assert app.copied["answer"] == trace.answer
        assert app.copied["thinking"] == trace.thinking
        assert app.copied["prompt"] == "How does a lock work?"
        assert app.copied["id"] == ids["alpha", "plain"]
        assert "refusal on the answer" in app.copied["verdicts"]
        assert any(text.startswith("lrm tui cell g1:") for text in app.copied.values())


async def test_pages_of_metadata_payload_and_judge(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        for key, words in (("M", "finish reason"), ("P", "reasoning_content"), ("b", "asks no model")):
            await press(pilot, key)
            assert isinstance(app.screen, Page)
            assert words in (app.screen.shown.content or app.screen.shown.instead)
            await press(pilot, "escape")
            assert not isinstance(app.screen, Page)


async def test_a_whole_response_is_exported(catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path) -> None:
    app = App(catalog, TracePlace(ids["alpha", "long"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "e", *"json", "enter")
    assert [json.loads(text)["thinking"] for text in written(tmp_path, "json")] == [LONG]


async def test_comparing_and_annotating_open_their_places(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "plain"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        app.opened.clear()
        await press(pilot, "A")
        assert app.opened == [AnnotatePlace(queue=ids["alpha", "plain"])]
        await press(pilot, "c", *"beta", "enter")
        place = app.opened[-1]
        assert isinstance(place, ComparePlace)
        assert place.models == ("alpha", "beta")
        assert place.at == "plain"
        assert place.slice.spec == "spec"


async def test_nasty_texts_are_inert_in_every_pane(
    catalog: Catalog, ids: dict[tuple[str, str], str], tmp_path: Path
) -> None:
    app = App(catalog, TracePlace(ids["alpha", "nasty"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        for keys in ((), ("R",), ("M",), ("escape", "P")):
            await press(pilot, *keys)
            shown = screen_text(app)
            assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e", "\u200b"}
        await press(pilot, "escape")
        assert "[link=file:///x]" in screen_text(app)


async def test_an_unknown_id_is_said_in_the_banner(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, TracePlace("g1:" + "0" * 64), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert app.seen.error is not None
        assert "nothing with the id" in screen_text(app)
        await press(pilot, "t", "v", "1", "b", "M", "P", "c", "A", "n", "R", "slash", "escape", "G", "tab")
        assert app.screen is app.seen
