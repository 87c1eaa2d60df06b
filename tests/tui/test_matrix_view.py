"""The view `matrix`: where its cells lead, what is chosen, and what becomes of the cursor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lrm.browse.axes import Slice
from lrm.browse.places import ComparePlace, MatrixPlace, Place, PlanPlace, SamplesPlace, arguments, parse
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.base import Changed
from lrm_tui.dialogs import Choose
from lrm_tui.panes import Items
from lrm_tui.screens.matrix import MatrixView
from tests import builders
from tests.tui import quickstarts


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog with the quickstart's cells."""
    return quickstarts.filled(tmp_path_factory.mktemp("matrix"))


class Recording(LrmApp):
    """The app, which notes what a view opens instead of opening it; the first place it does open."""

    def __init__(self, catalog: Catalog, place: Place | None, folder: Path) -> None:
        super().__init__(catalog, place, folder=folder)
        self.opened: list[Place] = []
        self.items: Items | None = None
        self.copied: list[str] = []

    def open(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        """Note it."""
        if not self.opened and not any(isinstance(screen, MatrixView) for screen in self.screen_stack):
            super().open(place, items=items, row=row)
            return
        self.opened.append(place)
        self.items = items

    @property
    def matrix(self) -> MatrixView:
        """The view."""
        return next(screen for screen in self.screen_stack if isinstance(screen, MatrixView))


async def settle(pilot: object) -> None:
    """Wait until nothing is being loaded and what came is shown."""
    for _ in range(3):
        await pilot.app.workers.wait_for_complete()  # type: ignore[attr-defined]
        await pilot.pause()  # type: ignore[attr-defined]


async def test_without_a_spec_the_newest_is_shown_and_said(quickstart: Catalog, tmp_path: Path) -> None:
    """The place is the address of what is shown: its words open it again."""
    app = Recording(quickstart, None, tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.matrix
        assert view.place == MatrixPlace(Slice("quickstart"), judge="refusal", scope="answer")
        assert parse(arguments(view.place)) == view.place
        assert view.grid.model.rows == ("sim-reasoning", "sim-distilled", "sim-hidden")
        assert (view.grid.row, view.grid.column) == (0, 0)
        assert not view.loading_now


async def test_enter_opens_the_samples_behind(quickstart: Catalog, tmp_path: Path) -> None:
    """A cell with its judge, and the cells above and below it for J and K; a total; samples on which judges disagree."""
    app = Recording(quickstart, MatrixPlace(columns="attack"), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("j", "l", "enter")
        assert app.opened[-1] == SamplesPlace(
            Slice("quickstart", (("attack", ("roleplay",)), ("model", ("sim-distilled",)))),
            judge="refusal",
            scope="answer",
        )
        assert app.items is not None
        assert app.items.count == 3
        await pilot.press("G", "G", "enter")
        opened = app.opened[-1]
        assert isinstance(opened, SamplesPlace)
        assert opened.slice.only == (("attack", ("roleplay",)),)
        await pilot.press("t")
        opened = app.opened[-1]
        assert isinstance(opened, SamplesPlace)
        assert opened.where == "thinking:unsafe and answer:safe"


async def test_a_difference_is_to_the_row_under_the_cursor(quickstart: Catalog, tmp_path: Path) -> None:
    """d takes it, the sentence says how it is paired, Esc ends it; the place has it meanwhile."""
    app = Recording(quickstart, MatrixPlace(columns="attack"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.matrix
        await pilot.press("d")
        await settle(pilot)
        assert isinstance(view.place, MatrixPlace)
        assert view.place.against == "sim-reasoning"
        await pilot.press("j")
        assert view.state is not None
        assert "paired by prompt" in view.state.sentence(*view.spot())
        assert view.grid.model.diverging
        await pilot.press("escape")
        await settle(pilot)
        assert view.place.against is None


async def test_measure_axes_and_filter_are_chosen(quickstart: Catalog, tmp_path: Path) -> None:
    """Each choice changes the place; a filter is cleared by Esc; a pair of axes that cannot be leaves what was there."""
    app = Recording(quickstart, MatrixPlace(columns="attack"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.matrix
        await pilot.press("m", *"over", "enter")
        await settle(pilot)
        assert isinstance(view.place, MatrixPlace)
        assert view.place.measure == "over_refusal"
        await pilot.press("x")
        await settle(pilot)
        await pilot.press(*"declined", "enter")
        await pilot.pause()
        assert isinstance(app.screen, Choose)
        await pilot.press("enter")
        await settle(pilot)
        assert (view.place.rows, view.place.columns) == ("expect", "attack")
        await pilot.press("f")
        await settle(pilot)
        await pilot.press(*"attack", "enter")
        await settle(pilot)
        await pilot.press(*"role", "tab", "enter")
        await settle(pilot)
        assert view.place.slice.values("attack") == ("roleplay",)
        await pilot.press("escape")
        await settle(pilot)
        assert view.place.slice.values("attack") is None


async def test_what_cannot_be_asked_leaves_what_was_shown(quickstart: Catalog, tmp_path: Path) -> None:
    """The banner says why; the address is still that of what is seen."""
    app = Recording(quickstart, MatrixPlace(columns="judge"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.matrix
        before, rows = view.place, view.grid.model.rows
        await pilot.press("m", *"cost", "enter")
        await settle(pilot)
        assert view.error is not None
        assert (view.place, view.grid.model.rows) == (before, rows)
        await pilot.press("escape")
        assert view.error is None


async def test_moving_asks_nothing(quickstart: Catalog, tmp_path: Path) -> None:
    """No key of movement, sorting, width or interval begins a query or takes a grid."""
    app = Recording(quickstart, MatrixPlace(columns="attack"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.matrix
        loads, began = view.loads, view.lrm.reader
        asked: list[str] = []
        burst = began.burst
        began.burst = lambda *args, **named: (asked.append("burst"), burst(*args, **named))[1]  # type: ignore[method-assign,func-returns-value]
        await pilot.press("j", "l", "k", "h", "G", "g", "s", "s", "S", "plus", "minus", "i", "i", "z", "z")
        await settle(pilot)
        assert (asked, view.loads) == ([], loads)


async def test_the_cursor_stays_when_the_catalog_changes(tmp_path: Path) -> None:
    """More cells are filled: the figures change, the cursor and the order do not; nobody is asked."""
    catalog = Catalog(tmp_path / "c.duckdb")
    spec = builders.matrix(
        [builders.model("a"), builders.model("b", model="other")], [builders.prompt_set(rows=[f"prompt {n}" for n in range(8)])],
        judges=[builders.judge()], name="small",
    )  # fmt: skip
    builders.answer(catalog, spec, limit=4)
    app = Recording(catalog, MatrixPlace(measure="coverage"), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        view = app.matrix
        await pilot.press("j", "l")
        assert view.state is not None
        before, spot = view.state.grid.total.value, (view.grid.row, view.grid.column)
        builders.answer(catalog, spec, run="r2", at=builders.AT + 1000)
        view._refreshed_at = float("-inf")
        view.post_message(Changed())
        await pilot.pause()
        await settle(pilot)
        assert view.state.grid.total.value == 1.0 != before
        assert (view.grid.row, view.grid.column) == spot


async def test_an_expensive_grid_waits_to_be_asked(quickstart: Catalog, tmp_path: Path) -> None:
    """Where counting took long, a change is only said."""
    app = Recording(quickstart, None, tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.matrix
        view._took_s = 60.0
        loads = view.loads
        view.post_message(Changed())
        await settle(pilot)
        assert view.loads == loads
        assert "r counts again" in view.status()


async def test_no_catalog_says_what_makes_one_and_then_shows_it(tmp_path: Path) -> None:
    """Not a blank grid, and no error; once there is one it appears."""
    catalog = Catalog(tmp_path / "none.duckdb")
    app = Recording(catalog, None, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        view = app.matrix
        page = "\n".join(line.text for line in view.page.lines)
        assert "lrm matrix fill specs/quickstart.toml" in page
        assert view.error is None
        await pilot.press("p")
        assert app.opened == [PlanPlace("specs/quickstart.toml")]
        with catalog.writing():
            pass
        await pilot.press("r")
        await settle(pilot)
        assert "holds no cells yet" in "\n".join(line.text for line in view.page.lines)
        builders.answer(catalog, builders.matrix(name="small"))
        view.post_message(Changed())
        await pilot.pause()
        await settle(pilot)
        assert view.state is not None
        assert view.place == replace(MatrixPlace(), slice=Slice("small"))


async def test_rows_are_found_by_their_words(quickstart: Catalog, tmp_path: Path) -> None:
    """/ jumps, n and N go round, Esc forgets."""
    app = Recording(quickstart, MatrixPlace(columns="attack"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        view = app.matrix
        await pilot.press("slash", *"i d", "enter")
        await pilot.pause()
        assert view.grid.row == 1
        await pilot.press("n")
        assert view.grid.row == 2
        await pilot.press("n")
        assert view.grid.row == 1
        await pilot.press("N")
        assert view.grid.row == 2
        await pilot.press("escape")
        assert view.state is not None
        assert view.state.words == ""


async def test_a_model_is_compared_with_another(quickstart: Catalog, tmp_path: Path) -> None:
    """C asks with which, and keeps the rest of the cell's slice."""
    app = Recording(quickstart, MatrixPlace(columns="attack"), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(pilot)
        await pilot.press("C")
        await settle(pilot)
        await pilot.press(*"hidden", "enter")
        await pilot.pause()
        assert app.opened == [
            ComparePlace(
                Slice("quickstart", (("attack", ("none",)),)),
                ("sim-reasoning", "sim-hidden"),
                judge="refusal",
                scope="answer",
            )
        ]
