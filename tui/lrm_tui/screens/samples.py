"""The view `samples`: one line a sample, and beside it the beginning of the one under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer

from lrm.browse.glance import glance
from lrm.browse.places import Place, SamplesPlace, SearchPlace, TracePlace
from lrm.browse.reader import Stop
from lrm.errors import LrmError
from lrm_tui.base import View
from lrm_tui.dialogs import Ask
from lrm_tui.panes import Pane
from lrm_tui.screens import samples_files
from lrm_tui.screens.samples_detail import Detail, head, texts
from lrm_tui.screens.samples_items import SampleItems, place_of
from lrm_tui.screens.samples_marking import Marking
from lrm_tui.screens.samples_narrowing import Narrowing
from lrm_tui.screens.samples_state import NARROW, PANES, Layout, added, key_of, layout, sort_name
from lrm_tui.widgets.rows_view import PAGE, RowsView

if TYPE_CHECKING:
    from lrm.browse.glance import Glance
    from lrm.browse.samples import Sample, Samples

REST_S = 0.08
"""How long the cursor rests on a row before the pane beside the list asks for it, in seconds."""


class SamplesView(Narrowing, Marking):
    """The view `samples`."""

    view: ClassVar[str] = "samples"
    leaves_with: ClassVar[tuple[str, ...]] = ("look", "page ")
    DEFAULT_CSS = """
    SamplesView #body > Horizontal { height: 1fr; }
    SamplesView Detail { width: 34%; }
    SamplesView.-half Detail { width: 50%; }
    SamplesView.-none Detail { display: none; }
    """

    def __init__(self, place: Place, **given: object) -> None:
        super().__init__(place, **given)
        self._came_with = self.listed.where
        self._layout: Layout | None = None
        self._width = PANES[0]
        self._rest: Timer | None = None
        self._matches: Samples | None = None
        self._child: View | None = None

    @property
    def detail(self) -> Detail:
        """The pane beside it."""
        return self.query_one(Detail)

    def body(self) -> ComposeResult:
        """Make list and pane."""
        with Horizontal():
            yield RowsView(id="list", classes="-active")
            yield Detail()

    def on_mount(self) -> None:
        """Let the keys of movement act on the list, and begin to load."""
        self.pane = self.rows
        super().on_mount()

    def panes(self) -> tuple[Pane, ...]:
        """Return list and pane."""
        return (self.rows, self.detail) if self._shows_detail else (self.rows,)

    # Reading

    def load(self) -> None:
        """Order the samples and show the first of them."""
        now = self._now()
        where = None if now is None else now.id
        place = self.listed
        self.ask("open", partial(self._open, place, where, self.rows.row), self._opened)

    def _open(
        self, place: SamplesPlace, where: str | None, row: int, stop: Stop
    ) -> tuple[Samples, int, tuple[Sample, ...]]:
        from lrm.browse.samples import open_samples

        samples = open_samples(self.lrm.reader, place, stop)
        if where is not None:
            found = samples.row_of(where)
            row = 0 if found is None else found
        row = min(row, max(samples.count - 1, 0))
        return samples, row, samples.page(row // PAGE * PAGE, PAGE, stop)

    def _opened(self, found: tuple[Samples, int, tuple[Sample, ...]]) -> None:
        samples, row, page = found
        if self.samples is not None:
            self.samples.close()
        self._forget_matches()
        self.samples = samples
        self.held.pages.clear()
        self.held.keep(row // PAGE * PAGE, page)
        made = layout(self.listed, samples.judges, page, len(self.lrm.names.attacks))
        if self._layout is None or made.columns != self._layout.columns:
            self.rows.set_columns(made.columns)
        self._layout = made
        self.rows.set_empty(self._empty_words())
        self.rows.set_sorted(self._sorted_key(made), down=self.listed.sort.startswith("-"))
        self.rows.set_count(samples.count, row=row)
        self._look_soon()

    def _empty_words(self) -> str:
        if self.listed.where:
            return f"no sample matches: {self.listed.where}   (Esc clears the filter, f changes it)"
        spec = self.listed.slice.spec
        if self.listed.slice.only:
            return "no sample is in this part of the matrix (Esc goes back)"
        return f"there are no samples yet: lrm matrix fill {spec or 'specs/quickstart.toml'} makes them"

    def _sorted_key(self, made: Layout) -> str | None:
        name = self.listed.sort.removeprefix("-")
        return next((one.key for one in made.columns if name and sort_name(one.key) == name), None)

    def on_rows_view_wanted(self, message: RowsView.Wanted) -> None:
        """Read a page, unless it is there."""
        message.stop()
        samples, offset, turn = self.samples, message.offset, message.turn
        if samples is None or turn != self.rows.turn:
            return
        page = self.held.pages.get(offset // PAGE)
        if page is not None:
            self._give(offset, turn, page)
            return
        self.ask(
            f"page {offset // PAGE}",
            lambda stop: samples.page(offset, PAGE, stop),
            partial(self._came, samples, offset, turn),
        )

    def _came(self, samples: Samples, offset: int, turn: int, page: tuple[Sample, ...]) -> None:
        if samples is self.samples:
            self.held.keep(offset, page)
            self._give(offset, turn, page)

    def _give(self, offset: int, turn: int, page: tuple[Sample, ...]) -> None:
        if self._layout is not None:
            rows = [self._layout.row(sample) for sample in page]
            self.rows.give(offset, rows, keys=[key_of(sample) for sample in page], turn=turn)
            if offset <= self.rows.row < offset + len(page):
                self._look_soon()

    def failed(self, job: str, error: LrmError) -> None:
        """Note that rows which were asked for will not come."""
        if job.startswith("page"):
            self.rows.set_empty(error.message)

    def action_refresh(self) -> None:
        """Read the catalog again."""
        super().action_refresh()
        self.rows.ask_again()

    # The pane beside the list

    @property
    def _shows_detail(self) -> bool:
        return self._width != "none" and self.size.width >= NARROW

    def on_rows_view_moved(self, message: RowsView.Moved) -> None:
        """Say where the cursor is, and soon what it is on."""
        message.stop()
        self._say_status()
        self._look_soon()

    def _look_soon(self) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST_S, self._look)

    def _look(self) -> None:
        self._rest = None
        sample = self._now()
        if not self._shows_detail:
            return
        if sample is None:
            self.detail.show([])
            return
        self.detail.show([*head(sample), ("", "plain")])
        self.ask("look", partial(glance, self.lrm.reader, sample), partial(self._looked, sample))

    def _looked(self, sample: Sample, found: Glance) -> None:
        self.detail.show([*head(sample), ("", "plain"), *texts(found)])

    def action_pane(self) -> None:
        """Give the pane another width."""
        if self.size.width < NARROW:
            self.lrm.tell(f"the pane needs a terminal of {NARROW} columns")
            return
        self._width = PANES[(PANES.index(self._width) + 1) % len(PANES)]
        self._arrange()

    def on_resize(self) -> None:
        """Hide the pane where there is no room for it."""
        self._arrange()

    def _arrange(self) -> None:
        shown = self._shows_detail
        self.set_class(not shown, "-none")
        self.set_class(self._width == "half", "-half")
        if self.pane is self.detail and not shown:
            self.activate(self.rows)
        if shown:
            self._look_soon()

    # The lines

    def crumbs(self) -> str:
        """Return which part of the matrix is listed."""
        part = self.listed.slice
        words = [
            part.spec or "",
            *(", ".join(values[:2]) + (" …" if len(values) > 2 else "") for _, values in part.only),
        ]
        return " ".join(["samples", *(f"· {word}" for word in words if word)])

    def status(self) -> str:
        """Return row, count, filter, order, marks."""
        if self.samples is None:
            return ""
        count = self.samples.count
        # What is listed stays until the new order is there, so its count would be that of another filter.
        parts = ["…" if "open" in self._stops else f"{min(self.rows.row + 1, count):,} of {count:,}"]
        if self.listed.where:
            parts.append(f"filter: {self.listed.where}")
        if self.listed.sort:
            name = self.listed.sort.removeprefix("-")
            parts.append(f"by {name}{', largest first' if self.listed.sort.startswith('-') else ''}")
        if self.held.marked:
            parts.append(f"{len(self.held.marked):,} marked")
        if self._matches is not None:
            parts.append(f"/{self.held.find}: {self._matches.count:,} match")
        return "  ·  ".join(parts)

    # Going on

    def action_enter(self) -> None:
        """Open the sample under the cursor."""
        samples, sample = self.samples, self._now()
        if samples is None or sample is None:
            return
        row = self.rows.row
        if sample.id is not None:
            self._enter(samples, row, TracePlace(sample.id, sample.prompt))
        else:
            self.ask("enter", partial(place_of, self.lrm.reader, sample), partial(self._enter, samples, row))

    def _enter(self, samples: Samples, row: int, place: TracePlace) -> None:
        self.lrm.open(place, items=SampleItems(self.lrm.reader, samples), row=row)
        self._child = cast("View", self.app.screen_stack[-1])

    def on_rows_view_chosen(self, message: RowsView.Chosen) -> None:
        """Open what was clicked twice."""
        message.stop()
        self.action_enter()

    def on_screen_resume(self) -> None:
        """Stand on the sample that was reached in the view that was closed."""
        super().on_screen_resume()
        child, self._child = self._child, None
        if child is not None and child.row is not None:
            self.rows.jump(child.row)

    def action_out(self) -> None:
        """Go back, as everywhere; a filter that is given up leaves the list as it is."""
        super().action_out()
        if self.samples is not None and "open" not in self._stops and self.place != self.samples.place:
            self.place = self.samples.place
            self.say()

    def cleared(self) -> bool:
        """Clear the search, the marks, then what was added to the filter that the view began with."""
        if self._matches is not None:
            self._forget_matches()
        elif self.held.marked:
            self.held.marked.clear()
            self.rows.set_marks(())
        elif self.samples is not None and not self.samples.count and self.listed.where:
            self._came_with = ""
            self._go(replace(self.listed, where=""))
        elif self.listed.where != self._came_with:
            self._go(replace(self.listed, where=self._came_with))
        else:
            return False
        self.say()
        return True

    # Finding within the list

    def action_find(self) -> None:
        """Ask for words, and go to the next sample whose prompt has them."""

        def chosen(answer: object) -> None:
            if isinstance(answer, str) and answer.strip():
                self.held.find = answer.strip()
                self._find()

        hint = "in keys and prompts of what is listed; n and N go on. Ctrl-F searches thinking and answers."
        self.app.push_screen(Ask("find", self.held.find, hint=hint), chosen)

    def _find(self) -> None:
        from lrm.browse.nodes import quoted

        place = replace(self.listed, where=added(self.listed.where, quoted(self.held.find)))

        def matches(stop: Stop) -> Samples:
            from lrm.browse.samples import open_samples

            return open_samples(self.lrm.reader, place, stop)

        self.ask("find", matches, self._found)

    def _found(self, matches: Samples) -> None:
        self._forget_matches()
        self._matches = matches
        if matches.count:
            self._to_match(1, here=True)
        else:
            self.lrm.tell(f"nothing that is listed has “{self.held.find}” in its prompt")

    def _forget_matches(self) -> None:
        if self._matches is not None:
            self._matches.close()
            self._matches = None

    def action_next_match(self) -> None:
        """Go to the next sample that has the words."""
        self._to_match(1)

    def action_previous_match(self) -> None:
        """Go to the one before."""
        self._to_match(-1)

    def _to_match(self, step: int, *, here: bool = False) -> None:
        samples, matches, row = self.samples, self._matches, self.rows.row
        if samples is None or matches is None:
            if self.held.find:
                self._find()
            else:
                self.lrm.tell("/ finds words")
            return

        def nearest(_: Stop) -> int | None:
            return match_row(samples, matches, row, step, here=here)

        self.ask("match", nearest, self._at_match)

    def _at_match(self, row: int | None) -> None:
        if row is None:
            self.lrm.tell("there is no further match")
        else:
            self.rows.jump(row)

    def action_search_texts(self) -> None:
        """Search the texts of this part of the matrix."""
        if self.listed.where:
            self.lrm.tell("searches this part of the matrix; the filter does not narrow it")
        self.lrm.open(SearchPlace(self.held.find, self.listed.slice))

    # What leaves

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return id, prompt key, filter and row."""
        sample = self._now()
        return {
            "i": ("the id", lambda: None if sample is None else sample.id),
            "p": ("the prompt's key", lambda: None if sample is None else sample.prompt),
            "w": ("the filter", lambda: self.listed.where or None),
            "t": ("the row", lambda: self._row_words(self.rows.row)),
            **super().copies(),
        }

    def _row_words(self, row: int) -> str | None:
        cells = self.rows.cells(row)
        return None if cells is None else "\t".join(one if isinstance(one, str) else one.text for one in cells)

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return the kinds of file."""
        samples = self.samples
        if samples is None:
            return {}
        return {
            "csv": partial(samples_files.as_csv, samples),
            "jsonl": partial(samples_files.as_jsonl, samples),
            "texts.jsonl": partial(samples_files.as_jsonl_with_texts, self.lrm.reader, samples),
            "ids.txt": partial(samples_files.as_ids, samples),
        }

    def text(self) -> str | None:
        """Return the head and the rows that are there."""
        if self._layout is None:
            return None
        lines = ["\t".join(column.title for column in self._layout.columns)]
        for page in sorted(self.held.pages):
            rows = range(page * PAGE, page * PAGE + len(self.held.pages[page]))
            lines += [words for words in map(self._row_words, rows) if words is not None]
        return "\n".join(lines) + "\n"

    def sql(self) -> str | None:
        """Return the same list as SQL over the views."""
        try:
            return samples_files.as_sql(self.listed)
        except LrmError:
            return None

    def on_unmount(self) -> None:
        """Forget the order of the samples."""
        super().on_unmount()
        self._forget_matches()
        if self.samples is not None:
            self.samples.close()


def match_row(samples: Samples, matches: Samples, row: int, step: int, *, here: bool = False) -> int | None:
    """Return the row of the nearest match after (1) or before (-1) a row; `here` takes the row itself too.

    Matches stand in the order of the list, so it is found by halving: a question for each halving, never one for each match.
    """
    low, high = 0, matches.count
    while low < high:
        middle = (low + high) // 2
        at = _row_of(samples, matches, middle)
        before = at is not None and (at < row or (at == row and step > 0 and not here))
        low, high = (middle + 1, high) if before else (low, middle)
    wanted = low if step > 0 else low - 1
    return _row_of(samples, matches, wanted) if 0 <= wanted < matches.count else None


def _row_of(samples: Samples, matches: Samples, number: int) -> int | None:
    """Return the row of a match, or of the next one that has an id to find it by."""
    for sample in matches.page(number, PAGE):
        if sample.id is not None:
            return samples.row_of(sample.id)
    return None
