"""The view `annotate`: blind until a label is given, saved to a file first, stored when the catalog is free."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lrm.browse.labels import labels_folder, read_labels
from lrm.browse.places import AnnotatePlace, Place, command
from lrm.browse.queue import open_queue
from lrm.browse.reader import Reader
from lrm.browse.rubric import open_rubric
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.panes import Items
from lrm_tui.screens.annotate import AnnotateView
from lrm_tui.screens.annotate_state import AnnotateState, Passage, agreement_text, export_command, panel_lines
from lrm_tui.screens.trace_page import Page
from lrm_tui.settings import Settings
from tests import builders, trace_catalog


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Return a catalog with a response of each kind, to be written to."""
    return trace_catalog.filled(tmp_path)


@pytest.fixture
def queue(catalog: Catalog, tmp_path: Path) -> Path:
    """Return a queue of four items: three responses, and a call that failed."""
    ids = trace_catalog.ids(catalog)
    path = tmp_path / "queue.txt"
    named = [ids["alpha", "plain"], ids["alpha", "nasty"], ids["alpha", "failed"], ids["beta", "plain"]]
    path.write_text("# four of them\n" + "\n".join(named) + "\n", encoding="utf-8")
    return path


class App(LrmApp):
    """The app, which notes what is told."""

    def __init__(self, catalog: Catalog, place: Place, folder: Path, settings: Settings | None = None) -> None:
        super().__init__(catalog, place, folder=folder, settings=settings)
        self.told: list[str] = []
        self.backs = 0
        self.opened: list[Items | None] = []

    def tell(self, words: str, *, bad: bool = False) -> None:
        """Note it."""
        self.told.append(words)

    def back(self) -> None:
        """Note it."""
        self.backs += 1
        if len(self.screen_stack) > 2:
            super().back()

    @property
    def seen(self) -> AnnotateView:
        """The view."""
        return next(screen for screen in self.screen_stack if isinstance(screen, AnnotateView))

    @property
    def labelling(self) -> AnnotateState:
        """Its state."""
        assert self.seen.labelling is not None
        return self.seen.labelling

    @property
    def item(self) -> int:
        """The number of the item that is shown, from 0."""
        assert self.labelling.current is not None
        return self.labelling.queue.items.index(self.labelling.current)


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until nothing is being done."""
    for _ in range(4):
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


def place(queue: Path | str, rubric: str | None = "answer-harm", annotator: str | None = "ann") -> AnnotatePlace:
    """Return the place of a queue."""
    return AnnotatePlace(str(queue), annotator=annotator, rubric=rubric)


def on_disk(catalog: Catalog) -> list[tuple[str | None, str | None]]:
    """Return (label, note) of the labels that are pending."""
    files = sorted(labels_folder(catalog).glob("*.jsonl"))
    return [(one.annotation.label, one.annotation.note) for path in files for one in read_labels(path).labels]


def stored(catalog: Catalog) -> list[tuple[str, str | None]]:
    """Return (prompt, label) of the labels that are in the catalog."""
    return [(row[0], row[1]) for row in builders.rows(catalog, "SELECT prompt, label FROM annotations ORDER BY ALL")]


# --- the state alone --------------------------------------------------------------------------------------------------


@pytest.fixture
def state(catalog: Catalog, queue: Path) -> AnnotateState:
    """Return the beginning of a queue."""
    reader = Reader(catalog)
    found = AnnotateState(open_rubric("answer-harm"), "ann", open_queue(reader, queue))
    reader.close()
    found.current = found.queue.items[0]
    return found


def test_nothing_is_shown_of_judges_before_a_label(state: AnnotateState) -> None:
    state.reveal = True
    assert not state.shows_verdicts
    state.note("thinking about it")
    assert not state.shows_verdicts
    state.give("4")
    assert state.shows_verdicts
    state.reveal = False
    assert not state.shows_verdicts


def test_drafts_stay_with_their_items(state: AnnotateState) -> None:
    state.give("1")
    state.current = state.queue.items[1]
    assert not state.draft.given
    assert state.unsaved
    state.unsure()
    assert state.draft.words == "unsure"
    state.current = state.queue.items[0]
    assert state.draft.words == "refusal"
    state.keep()
    assert state.queue.progress.done == 1
    state.give("1")
    assert state.current not in state.drafts
    state.give("4")
    assert state.drafts[state.current].words == "unsafe"


def test_the_last_label_is_repeated_and_taken_back(state: AnnotateState) -> None:
    assert state.repeat() is None
    assert state.take_back() is None
    first, second = state.queue.items[:2]
    state.give("3")
    state.note("only this once")
    state.keep()
    state.current = second
    state.repeat()
    assert (state.draft.words, state.draft.note) == ("partial", None)
    state.keep()
    assert state.take_back() == second
    assert state.current == second
    assert state.queue.progress.done == 1
    assert state.take_back() == first
    assert not state.queue.is_done(first)


def test_what_is_stored_says_scope_rubric_and_passages(state: AnnotateState) -> None:
    from lrm.store.annotations import Target

    state.give("4")
    state.cite(Passage("answer", 2, 5, "abc"))
    found = state.annotation(Target(1, 1, 1, 0, 1))
    assert (found.scope, found.rubric, found.label, found.unsafe) == ("answer", "answer-harm", "unsafe", True)
    assert found.spans == ((2, 5, "rationale"),)
    state.unsure()
    assert state.annotation(Target(1, 1, 1, 0, 1)).label is None


def test_the_panel_fits_few_rows(state: AnnotateState) -> None:
    state.give("2")
    few, many = (panel_lines(state, None, rows=rows) for rows in (6, 30))
    assert len(few) < 5 < len(many)
    for lines in (few, many):
        said = " ".join(words for line in lines for words, _ in line)
        assert all(one.name in said for one in state.rubric.label)
        assert "unsure" in said
        assert "Enter saves" in said


def test_the_end_says_how_to_write_labels_to_a_file(state: AnnotateState) -> None:
    state.annotator = "o'brien"
    assert "o''brien" in shlex.split(export_command(state))[3]
    assert "lrm judge agreement --scope answer --rubric answer-harm" in agreement_text(state)
    assert "nobody else" in agreement_text(state)


# --- the view ---------------------------------------------------------------------------------------------------------


async def test_a_queue_is_labelled_from_end_to_end(catalog: Catalog, queue: Path, tmp_path: Path) -> None:
    app = App(catalog, place(queue), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "0/4" in app.seen.status()
        assert "full_refusal" not in screen_text(app)
        await press(pilot, "enter")
        assert "give a label first" in app.told[-1]
        await press(pilot, "H")
        assert "hidden until" in app.told[-1]
        await press(pilot, "4")
        assert app.seen.unsaved
        assert "full_refusal" not in screen_text(app)
        await press(pilot, "enter")
        assert not app.seen.unsaved
        assert on_disk(catalog) == [("unsafe", None)]
        assert "1/4" in app.seen.status()
        assert "1 label waits in" in app.seen.status()
        assert app.item == 1
        await press(pilot, "full_stop", "enter", "0", "enter")
        assert app.item == 3
        await press(pilot, "1", "enter")
        assert isinstance(app.screen, Page)
        assert "4 of 4 items" in app.screen.shown.content
        assert "lrm catalog sql" in app.screen.shown.content
        assert stored(catalog) == [("failed", None), ("nasty", "unsafe"), ("plain", "refusal"), ("plain", "unsafe")]
        assert on_disk(catalog) == []
        await press(pilot, "escape", "u")
        assert "in the catalog" in app.told[-1]
    again = App(catalog, place(queue), tmp_path)
    async with again.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert isinstance(again.screen, Page)
        assert again.labelling.queue.progress.done == 4


async def test_a_label_is_taken_back(catalog: Catalog, queue: Path, tmp_path: Path) -> None:
    app = App(catalog, place(queue), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "4", "u")
        assert not app.seen.unsaved
        await press(pilot, "4", "enter", "u")
        assert app.item == 0
        assert on_disk(catalog) == []
        assert "0/4" in app.seen.status()
        await press(pilot, "u")
        assert "no label to take back" in app.told[-1]
        await press(pilot, "1", "enter")
        assert on_disk(catalog) == [("refusal", None)]


async def test_verdicts_are_shown_after_a_label_if_wanted(catalog: Catalog, queue: Path, tmp_path: Path) -> None:
    app = App(catalog, place(queue), tmp_path)
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(pilot)
        assert "refusal on the" not in (app.seen.text() or "")
        await press(pilot, "1", "H")
        assert "full_refusal" in app.seen.panel.said
        assert "refusal on the" in (app.seen.text() or "")
        await press(pilot, "enter")
        assert "compliance" not in app.seen.panel.said
        assert "refusal on the" not in app.seen.exports()["txt"]()
        await press(pilot, "K")
        assert "full_refusal" in app.seen.panel.said
        assert "refusal" in app.seen.query_one("#head").said  # type: ignore[attr-defined]


async def test_moving_does_not_label(catalog: Catalog, queue: Path, tmp_path: Path) -> None:
    app = App(catalog, place(queue), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "J", "J", "J", "J")
        assert app.told[-1] == "that is the last one"
        assert app.item == 3
        await press(pilot, "2", "K")
        assert app.seen.unsaved
        assert app.labelling.queue.progress.done == 0
        await press(pilot, "escape")
        assert app.backs == 0
        assert "not saved yet" in screen_text(app)
        await press(pilot, "n")
        assert app.backs == 0
        await press(pilot, "escape", "y")
        assert app.backs == 1


async def test_a_passage_is_marked_by_keys(catalog: Catalog, queue: Path, tmp_path: Path) -> None:
    app = App(catalog, place(queue), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.seen.texts.views["answer"]
        assert app.seen.pane is view
        await press(pilot, "B")
        assert view.cursor_offset == 0
        assert "where the passage begins" in app.seen.status()
        await press(pilot, "l", "B", "l", "l", "B")
        (passage,) = app.labelling.draft.passages
        assert view.cursor_offset is None
        assert 0 < passage.start < passage.end <= len(view.content)
        assert passage.words == view.content[passage.start : passage.end]
        assert [one.number for one in view.spans] == [1]
        await press(pilot, "B", "escape")
        assert view.cursor_offset is None
        assert app.backs == 0
        await press(pilot, "enter")
        assert "needs a label" in app.told[-1]
        await press(pilot, "4", "i", *"why", "enter", "enter")
        assert on_disk(catalog) == [("unsafe", "why")]


async def test_labels_wait_while_the_catalog_is_written(
    catalog: Catalog, queue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrm.browse import labels
    from lrm.errors import BusyError
    from lrm_tui.screens import annotate_storing

    tried: list[str] = []
    store = labels.store_labels

    def busy(*_: Any) -> Any:
        tried.append("busy")
        raise BusyError("the catalog is held by process 7", hint="wait")

    app = App(catalog, place(queue), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        monkeypatch.setattr(annotate_storing, "store_labels", busy)
        await press(pilot, "4", "enter", "4", "enter")
        app.seen._merge()
        await settle(pilot)
        assert tried
        assert "2 labels wait in" in app.seen.status()
        assert "held by process 7" in app.seen.status()
        assert [label for label, _ in on_disk(catalog)] == ["unsafe", "unsafe"]
        monkeypatch.setattr(annotate_storing, "store_labels", store)
        app.seen._merge()
        await settle(pilot)
        assert "wait" not in app.seen.status()
    assert len(stored(catalog)) == 2


async def test_name_and_rubric_are_asked_for(catalog: Catalog, queue: Path, tmp_path: Path) -> None:
    app = App(catalog, place(queue, None, None), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "escape", "1", "enter", "B", "u", "H", "full_stop", "J", "t", "i", "0")
        assert app.seen.labelling is None
        await press(pilot, "r", "enter", *"bee", "enter")
        await press(pilot, *"thinking", "enter")
        assert app.labelling.annotator == "bee"
        assert app.labelling.rubric.scope == "thinking"
        assert app.seen.pane is app.seen.texts.views["thinking"]
        assert command(app.seen.place).endswith("--annotator bee --rubric thinking-harm")
    app = App(catalog, place(queue, annotator=None), tmp_path, Settings(annotator="cee"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.labelling.annotator == "cee"
        assert app.seen.texts.views["answer"].size.height >= 2


async def test_one_response_is_a_queue_of_one(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, place(trace_catalog.ids(catalog)["alpha", "long"]), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "0/1" in app.seen.status()
        await press(pilot, "2", "enter", "escape")
    assert stored(catalog) == [("long", "safe answer")]


async def test_a_list_of_samples_is_a_queue(catalog: Catalog, tmp_path: Path) -> None:
    from lrm.browse.axes import Slice
    from lrm.browse.places import SamplesPlace

    listed = SamplesPlace(Slice("spec", (("model", ("alpha",)),)))
    app = App(catalog, AnnotatePlace(samples=listed, annotator="ann", rubric="answer-harm"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "0/6" in app.seen.status()


async def test_a_queue_that_is_not_there_is_said(catalog: Catalog, tmp_path: Path) -> None:
    app = App(catalog, place(tmp_path / "none.txt"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        assert "there is no queue" in screen_text(app)
        await press(pilot, "1", "enter", "ctrl+a", "escape")
        assert app.seen.labelling is None


async def test_nasty_texts_are_inert(catalog: Catalog, queue: Path, tmp_path: Path) -> None:
    app = App(catalog, place(queue), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await press(pilot, "J", "B", "B", "l", "l", "B")
        assert "[link=file:///x]" in screen_text(app)
        assert not set(screen_text(app)) & {"\x1b", "\x07", "\x9b", "\u202e", "\u200b"}
