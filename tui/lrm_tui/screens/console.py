"""The view `sql`: a query above, its result below; nothing is ever written from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import TextArea
from textual.widgets.text_area import Edit, EditResult

from lrm import clock
from lrm.browse.places import Place, SqlPlace, TracePlace
from lrm.errors import LrmError
from lrm.text import visible
from lrm_tui.base import View
from lrm_tui.dialogs import Ask, Choose
from lrm_tui.panes import Pane
from lrm_tui.screens import console_state as state
from lrm_tui.screens.console_row import RowScreen
from lrm_tui.screens.console_state import History
from lrm_tui.widgets.rows_view import PAGE, Column, RowsView

if TYPE_CHECKING:
    from lrm.browse.console import Answer, Documented


class Editor(TextArea):
    """The query. What is typed or pasted into it is made safe to show: this widget would hand it to the terminal."""

    def edit(self, edit: Edit) -> EditResult:
        """Make an edit, its text made safe."""
        safe = visible(edit.text)
        return super().edit(edit if safe == edit.text else replace(edit, text=safe))

    def say(self, query: str) -> None:
        """Show another query from its beginning."""
        self.load_text(visible(query))
        self.move_cursor((0, 0))

    # What the keys of movement would do; the editor takes them itself while it has the focus.

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor."""
        row, column = self.cursor_location
        self.move_cursor((max(row + rows, 0), max(column + columns, 0)))

    def top(self) -> None:
        """Go to the beginning."""
        self.move_cursor((0, 0))

    def bottom(self) -> None:
        """Go to the end."""
        self.move_cursor(self.document.end)

    def half_page(self, direction: int) -> None:
        """Go half a page."""
        self.move(direction * max(self.size.height // 2, 1), 0)


class ConsoleView(View):
    """The view `sql`."""

    view: ClassVar[str] = "sql"
    again: ClassVar[str] = "F5"
    AUTO_FOCUS = ""  # a dialog that closes leaves the keys where they were
    DEFAULT_CSS = """
    ConsoleView #body > Vertical { height: 1fr; }
    ConsoleView Editor:focus { border: none; }
    ConsoleView Editor { height: 40%; min-height: 5; border: none; padding: 0 1; background: $surface; }
    """

    def __init__(self, place: Place, **given: object) -> None:
        super().__init__(place, **given)  # type: ignore[arg-type]
        self.answer: Answer | None = None
        self.history = History.of_user()
        self._began: float | None = None
        self._find = ""
        self._written = ""
        self._is_old = False

    @property
    def editor(self) -> Editor:
        """The query."""
        return self.query_one(Editor)

    @property
    def rows(self) -> RowsView:
        """The result."""
        return self.query_one(RowsView)

    @property
    def query_text(self) -> str:
        """What stands in the editor."""
        return self.editor.text

    def body(self) -> ComposeResult:
        """Make editor and result."""
        with Vertical():
            yield Editor(tab_behavior="focus", soft_wrap=True, show_line_numbers=False, theme="css")
            yield RowsView()

    def on_mount(self) -> None:
        """Let the editor take the keys; run the query that the TUI was started with."""
        self.pane = self.editor
        place = cast("SqlPlace", self.place)
        self.editor.say(place.query)
        super().on_mount()
        if place.query:
            self.rows.set_empty("F5 runs the query above")
        else:
            self._show_examples()
        self.editor.focus()
        if place.query and self.lrm.first_place is place:
            self.action_run()

    def panes(self) -> tuple[Pane, ...]:
        """Return editor and result."""
        return (self.editor, self.rows)

    def activate(self, pane: Pane) -> None:
        """Give a pane the keys: the editor by the focus."""
        super().activate(pane)
        if pane is self.editor:
            self.editor.focus()
        else:
            self.set_focus(None)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Follow a click into the editor."""
        if event.widget is self.editor:
            super().activate(self.editor)

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Follow a click beside it."""
        if event.widget is self.editor and self.app.screen is self:
            super().activate(self.rows)

    # Running

    def action_run(self) -> None:
        """Run the query."""
        from lrm.browse.console import run

        query = self.query_text
        self.history.add(query)
        self.place = SqlPlace(query.strip())
        self._began = clock.monotonic()
        self.ask("run", lambda stop: run(self.lrm.reader, query, stop), self._answered)
        self.say()

    def _answered(self, answer: Answer) -> None:
        self.answer = answer
        self._is_old = False
        self.rows.set_empty("the query gave no rows" if answer.columns else "the query gave nothing to show")
        self.rows.set_columns(state.columns(answer))
        self.rows.set_count(len(answer.rows), row=0)
        if answer.cut is not None:
            self.lrm.tell(answer.cut, bad=True)

    def failed(self, job: str, error: LrmError) -> None:
        """Put the cursor where the query is wrong."""
        at = getattr(error, "at", None)
        self._is_old = self._is_old or job == "run"
        if job == "run" and at is not None:
            self.activate(self.editor)
            self.editor.move_cursor(state.location(self.query_text, at))

    def on_rows_view_wanted(self, message: RowsView.Wanted) -> None:
        """Give rows of the result, or the examples while there is none."""
        message.stop()
        offset = message.offset
        values = self._examples() if self.answer is None else self.answer.rows
        rows = [state.row(one) for one in values[offset : offset + PAGE]]
        self.rows.give(offset, rows, turn=message.turn)

    @staticmethod
    def _examples() -> tuple[tuple[str, str], ...]:
        from lrm.browse.console import EXAMPLES

        return EXAMPLES

    def _show_examples(self) -> None:
        self.rows.set_columns(
            (Column("about", "examples: Tab, then Enter takes one", 36), Column("sql", "SQL", 20, flexible=True))
        )
        self.rows.set_count(len(self._examples()))

    # The lines

    def crumbs(self) -> str:
        """Return what this is."""
        return "sql"

    def loading_words(self) -> str:
        """Return how long the query has been running."""
        if self._began is None:
            return super().loading_words()
        return f"{clock.monotonic() - self._began:.1f} s (Esc stops; nobody writes to the catalog meanwhile)"

    def status(self) -> str:
        """Return rows, time, and whether there are more."""
        if self.loading_now:
            return ""
        if self.answer is None:
            return "F5 or Ctrl-J runs · Ctrl-T lists views and columns · the console only reads"
        count = len(self.answer.rows)
        parts = [f"{min(self.rows.row + 1, count):,} of {count:,}", f"{self.answer.seconds:.2f} s"]
        if self.answer.cut is not None:
            parts.append(f"! {self.answer.cut}")
        if self._is_old:
            parts.append("of the query before")
        return "  ·  ".join(parts)

    def on_rows_view_moved(self, message: RowsView.Moved) -> None:
        """Say where the cursor is."""
        message.stop()
        self._say_status()

    # The grammar

    def action_out(self) -> None:
        """Stop, dismiss the error, go from the result to the editor, then back."""
        if not self.loading_now and self.error is None and self.pane is not self.editor:
            self.activate(self.editor)
        else:
            super().action_out()

    def action_refresh(self) -> None:
        """Run the query again."""
        self.action_run()

    def action_enter(self) -> None:
        """Show the row whole, or take the example."""
        number = self.rows.row
        if self.answer is None:
            if not self.rows.count:
                return
            self.editor.say(self._examples()[number][1])
            self.activate(self.editor)
            return
        if not self.answer.rows:
            return
        found = state.id_in(self.answer, number)

        def chosen(opens: object) -> None:
            if opens is True and found is not None:
                self.lrm.open(TracePlace(found))

        self.app.push_screen(RowScreen(state.whole(self.answer, number), found), chosen)

    def on_rows_view_chosen(self, message: RowsView.Chosen) -> None:
        """Show the row that was clicked twice."""
        message.stop()
        self.action_enter()

    def action_find(self) -> None:
        """Ask for words to find in the result."""

        def chosen(answer: object) -> None:
            if isinstance(answer, str) and answer.strip():
                self._find = answer.strip()
                self._to_match(1)

        self.app.push_screen(Ask("find in the result", self._find), chosen)

    def action_next_match(self) -> None:
        """Go to the next row with the words."""
        self._to_match(1)

    def action_previous_match(self) -> None:
        """Go to the row before."""
        self._to_match(-1)

    def _to_match(self, step: int) -> None:
        answer, words, start = self.answer, self._find, self.rows.row
        if answer is None or not words:
            self.lrm.tell("/ finds words in the result")
            return
        self.ask("find", lambda _: state.matching(answer.rows, words, start, step), self._at_match)

    def _at_match(self, row: int | None) -> None:
        if row is None:
            self.lrm.tell(f"nothing in the result has “{self._find}” in it")
        else:
            self.rows.jump(row)

    # Queries

    def action_history(self) -> None:
        """Offer earlier queries."""
        earlier = self.history.read()
        if not earlier:
            self.lrm.tell("there are no earlier queries")
            return

        def chosen(answer: object) -> None:
            if isinstance(answer, tuple):
                self.editor.say(answer[0])
            self.activate(self.editor)

        self.app.push_screen(Choose("earlier queries", [(query, "") for query in earlier]), chosen)

    def action_views(self) -> None:
        """Offer the views and their columns."""
        from lrm.browse.console import documented

        self._began = None
        self.ask("views", lambda stop: documented(self.lrm.reader, stop), self._offer)

    def _offer(self, found: tuple[Documented, ...]) -> None:
        options = [(one.view if one.column is None else f"{one.view}.{one.column}", one.about) for one in found]
        views = [option for option, one in zip(options, found, strict=True) if one.column is None]
        rest = [option for option, one in zip(options, found, strict=True) if one.column is not None]

        def chosen(answer: object) -> None:
            if isinstance(answer, tuple):
                self.editor.insert(str(answer[0]).rpartition(".")[2])
            self.activate(self.editor)

        self.app.push_screen(Choose("views, then their columns: Enter puts the name in", [*views, *rest]), chosen)

    def action_copy_query(self) -> None:
        """Copy the query."""
        self.lrm.copy(self.query_text, "the query")

    # What leaves

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return query, row, value."""
        answer, number = self.answer, self.rows.row
        values = answer.rows[number] if answer is not None and number < len(answer.rows) else None
        column = self.rows.column
        return {
            "q": ("the query", lambda: self.query_text or None),
            "t": ("the row", lambda: None if values is None else "\t".join(map(state.said, values))),
            "c": ("the value", lambda: None if values is None else state.said(values[column])),
            **super().copies(),
        }

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return the result as files."""
        if self.answer is None:
            return {}
        if self.answer.cut is not None:
            self.lrm.tell(f"the file will not have everything: {self.answer.cut}", bad=True)
        return {"csv": partial(state.as_csv, self.answer), "jsonl": partial(state.as_jsonl, self.answer)}

    def text(self) -> str | None:
        """Return the result."""
        return None if self.answer is None else state.as_csv(self.answer)

    def sql(self) -> str | None:
        """Return nothing: this is where SQL is."""
        return None

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Note what is written, to remember it when the view is left."""
        event.stop()
        self._written = event.text_area.text.strip()

    def on_unmount(self) -> None:
        """Remember what was written and not run."""
        super().on_unmount()
        if self._written and self._written != cast("SqlPlace", self.place).query.strip():
            self.history.add(self._written)
