"""A list of millions of rows: draws the lines that are seen, asks for the pages that they are in."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lrm_tui.widgets.rows_model import (
    GAP,
    GUTTER,
    PAGE,
    STYLES,
    Cell,
    Column,
    Pages,
    Row,
    Style,
    clipped,
    fitted,
)

__all__ = ["PAGE", "Cell", "Column", "Row", "RowsView", "Style"]

WHEEL = 3
"""Rows that one notch of the wheel scrolls by."""


class RowsView(ScrollView, can_focus=False):
    """A list with a head, a cursor in a row and a column, and marks.

    It holds no rows of its own: it posts `Wanted` for pages and is given them by `give`. A row that is not there yet shows
    an ellipsis. All text is made safe when it is drawn.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    RowsView { height: 1fr; background: $background; color: $foreground; scrollbar-size: 1 1; overflow-x: auto; overflow-y: auto; }
    RowsView > .rows--head { background: $panel; color: $foreground; text-style: bold; }
    RowsView.-active > .rows--head { color: $accent; }
    RowsView > .rows--column { text-style: bold underline; }
    RowsView > .rows--cursor { background: $primary 30%; text-style: bold; }
    RowsView > .rows--here { background: $primary 50%; text-style: bold; }
    RowsView > .rows--unsafe { color: $error; text-style: bold; }
    RowsView > .rows--safe { color: $success; }
    RowsView > .rows--unknown { color: $warning; }
    RowsView > .rows--error { color: $error; text-style: italic; }
    RowsView > .rows--dim { color: $secondary; }
    RowsView > .rows--mark { color: $accent; text-style: bold; }
    RowsView > .rows--accent { color: $primary; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--head", "rows--column", "rows--cursor", "rows--here",
        *(f"rows--{style}" for style in STYLES if style != "plain"),
    }  # fmt: skip

    class Of(Message):
        """What happened in a list."""

        def __init__(self, view: RowsView) -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> RowsView:
            """The list."""
            return self.view

    class Wanted(Of):
        """Rows that are seen, or soon will be, are not there."""

        def __init__(self, view: RowsView, offset: int, limit: int, turn: int) -> None:
            super().__init__(view)
            self.offset, self.limit = offset, limit
            self.turn = turn
            """Of which rows; hand it to `give`, so that a page of rows long gone is thrown away."""

    class Moved(Of):
        """The cursor is in another row."""

        def __init__(self, view: RowsView, row: int) -> None:
            super().__init__(view)
            self.row = row

    class Chosen(Of):
        """A row was clicked twice, or `choose` was called."""

        def __init__(self, view: RowsView, row: int) -> None:
            super().__init__(view)
            self.row = row

    class HeadClicked(Of):
        """A column's head was clicked."""

        def __init__(self, view: RowsView, column: Column) -> None:
            super().__init__(view)
            self.column = column

    def __init__(
        self,
        columns: Sequence[Column] = (),
        count: int = 0,
        *,
        empty: str = "",
        id: str | None = None,  # noqa: A002 -- Textual's own word
        classes: str | None = None,
    ) -> None:
        """Show `count` rows; `empty` is said where there are none."""
        super().__init__(id=id, classes=classes)
        self.columns = tuple(columns)
        self.empty = empty
        self.row = 0
        """The cursor's row; 0 where there are none."""
        self.column = 0
        """The cursor's column, by number."""
        self.turn = 0
        """Counts what `set_count` began anew."""
        self._pages = Pages(count)
        self._fitted = fitted(self.columns, 0)
        self._marks: dict[Hashable, None] = {}
        self._sorted: tuple[str, bool] | None = None
        self._direction = 1

    # What it shows

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self._pages.count

    def set_count(self, count: int, *, keep: bool = False, row: int | None = None) -> None:
        """Show `count` rows.

        Rows that are there are forgotten, unless `keep` says that they are the same ones. The cursor stays in its row as far
        as there is one, or goes to `row`. Marks stay.
        """
        if keep:
            self._pages.resize(count)
        else:
            self._pages.restart(count)
            self.turn += 1
        self._place()
        target = min(max(self.row if row is None else row, 0), max(count - 1, 0))
        moved = target != self.row
        self.row = target
        self._show_row()
        self.refresh()
        self._ask()
        if moved:
            self.post_message(self.Moved(self, target))

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show other columns; rows that are there are forgotten, as theirs are the old ones."""
        self.columns = tuple(columns)
        self.column = min(self.column, max(len(self.columns) - 1, 0))
        self._pages.restart(self.count)
        self.turn += 1
        self._place()
        self.refresh()
        self._ask()

    def set_empty(self, words: str) -> None:
        """Say `words` where there are no rows."""
        self.empty = words
        self.refresh()

    def set_sorted(self, key: str | None, *, down: bool = False) -> None:
        """Show in the head of a column that rows are sorted by it, `down`: largest first."""
        self._sorted = None if key is None else (key, down)
        self._refresh_screen_lines(0)

    def give(
        self, offset: int, rows: Sequence[Row], *, keys: Sequence[Hashable] | None = None, turn: int | None = None
    ) -> None:
        """Take a page that was wanted; `keys` are what marks remember its rows by, else their numbers.

        A page of another `turn` is thrown away.

        Raises:
            ValueError: If `offset` is not where a page begins, or there are more rows or other keys than a page can have.
        """
        if turn is not None and turn != self.turn:
            return
        first, after = self._pages.give(offset, rows, keys)
        low, high = self.seen
        self._refresh_rows(max(first, low), min(after, high))
        self._ask()

    def refresh_row(self, row: int, cells: Row | None = None) -> None:
        """Show a row anew: with these cells, or by asking for its page again."""
        if cells is None:
            self._pages.drop(row)
            low, high = self.seen
            page = row // PAGE * PAGE
            self._refresh_rows(max(page, low), min(page + PAGE, high))
            self._ask()
        elif self._pages.put(row, cells):
            self._refresh_rows(row, row + 1)

    def ask_again(self) -> None:
        """Want what is seen and not there once more, as earlier requests were stopped or failed."""
        self._pages.unask()
        self._ask()

    def cells(self, row: int) -> Row | None:
        """Return a row's cells; None where it is not there yet."""
        return self._pages.row(row)

    def key(self, row: int | None = None) -> Hashable | None:
        """Return the key of a row, or of the cursor's; None where it is not there yet."""
        return self._pages.key(self.row if row is None else row)

    @property
    def column_key(self) -> str | None:
        """The key of the column under the cursor."""
        return self.columns[self.column].key if self.columns else None

    @property
    def seen(self) -> tuple[int, int]:
        """The first row that is seen and the one after the last."""
        first = self.scroll_offset.y
        return first, max(min(first + self._height, self.count), first)

    @property
    def _height(self) -> int:
        return max(self.scrollable_content_region.height - 1, 0)

    # Marks

    @property
    def marked(self) -> tuple[Hashable, ...]:
        """The keys of the marked rows, in the order of marking."""
        return tuple(self._marks)

    def mark(self, row: int | None = None) -> bool | None:
        """Mark a row, or the cursor's, or take its mark off; return whether it is marked now, None if it is not there yet."""
        row = self.row if row is None else row
        key = self._pages.key(row)
        if key is None:
            return None
        if key in self._marks:
            del self._marks[key]
        else:
            self._marks[key] = None
        self._refresh_rows(row, row + 1)
        return key in self._marks

    def set_marks(self, keys: Iterable[Hashable]) -> None:
        """Mark these and no others."""
        self._marks = dict.fromkeys(keys)
        self.refresh()

    # Moving

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor, as far as there are rows and columns."""
        if columns and self.columns:
            self.to_column(self.column + columns)
        if rows:
            self.jump(self.row + rows)

    def jump(self, row: int) -> None:
        """Move the cursor to a row, or to the nearest there is."""
        row = min(max(row, 0), max(self.count - 1, 0))
        if row == self.row:
            self._show_row()
            return
        before, self.row = self.row, row
        self._direction = 1 if row > before else -1
        self._refresh_rows(before, before + 1)
        self._refresh_rows(row, row + 1)
        self._show_row()
        self.post_message(self.Moved(self, row))

    def to_column(self, column: int) -> None:
        """Move the cursor to a column, or to the nearest there is."""
        column = min(max(column, 0), max(len(self.columns) - 1, 0))
        if column == self.column:
            return
        self.column = column
        self._refresh_screen_lines(0)
        self._refresh_rows(self.row, self.row + 1)
        self._show_column()

    def top(self) -> None:
        """Go to the first row."""
        self.jump(0)

    def bottom(self) -> None:
        """Go to the last row."""
        self.jump(self.count - 1)

    def half_page(self, direction: int) -> None:
        """Go half a page down (1) or up (-1)."""
        self.jump(self.row + direction * max(self._height // 2, 1))

    def page(self, direction: int) -> None:
        """Go a page down (1) or up (-1)."""
        self.jump(self.row + direction * max(self._height - 1, 1))

    def choose(self) -> None:
        """Choose the cursor's row."""
        if self.count:
            self.post_message(self.Chosen(self, self.row))

    # Scrolling and places

    def on_mount(self) -> None:
        """Find the columns their places."""
        self._place()

    def on_resize(self) -> None:
        """Find the columns their places in another width."""
        self._place()
        self._show_row()
        self.refresh()
        self._ask()

    def _place(self) -> None:
        width = self.scrollable_content_region.width
        self._fitted = fitted(self.columns, max(width - GUTTER, 0))
        self.virtual_size = Size(max(self._fitted.total + GUTTER, width), self.count + 1)

    def _show_row(self) -> None:
        first, height = self.scroll_offset.y, self._height
        if height <= 0:
            return
        if self.row < first:
            self.scroll_to(y=self.row, animate=False, force=True)
        elif self.row >= first + height:
            self.scroll_to(y=self.row - height + 1, animate=False, force=True)

    def _show_column(self) -> None:
        if not self.columns:
            return
        start, width = self._fitted.starts[self.column], self._fitted.widths[self.column]
        left, room = self.scroll_offset.x, self.scrollable_content_region.width - GUTTER
        if start < left or width > room:
            self.scroll_to(x=start, animate=False, force=True)
        elif start + width > left + room:
            self.scroll_to(x=start + width - room, animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Ask for what is seen now."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._direction = 1 if new_value > old_value else -1
            self._ask()

    def _ask(self) -> None:
        first, after = self.seen
        for offset, limit in self._pages.wanted(first, after, self._direction):
            self.post_message(self.Wanted(self, offset, limit, self.turn))

    def _refresh_rows(self, first: int, after: int) -> None:
        low, high = self.seen
        first, after = max(first, low), min(after, high)
        if first < after:
            self._refresh_screen_lines(first - low + 1, after - first)

    def _refresh_screen_lines(self, y: int, lines: int = 1) -> None:
        self.refresh(Region(0, y, self.scrollable_content_region.width, lines))

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to what was clicked; twice chooses it; a head says so."""
        event.stop()
        column = self._fitted.at(event.x - GUTTER + self.scroll_offset.x) if event.x >= GUTTER else None
        if event.y == 0:
            if column is not None:
                self.to_column(column)
                self.post_message(self.HeadClicked(self, self.columns[column]))
            return
        row = self.scroll_offset.y + event.y - 1
        if not 0 <= row < self.count:
            return
        if column is not None:
            self.to_column(column)
        self.jump(row)
        if event.x < GUTTER and event.chain == 1:
            self.mark(row)
        elif event.chain == 2:
            self.choose()

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseScrollDown | events.MouseScrollUp, direction: int) -> None:
        event.stop()
        event.prevent_default()
        if event.ctrl or event.shift:
            self.scroll_to(x=self.scroll_offset.x + direction * 8, animate=False)
        else:
            self.scroll_to(y=self.scroll_offset.y + direction * WHEEL, animate=False)

    # Drawing

    def _look(self, name: str) -> RichStyle:
        return self.get_component_rich_style(f"rows--{name}", partial=True)

    def _ground(self, name: str) -> RichStyle:
        # Whole, so that a background that lets shine through is mixed with the one behind it.
        return self.get_component_rich_style(f"rows--{name}")

    def render_line(self, y: int) -> Strip:
        """Return the head, or the row that stands at a line."""
        width = self.scrollable_content_region.width
        base = self.rich_style
        if y == 0:
            return self._head(width, self._ground("head"))
        row = self.scroll_offset.y + y - 1
        if self.count == 0 and y == 2 and self.empty:
            return Strip([Segment("  " + clipped(self.empty, width - 2), base + self._look("dim"))], width)
        if row >= self.count:
            return Strip.blank(width, base)
        return self._row(row, width, base)

    def _head(self, width: int, style: RichStyle) -> Strip:
        segments = []
        for number, (column, room) in enumerate(zip(self.columns, self._fitted.widths, strict=True)):
            title = column.title
            if self._sorted is not None and self._sorted[0] == column.key:
                title = f"{title[: max(room - 2, 0)]} {'▼' if self._sorted[1] else '▲'}"
            look = style + self._look("column") if number == self.column else style
            segments += [Segment(clipped(title, room, column.align), look), Segment(" " * GAP, style)]
        return self._cut(segments, " " * GUTTER, width, style)

    def _row(self, row: int, width: int, base: RichStyle) -> Strip:
        here = row == self.row
        style = self._ground("cursor") if here else base
        cells = self._pages.row(row)
        marked = bool(self._marks) and self._pages.key(row) in self._marks
        gutter = f"{'›' if here else ' '}{'●' if marked else ' '}"
        segments = []
        if cells is None:
            segments.append(Segment("…", style + self._look("dim")))
        else:
            for number, (column, room) in enumerate(zip(self.columns, self._fitted.widths, strict=True)):
                text, name = _cell(cells[number]) if number < len(cells) else ("", "plain")
                look = self._ground("here") if here and number == self.column else style
                if name != "plain":
                    look += self._look(name)
                segments += [Segment(clipped(text, room, column.align), look), Segment(" " * GAP, style)]
        return self._cut(segments, gutter, width, style)

    def _cut(self, segments: list[Segment], gutter: str, width: int, style: RichStyle) -> Strip:
        left = self.scroll_offset.x
        strip = Strip(segments).crop_extend(left, left + max(width - GUTTER, 0), style)
        return Strip([Segment(gutter, style + self._look("mark")), *strip], width)


def _cell(cell: Cell | str) -> tuple[str, str]:
    return (cell, "plain") if isinstance(cell, str) else (cell.text, cell.style)
