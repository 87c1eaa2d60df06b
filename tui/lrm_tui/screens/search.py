"""The view `search`: words in thinking, answers or prompts, found while one looks on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult

from lrm.browse.places import AnnotatePlace, Place, SearchPlace
from lrm.browse.reader import Stop
from lrm.errors import LrmError
from lrm_tui.base import View
from lrm_tui.dialogs import Ask
from lrm_tui.panes import Pane
from lrm_tui.screens import search_state as state
from lrm_tui.screens.search_state import WITHIN, Hits
from lrm_tui.widgets.rows_view import PAGE, Column, RowsView

if TYPE_CHECKING:
    from lrm.browse.search import Found


class SearchView(View):
    """The view `search`."""

    view: ClassVar[str] = "search"

    def __init__(self, place: Place, **given: object) -> None:
        super().__init__(place, **given)  # type: ignore[arg-type]
        self.hits = Hits()
        self._columns: tuple[Column, ...] = ()
        self._child: View | None = None

    @property
    def wanted(self) -> SearchPlace:
        """What is searched for, and where."""
        return cast("SearchPlace", self.place)

    @property
    def rows(self) -> RowsView:
        """The hits."""
        return self.query_one(RowsView)

    def body(self) -> ComposeResult:
        """Make the list."""
        yield RowsView(classes="-active")

    def on_mount(self) -> None:
        """Let the keys of movement act on the list, and begin; without words, ask for them."""
        self.pane = self.rows
        super().on_mount()
        if not self.wanted.words.strip():
            self.action_find()

    def panes(self) -> tuple[Pane, ...]:
        """Return the list."""
        return (self.rows,)

    # Searching

    def load(self) -> None:
        """Search from the beginning."""
        self.hits = Hits()
        self._columns = state.columns([], self.wanted)
        self.rows.set_columns(self._columns)
        self.rows.set_count(0)
        place = self.wanted
        if not place.words.strip():
            self.rows.set_empty("/ says which words to look for")
            return
        self.rows.set_empty("")

        def found(stop: Stop) -> Iterator[Found]:
            from lrm.browse.search import find

            return find(self.lrm.reader, place, stop)

        self.stream("search", found, self._found)

    def _found(self, found: Found) -> None:
        first = not self.hits.count and bool(found.hits)
        self.hits.add(found)
        if first:
            self._columns = state.columns(self.hits.hits, self.wanted)
            self.rows.set_columns(self._columns)
        if found.hits:
            self.rows.set_count(self.hits.count, keep=True)
        elif self.hits.complete and not self.hits.count:
            self.rows.set_empty(
                f"“{self.wanted.words}” is in no {self.wanted.within} here: / says other words, w looks elsewhere"
            )

    def failed(self, job: str, error: LrmError) -> None:
        """Keep what was found."""
        if job == "search" and not self.hits.count:
            self.rows.set_empty(error.message)

    def on_rows_view_wanted(self, message: RowsView.Wanted) -> None:
        """Give hits."""
        message.stop()
        some = self.hits.hits[message.offset : message.offset + PAGE]
        self.rows.give(message.offset, [state.row(hit, self._columns) for hit in some], turn=message.turn)

    def on_rows_view_moved(self, message: RowsView.Moved) -> None:
        """Say where the cursor is."""
        message.stop()
        self._say_status()

    # The lines

    def crumbs(self) -> str:
        """Return what is searched for, and where."""
        return f"search {self.wanted.within}: {self.wanted.words}"

    def loading_words(self) -> str:
        """Return that it searches."""
        return "searching (Esc stops and keeps what was found)"

    def status(self) -> str:
        """Return hits and how far it has come."""
        at = f"{self.rows.row + 1:,} of " if self.hits.count else ""
        return at + self.hits.status(searching="search" in self._stops)

    # The grammar

    def action_find(self) -> None:
        """Ask for words."""

        def chosen(answer: object) -> None:
            if isinstance(answer, str) and answer.strip():
                self._go(replace(self.wanted, words=answer.strip()))

        hint = f"in every {self.wanted.within} here, whatever their case; /between slashes/ a regular expression"
        self.app.push_screen(Ask("which words", self.wanted.words, hint=hint, check=_wrong), chosen)

    def _go(self, place: SearchPlace) -> None:
        self.place = place
        self.load()
        self.say()

    def action_within(self) -> None:
        """Search thinking, then answers, then prompts."""
        at = WITHIN.index(self.wanted.within) if self.wanted.within in WITHIN else -1
        self._go(replace(self.wanted, within=WITHIN[(at + 1) % len(WITHIN)]))

    def action_next_match(self) -> None:
        """Go to the next hit."""
        self.rows.move(1, 0)

    def action_previous_match(self) -> None:
        """Go to the hit before."""
        self.rows.move(-1, 0)

    def action_mark(self) -> None:
        """Mark a hit, or take its mark off, and go to the next."""
        if self.rows.mark() is not None:
            self.rows.move(1, 0)

    def cleared(self) -> bool:
        """Take the marks off."""
        marked = bool(self.rows.marked)
        self.rows.set_marks(())
        return marked

    def action_enter(self) -> None:
        """Open the response with the words in it."""
        if not self.hits.count:
            return
        row = self.rows.row
        place = self.hits.place_at(row)
        if place is None:
            self.lrm.tell("nobody has asked a model this prompt yet: there is no response to open")
            return
        self.lrm.open(place, items=self.hits, row=row)
        self._child = cast("View", self.app.screen_stack[-1])
        if hasattr(self._child, "find_words"):
            setattr(self._child, "find_words", self.wanted.words)  # noqa: B010 -- only the view of a trace has it

    def on_rows_view_chosen(self, message: RowsView.Chosen) -> None:
        """Open what was clicked twice."""
        message.stop()
        self.action_enter()

    def on_screen_resume(self) -> None:
        """Stand on the hit that was reached in the view that was closed."""
        super().on_screen_resume()
        child, self._child = self._child, None
        if child is not None and child.row is not None:
            self.rows.jump(child.row)

    def action_annotate(self) -> None:
        """Label the marked hits, or all, one after the other."""
        marked = [self.hits.hits[row] for row in self.rows.marked if isinstance(row, int)]
        ids = state.as_ids(marked or self.hits.hits)
        if not ids:
            self.lrm.tell("there is nothing to label")
            return

        def write(_: Stop) -> str:
            from lrm_tui.outward import write_new

            return str(write_new(self.lrm.folder, f"found-{self.wanted.words}", "ids.txt", ids))

        self.ask("queue", write, self._queued)

    def _queued(self, path: str) -> None:
        self.lrm.tell(f"what was found is a queue now: {path}")
        self.lrm.open(AnnotatePlace(queue=path))

    # What leaves

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return id, prompt key, excerpt."""
        hit = self.hits.hits[self.rows.row] if self.rows.row < self.hits.count else None
        return {
            "i": ("the id", lambda: None if hit is None else hit.id),
            "p": ("the prompt's key", lambda: None if hit is None else hit.prompt),
            "x": ("the excerpt", lambda: None if hit is None else hit.excerpt),
            **super().copies(),
        }

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return the hits as files."""
        if not self.hits.count:
            return {}
        hits = list(self.hits.hits)
        return {
            "csv": partial(state.as_csv, hits),
            "jsonl": partial(state.as_jsonl, hits),
            "ids.txt": partial(state.as_ids, hits),
        }

    def text(self) -> str | None:
        """Return the hits as CSV."""
        return state.as_csv(self.hits.hits) if self.hits.count else None

    def sql(self) -> str | None:
        """Return the same search as SQL over the views."""
        return state.as_sql(self.wanted) if self.wanted.words.strip() else None


def _wrong(text: str) -> str | None:
    """Return what is wrong with words to search for; None where nothing is."""
    from lrm import regex

    if not text.strip():
        return "say at least one word, or leave with Esc"
    if len(text) > 2 and text.startswith("/") and text.endswith("/"):
        return regex.fault(text[1:-1])
    return None
