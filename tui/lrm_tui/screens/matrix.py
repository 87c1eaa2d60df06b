"""The view `matrix`: rates along two axes, and the ways from a cell to its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from lrm import clock
from lrm.browse.places import MatrixPlace, Place, PlanPlace
from lrm.browse.reader import Stop
from lrm.errors import LrmError
from lrm.text import visible
from lrm_tui.actions import Action
from lrm_tui.base import Changed
from lrm_tui.lines import Line
from lrm_tui.panes import Items
from lrm_tui.screens.matrix_choices import Choices
from lrm_tui.screens.matrix_export import as_csv, as_json, as_markdown, as_text, as_tsv
from lrm_tui.screens.matrix_finding import Finding
from lrm_tui.screens.matrix_pages import example, no_catalog, no_cells, no_specs
from lrm_tui.screens.matrix_sql import sql_of
from lrm_tui.screens.matrix_state import DISAGREE, UNSAFE_THINKING, MatrixModel, MatrixState
from lrm_tui.screens.monitor_lines import LinesPane, Piece, TextLine, line
from lrm_tui.widgets.grid_view import WIDTH, GridView

if TYPE_CHECKING:
    from lrm.browse.figures import Grid
    from lrm.browse.grid import Held

REFRESH_S = 4.0
"""Seconds at least between two refreshes that nobody asked for."""
CHEAP_S = 2.0
"""Seconds that a load may have taken so that it is done again without being asked for."""
WIDEST = 18
"""Cells that a column is made wide by itself, at most."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """The catalog holds no spec and no import."""


@dataclass(frozen=True, slots=True)
class Around:
    """The cells above and below one, for the next and previous item of whatever they open."""

    places: tuple[Place, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.places)

    def place_at(self, row: int) -> Place | None:
        """Return one."""
        return self.places[row]


class MatrixView(Choices, Finding):
    """A grid of figures."""

    view: ClassVar[str] = "matrix"
    DEFAULT_CSS = """
    MatrixView #about { background: $surface; color: $secondary; }
    MatrixView #cell { height: 2; background: $surface; padding: 0 0; }
    MatrixView #page { display: none; }
    MatrixView.-empty #page { display: block; }
    MatrixView.-empty #grid, MatrixView.-empty #cell, MatrixView.-empty #about { display: none; }
    """

    def __init__(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        super().__init__(place, items=items, row=row)
        assert isinstance(place, MatrixPlace)
        self.asked = place
        """What is wanted; judge and scope as a person chose them, None for the first that fits."""
        self._good = place
        """What was asked for what is shown."""
        self.state: MatrixState | None = None
        self.outdated = False
        """Whether the catalog has changed since what is shown was counted."""
        self.loads = 0
        """Grids that were taken so far."""
        self._began = 0.0
        self._took_s: float | None = None
        self._refreshed_at = float("-inf")
        self._width = 0
        """How wide cells were before they showed intervals."""
        self._widened = False
        """Whether somebody chose how wide cells are."""

    def body(self) -> ComposeResult:
        """Make the grid, and what is said above and below it."""
        yield Line(id="about")
        self.grid = GridView(id="grid")
        self.pane = self.grid
        yield self.grid
        yield Static(id="cell")
        self.page = LinesPane(id="page")
        yield self.page

    # Loading

    def load(self) -> None:
        """Ask for the grid."""
        self._ask(self.asked)

    def _ask(self, place: MatrixPlace, *, quiet: bool = False) -> None:
        self.asked = place
        if not self.lrm.catalog.exists():
            self._show_page(no_catalog(self.lrm.catalog.path, self.lrm.catalog_words))
            return
        self._began = clock.monotonic()
        self.stop("quiet")
        job = "quiet" if quiet else "grid"
        self.stream(job, lambda stop: self._grids(place, stop, quiet=quiet), self._took)

    def _grids(self, place: MatrixPlace, stop: Stop, *, quiet: bool) -> Iterator[Grid | Nothing]:
        """Count, in a worker. A refresh that nobody asked for gives only what is complete."""
        if place.slice.spec is None and _one_spec(place):
            held = self.lrm.grids.specs(stop)
            if not held:
                yield Nothing()
                return
            place = replace(place, slice=replace(place.slice, spec=held[0].name))
        for grid in self.lrm.grids.grids(place, stop):
            if grid.complete or not quiet:
                for _ in grid.figures.values():  # made here, not where keys are waited for
                    pass
                yield grid

    def _took(self, grid: Grid | Nothing) -> None:
        self.loads += 1
        if isinstance(grid, Nothing):
            self._show_page(no_specs(self.lrm.catalog.path, self.lrm.catalog_words))
            return
        if grid.complete:
            self._took_s = clock.monotonic() - self._began
            self._refreshed_at = clock.monotonic()
            self.outdated = False
        state = self.state
        self._good = self.asked = replace(self.asked, slice=grid.place.slice)
        self._set(MatrixState(grid) if state is None else state.of(grid))

    def _set(self, state: MatrixState) -> None:
        """Show a state; the cursor stays on its row and column."""
        self.state = state
        self.place = state.place
        if state.grid.complete and not state.grid.rows:
            self._show_page(no_cells(state.about()))
            return
        self.remove_class("-empty")
        self.pane = self.grid
        fresh = not self.grid.model.rows or not self.grid.model.columns
        self._fit(state)
        self.grid.show(MatrixModel(state), keep_cursor_by_label=not fresh)
        self.query_one("#about", Line).say(state.about())
        self._say_cell()
        self.say()

    def _fit(self, state: MatrixState) -> None:
        """Make cells as wide as their heads, where all of them fit and nobody chose another width."""
        if self._widened or state.interval or not state.grid.columns:
            return
        longest = max(cell_len(name) for name in state.grid.columns) + 2
        labels = max((cell_len(name) for name in state.grid.rows), default=0) + 1
        room = (self.size.width - labels) // (len(state.grid.columns) + 1)
        self.grid.widen(max(WIDTH, min(longest, room, WIDEST)) - self.grid.cell_width)

    def failed(self, job: str, error: LrmError) -> None:  # noqa: ARG002 -- the banner has it already
        """Go on showing what was there; its place is still the address."""
        if job == "quiet":
            self.error = None
            self.outdated = True
        elif self.state is not None and job == "grid":
            self.asked, self.place = self._good, self.state.place
        elif self.state is None:
            self._show_page([line(Piece("the matrix cannot be shown: r tries again", "dim"))])

    def change(self, place: MatrixPlace) -> None:
        """Ask for another grid; what was sorted by something that is no longer there is not sorted any more."""
        self._ask(place)

    def turn_to(self, place: Place) -> None:
        """Show another matrix."""
        assert isinstance(place, MatrixPlace)
        self._ask(place)

    # When the catalog changes

    @property
    def loading_now(self) -> bool:
        """Whether something is being loaded that somebody waits for."""
        return any(job != "quiet" for job in self._stops)

    def on_changed(self, message: Changed) -> None:
        """Count again where that is cheap, without moving anything; else say that it has changed."""
        message.stop()
        self._look_again()

    def on_screen_resume(self) -> None:
        """Look whether there is something new."""
        super().on_screen_resume()
        if self.outdated:
            self._look_again()

    def _look_again(self) -> None:
        if self.loading_now or "quiet" in self._stops:
            self.outdated = True
            return
        if self.state is None:
            self.load()
            return
        since = clock.monotonic() - self._refreshed_at
        self.outdated = True
        if self._took_s is not None and self._took_s < CHEAP_S and self.app.screen is self:
            if since >= REFRESH_S:
                self._ask(self.asked, quiet=True)
            else:
                self.set_timer(REFRESH_S - since + 0.1, self._again, name="again")
        self.say()

    def _again(self) -> None:
        if self.outdated and self.is_attached:
            self._look_again()

    def action_out(self) -> None:
        """Go out; a refresh that nobody asked for does not stand in the way."""
        self.stop("quiet")
        super().action_out()

    # Pages in place of a grid

    def _show_page(self, lines: Sequence[TextLine]) -> None:
        self.add_class("-empty")
        self.page.show(lines)
        self.pane = self.page
        self.say()

    # The lines around

    def crumbs(self) -> str:
        """Return where this is."""
        if self.state is None:
            return "matrix"
        return f"matrix {self.state.place.slice.spec or 'all specs'}"

    def status(self) -> str:
        """Return rows, columns and whether they are old."""
        state = self.state
        if state is None or self.has_class("-empty"):
            return ""
        parts = [f"{len(state.row_order)} rows × {len(state.column_order)} columns"]
        if not state.grid.complete:
            parts.append(f"{state.grid.share:.0%} of the cells counted")
        if state.words:
            parts.append(f"/{state.words}: {len(state.matches())} rows, n next")
        if self.outdated and state.grid.complete and "quiet" not in self._stops:
            parts.append("the catalog has changed: r counts again")
        return " · ".join(parts)

    def _say_cell(self) -> None:
        if self.state is not None:
            self.query_one("#cell", Static).update(Text(visible(self.state.sentence(*self.spot()))), layout=False)

    def spot(self) -> tuple[int | None, int | None]:
        """Return the cursor's row and column as numbers of the grid; None is the totals."""
        assert self.state is not None
        return MatrixModel(self.state).at(self.grid.row, self.grid.column)

    def names(self) -> tuple[str | None, str | None]:
        """Return the names of the cursor's row and column; None is the totals."""
        assert self.state is not None
        row, column = self.spot()
        grid = self.state.grid
        return None if row is None else grid.rows[row], None if column is None else grid.columns[column]

    # Messages of the grid

    def on_grid_view_moved(self, message: GridView.Moved) -> None:
        """Say what the cursor is on."""
        message.stop()
        self._say_cell()

    def on_grid_view_chosen(self, message: GridView.Chosen) -> None:
        """Open what was clicked twice."""
        message.stop()
        self.action_enter()

    def on_grid_view_head_clicked(self, message: GridView.HeadClicked) -> None:
        """Sort the rows by the column whose head was clicked."""
        message.stop()
        self.grid.jump(self.grid.row, message.column)
        self._sort(rows=True)

    def on_grid_view_row_clicked(self, message: GridView.RowClicked) -> None:
        """Put the cursor on the row whose label was clicked."""
        message.stop()
        self.grid.jump(message.row, self.grid.column)

    # Into a cell

    def can(self, action: Action) -> bool:
        """Return whether there is anything to act on."""
        return self.state is not None or action.view == "any" or action.verb in ("plan", "spec")

    def action_enter(self) -> None:
        """Open the samples of the cell, or of the totals."""
        self._samples("")

    def action_disagreements(self) -> None:
        """Open the samples of the cell on which judges disagree."""
        self._samples(DISAGREE)

    def action_gap_samples(self) -> None:
        """Open the samples of the cell whose thinking is unsafe and answer safe."""
        self._samples(UNSAFE_THINKING)

    def _samples(self, where: str) -> None:
        state = self.state
        if state is None or self.has_class("-empty"):
            return
        row, column = self.spot()
        if state.grid.complete and state.figure(row, column) is None:
            self.lrm.tell("nothing is planned here")
            return
        rows = [n for n in state.row_order if state.figure(n, column) is not None]
        if row is None or row not in rows:
            self.lrm.open(state.samples(row, column, where=where))
            return
        around = Around(tuple(state.samples(n, column, where=where) for n in rows))
        self.lrm.open(around.places[rows.index(row)], items=around, row=rows.index(row))

    def action_plan(self) -> None:
        """Show what a fill of this spec would do."""
        if self.state is None:
            self.lrm.open(PlanPlace(example()))
            return
        spec = self.state.place.slice.spec
        if spec is None:
            self.lrm.tell("a plan is of one spec: c chooses it", bad=True)
            return

        def found(held: tuple[Held, ...]) -> None:
            one = next((one for one in held if one.name == spec), None)
            if one is not None and one.kind == "import":
                self.lrm.tell(f"{spec} was imported: there is nothing to fill", bad=True)
                return
            file = one.file if one is not None else None
            self.lrm.open(PlanPlace(file if file and Path(file).is_file() else spec))

        self.ask("specs", self.lrm.grids.specs, found)

    # What is shown

    def action_sort_rows(self) -> None:
        """Sort rows by the column under the cursor."""
        self._sort(rows=True)

    def action_sort_columns(self) -> None:
        """Sort columns by the row under the cursor."""
        self._sort(rows=False)

    def _sort(self, *, rows: bool) -> None:
        if self.state is not None:
            row, column = self.names()
            self._set(self.state.sorted_by(rows=rows, by=column if rows else row))

    def action_hide_empty(self) -> None:
        """Hide rows and columns without any figure, or show them."""
        if self.state is not None:
            self._set(replace(self.state, hide_empty=not self.state.hide_empty))

    def action_interval(self) -> None:
        """Show the interval in each cell, or leave it out."""
        if self.state is None:
            return
        self._set(replace(self.state, interval=not self.state.interval))
        if self.state.interval:
            self._width = self.grid.cell_width
            longest = max((len(cell) for row in list(self.state.table())[1:] for cell in row[1:]), default=0)
            self.grid.widen(max(longest + 2 - self._width, 0))
        else:
            self.grid.widen(self._width - self.grid.cell_width)

    def action_wider(self) -> None:
        """Make cells wider."""
        self._widened = self.grid.widen(1) or self._widened

    def action_narrower(self) -> None:
        """Make cells narrower."""
        self._widened = self.grid.widen(-1) or self._widened

    # What narrows it, taken away

    def cleared(self) -> bool:
        """Forget the words, then the difference, then each filter."""
        if self.state is None:
            return False
        if self.state.words:
            self.state = replace(self.state, words="")
            return self._said()
        if self.asked.against is not None:
            self.change(replace(self.asked, against=None))
            return True
        only = [axis for axis, _ in self.asked.slice.only if axis != "spec"]
        if only:
            self.change(replace(self.asked, slice=self.asked.slice.narrowed(only[-1], None)))
            return True
        return False

    def _said(self) -> bool:
        self.say()
        return True

    # Out of here

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return what can be copied."""
        state = self.state
        if state is None:
            return super().copies()
        row, column = self.names()
        return {
            "c": ("the cell's figure", lambda: state.value_text(*self.spot())),
            "a": ("all that is known of the cell", lambda: state.sentence(*self.spot())),
            "r": ("the row's name", lambda: row),
            "k": ("the column's name", lambda: column),
            "t": ("the table, for a spreadsheet", lambda: as_tsv(state)),
            **super().copies(),
        }

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return what can be written to a file."""
        state = self.state
        if state is None or self.has_class("-empty"):
            return {}
        return {"csv": lambda: as_csv(state), "md": lambda: as_markdown(state), "json": lambda: as_json(state)}

    def text(self) -> str | None:
        """Return the table as plain text."""
        return None if self.state is None else as_text(self.state)

    def sql(self) -> str | None:
        """Return a query over the views that gives these numbers."""
        return None if self.state is None else sql_of(self.state.place)


def _one_spec(place: MatrixPlace) -> bool:
    """Return whether a place that names no spec means the newest one."""
    return "spec" not in (place.rows, place.columns) and place.slice.values("spec") is None
