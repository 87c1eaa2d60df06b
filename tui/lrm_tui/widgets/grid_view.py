"""A matrix of cells with frozen labels and totals, of which only what is seen is drawn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lrm_tui.lines import elided
from lrm_tui.widgets.grid_layout import NOWHERE, TOTAL, kept, labels, laid_out
from lrm_tui.widgets.grid_model import GridModel, Shown, Table, at
from lrm_tui.widgets.marks import NARROWEST, WIDEST, composed, fitted, head, plain
from lrm_tui.widgets.ramp import Ramp, block, ramp

WIDTH = 8
"""Cells that a column is wide at first."""
_BLANK = Table()


class _Look(NamedTuple):
    """Styles, and colours of shades."""

    base: Style
    head: Style
    head_here: Style
    label: Style
    label_here: Style
    total: Style
    dim: Style
    marks: dict[str, Style]
    ramp: Ramp | None


_MARKS = {
    "·": "grid--missing", "▒": "grid--running", "!": "grid--errors", "~": "grid--stale", "—": "grid--unplanned",
    "≠": "grid--unpooled",
}  # fmt: skip
_HERE = "▸"
_CURSOR = Style(reverse=True, bold=True)


class GridView(ScrollView, can_focus=False, inherit_bindings=False):
    """A grid. It knows nothing of what it shows but the model; its keys are its view's.

    Rows and columns are counted from 0; the total has the index after the last one, and the cursor can stand on it.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--head", "grid--head-here", "grid--label", "grid--label-here", "grid--total", "grid--dim", *_MARKS.values(),
    }  # fmt: skip
    DEFAULT_CSS = """
    GridView {
        background: $background; color: $foreground; height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1;
        & > .grid--head { color: $secondary; text-style: bold; }
        & > .grid--head-here { color: $accent; text-style: bold; }
        & > .grid--label { color: $foreground; }
        & > .grid--label-here { color: $accent; text-style: bold; }
        & > .grid--total { background: $panel; text-style: bold; }
        & > .grid--dim { color: $secondary; }
        & > .grid--missing { color: $secondary; }
        & > .grid--unplanned { color: $secondary; }
        & > .grid--running { color: $primary; text-style: bold; }
        & > .grid--errors { color: $error; text-style: bold; }
        & > .grid--stale { color: $warning; text-style: bold; }
        & > .grid--unpooled { color: $warning; text-style: bold; }
    }
    """

    class _Placed(Message):
        """Something at a place of the grid."""

        def __init__(self, grid: GridView, row: int, column: int) -> None:
            super().__init__()
            self.grid, self.row, self.column = grid, row, column

        @property
        def control(self) -> GridView:
            """The grid."""
            return self.grid

    class Moved(_Placed):
        """The cursor stands on another place."""

    class Chosen(_Placed):
        """A place was double-clicked."""

    class HeadClicked(Message):
        """A column's head was clicked."""

        def __init__(self, grid: GridView, column: int) -> None:
            super().__init__()
            self.grid, self.column = grid, column

    class RowClicked(Message):
        """A row's label was clicked."""

        def __init__(self, grid: GridView, row: int) -> None:
            super().__init__()
            self.grid, self.row = grid, row

    def __init__(
        self,
        model: GridModel | None = None,
        *,
        id: str | None = None,  # noqa: A002 -- Textual's own word
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.model: GridModel = _BLANK if model is None else model
        """What is shown."""
        self.row = 0
        """The cursor's row."""
        self.column = 0
        """The cursor's column."""
        self.cell_width = WIDTH
        self._labels = labels(self.model)
        self._layout = NOWHERE
        self._look: _Look | None = None

    # What is shown

    def show(self, model: GridModel, keep_cursor_by_label: bool = True) -> None:
        """Show another model. The cursor stays with its labels, where the eye has it; only lines that differ are drawn again."""
        before, old, layout = self.model, (self.row, self.column), self._layout
        lines = self._lines()
        self.model = model
        self._labels = labels(model)
        self.row = kept(before.rows, model.rows, self.row, by_label=keep_cursor_by_label)
        self.column = kept(before.columns, model.columns, self.column, by_label=keep_cursor_by_label)
        at_row, at_column = layout.rows.first + self.row - old[0], layout.columns.first + self.column - old[1]
        self._settle(at_row if keep_cursor_by_label else 0, at_column if keep_cursor_by_label else 0)
        if self._layout == layout and before.diverging == model.diverging:
            self._draw(y for y, line in enumerate(self._lines()) if line != lines[y])
        else:
            self.refresh()
        if (self.row, self.column) != old:
            self.post_message(self.Moved(self, self.row, self.column))

    @property
    def shown(self) -> Shown:
        """What the cursor's cell shows."""
        return at(self.model, self.row, self.column)

    def widen(self, by: int) -> bool:
        """Make columns wider, or narrower; return whether that was possible."""
        width = min(max(self.cell_width + by, NARROWEST), WIDEST)
        if width == self.cell_width:
            return False
        self.cell_width = width
        self._settle()
        self.refresh()
        return True

    # The cursor

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor by rows and columns, as far as the totals."""
        self.jump(self.row + rows, self.column + columns)

    def jump(self, row: int, column: int) -> None:
        """Put the cursor on a place, or the one nearest to it, and bring it into view."""
        row, column = min(max(row, 0), len(self._labels.rows)), min(max(column, 0), len(self._labels.columns))
        old = (self.row, self.column)
        self.row, self.column = row, column
        layout = self._layout
        self._reveal()
        if old == (row, column):
            return
        if self._layout == layout:  # else everything has been drawn again
            lines = {self._line_of(old[0]), self._line_of(row)}
            if old[1] != column:
                lines.update(range(layout.head))
            self._draw(line for line in lines if line is not None)
        self.post_message(self.Moved(self, row, column))

    def top(self) -> None:
        """Go to the first row."""
        self.jump(0, self.column)

    def bottom(self) -> None:
        """Go to the last row; from there, to the total."""
        last = max(len(self._labels.rows) - 1, 0)
        self.jump(last if self.row < last else len(self._labels.rows), self.column)

    def first_column(self) -> None:
        """Go to the first column."""
        self.jump(self.row, 0)

    def last_column(self) -> None:
        """Go to the last column; from there, to the total."""
        last = max(len(self._labels.columns) - 1, 0)
        self.jump(self.row, last if self.column < last else len(self._labels.columns))

    def half_page(self, direction: int) -> None:
        """Go half a page down (1) or up (-1)."""
        by = max(self._layout.rows.fit // 2, 1)
        last = max(len(self._labels.rows) - 1, 0)
        self.jump(max(self.row - by, 0) if direction < 0 else max(min(self.row + by, last), self.row), self.column)

    # Where everything stands

    def _settle(self, row: int | None = None, column: int | None = None) -> None:
        """Lay everything out anew, with the cursor in view; say what is to be seen first, where that is known."""
        if not self.is_mounted:  # laid out when it has a size
            return
        first = (
            self._layout.rows.first if row is None else row,
            self._layout.columns.first if column is None else column,
        )
        self._layout = laid_out(self._labels, self.size, self._room, self.cell_width, first)
        rows, columns = len(self._labels.rows), len(self._labels.columns)
        self.virtual_size = Size(self._layout.label + (columns + 1) * self._layout.column, self._layout.head + rows + 1)
        self._reveal()
        self._scroll()

    def _reveal(self) -> None:
        """Bring the cursor into view."""
        layout = self._layout
        rows, columns = layout.rows.first_for(self.row), layout.columns.first_for(self.column)
        if (rows, columns) != (layout.rows.first, layout.columns.first):
            self._look_from(rows, columns)
            self._scroll()

    def _look_from(self, row: int, column: int) -> None:
        layout = self._layout
        row, column = min(max(row, 0), layout.rows.last_first), min(max(column, 0), layout.columns.last_first)
        if (row, column) != (layout.rows.first, layout.columns.first):
            self._layout = replace(
                layout, rows=replace(layout.rows, first=row), columns=replace(layout.columns, first=column)
            )
            self.refresh()

    def _scroll(self) -> None:
        """Put the scrollbars where the view is."""
        layout = self._layout
        self.scroll_to(layout.columns.first * layout.column, layout.rows.first, animate=False, force=True)

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:  # noqa: ARG002
        """Follow the scrollbar, by whole columns: a number that is cut would be another number."""
        if self.show_horizontal_scrollbar:
            self.horizontal_scrollbar.position = new_value
        self._look_from(self._layout.rows.first, -(-round(new_value) // self._layout.column))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:  # noqa: ARG002
        """Follow the scrollbar."""
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = new_value
        self._look_from(round(new_value), self._layout.columns.first)

    @property
    def _room(self) -> Size:
        """The size without scrollbars."""
        return self.scrollable_content_region.size

    def on_mount(self) -> None:
        """Lay out anew whenever a scrollbar comes or goes."""
        for name in ("show_vertical_scrollbar", "show_horizontal_scrollbar"):
            self.watch(self, name, self.on_resize, init=False)

    def on_resize(self) -> None:
        """Lay out anew."""
        self._settle()
        self.refresh()

    def notify_style_update(self) -> None:
        """Take the colours of a new theme."""
        self._look = None
        super().notify_style_update()

    # The mouse

    def place_at(self, x: int, y: int) -> tuple[int | None, int | None]:
        """Return the row and the column at a point, each None in the labels and beyond the last."""
        layout = self._layout
        row = layout.rows.index(y - layout.head) if y >= layout.head else None
        column = layout.columns.index((x - layout.label) // layout.column) if x >= layout.label else None
        return row, column

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there, or choose it with a second click; in the labels, say what was clicked."""
        event.stop()
        point = event.get_content_offset(self)
        if point is None:
            return
        row, column = self.place_at(*point)
        if row is not None and column is not None:
            self.jump(row, column)
            if event.chain == 2:
                self.post_message(self.Chosen(self, row, column))
        elif column is not None and point.y < self._layout.head:
            self.post_message(self.HeadClicked(self, column))
        elif row is not None and point.x < self._layout.label:
            self.post_message(self.RowClicked(self, row))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Look further down; the cursor stays where it is until it is moved."""
        self._wheel(event, 3, 0)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Look further up."""
        self._wheel(event, -3, 0)

    def on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        """Look further right."""
        self._wheel(event, 0, 1)

    def on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        """Look further left."""
        self._wheel(event, 0, -1)

    def _wheel(self, event: events.MouseEvent, rows: int, columns: int) -> None:
        event.stop()
        event.prevent_default()
        if event.shift or event.ctrl:
            rows, columns = 0, columns or (1 if rows > 0 else -1)
        self._look_from(self._layout.rows.first + rows, self._layout.columns.first + columns)
        self._scroll()

    # Drawing

    def _line_of(self, row: int) -> int | None:
        slot = self._layout.rows.slot(row)
        return None if slot is None else slot + self._layout.head

    def _draw(self, lines: Iterable[int]) -> None:
        regions = [Region(0, line, self.size.width, 1) for line in sorted(lines) if line < self.size.height]
        if regions:
            self.refresh(*regions)

    def _lines(self) -> list[object]:
        """Return what each line says, to be compared."""
        layout = self._layout
        columns = layout.shown
        said: list[object] = [
            (self.model.row_title, self.model.column_title, self.column, [self._column(c) for c in columns])
        ]
        said *= layout.head
        for row in layout.rows.seen:
            said.append((self._row(row), row == self.row, self.column, [at(self.model, row, c) for c in columns]))
        return said + [None] * max(self.size.height - len(said), 0)

    def _row(self, row: int) -> str:
        return self._labels.rows[row] if row < len(self._labels.rows) else TOTAL

    def _column(self, column: int) -> str:
        return self._labels.columns[column] if column < len(self._labels.columns) else TOTAL

    def render_line(self, y: int) -> Strip:
        """Return a line of what is seen."""
        look = self._look = self._look or self._new_look()
        layout, width = self._layout, self._room.width
        if y < layout.head:
            segments = self._head(y, look)
        else:
            row = layout.rows.index(y - layout.head)
            if row is None:
                return Strip.blank(width, look.base)
            segments = self._cells(row, look)
        return Strip(segments).adjust_cell_length(width, look.base)

    def _head(self, y: int, look: _Look) -> list[Segment]:
        layout, model = self._layout, self.model
        titles = (plain(model.row_title), plain(model.column_title))
        last = y == layout.head - 1
        if layout.head == 1:
            corner = " ╲ ".join(title for title in titles if title)
            if cell_len(corner) >= layout.label:
                corner = titles[0]
        else:
            corner = titles[0] if last else titles[1] + " →" if y == layout.head - 2 and titles[1] else ""
        across = layout.head > 1 and not last
        text = fitted(elided(corner, layout.label - 1), layout.label - 1, right=across) + " "
        segments = [Segment(text, look.head)]
        for column in layout.shown:
            part = head(self._column(column), layout.column, layout.head)[y]
            segments.append(Segment(part, look.head_here if column == self.column else look.head))
        return segments

    def _cells(self, row: int, look: _Look) -> list[Segment]:
        layout, here, total = self._layout, row == self.row, row == len(self._labels.rows)
        label = fitted(self._row(row), layout.label - 1) + " "
        style = look.label_here if here else look.label + look.total if total else look.label
        segments = [Segment(label, style)]
        for column in layout.shown:
            summed = total or column == len(self._labels.columns)
            segments += self._cell(
                at(self.model, row, column), look, summed=summed, here=here and column == self.column
            )
        return segments

    def _cell(self, shown: Shown, look: _Look, *, summed: bool, here: bool) -> list[Segment]:
        width, diverging = self._layout.column, self.model.diverging
        style, lead = look.base + look.total if summed else look.base, ""
        if shown.dim:
            style += look.dim
        if not plain(shown.text) and shown.mark in look.marks:
            style += look.marks[shown.mark]
        swatch = style
        if shown.shade is not None and look.ramp is None:
            lead = block(shown.shade)
            if shown.dim:
                swatch = style = style + Style(dim=True)
        elif shown.shade is not None and look.ramp is not None:
            ground, ink = look.ramp.paint(shown.shade, diverging=diverging)
            if shown.dim:
                lead, swatch = " ", Style(color=ink, bgcolor=ground)
            else:
                swatch = style = style + Style(color=ink, bgcolor=ground)
        text = composed(shown, width, lead, diverging=diverging)
        if here:
            swatch, style = swatch + _CURSOR, style + _CURSOR
            if text[0] == " ":  # a sign too, for a reversed cell may look like another shade
                text = _HERE + text[1:]
        if swatch == style:
            return [Segment(text, style)]
        return [Segment(text[:1], swatch), Segment(text[1:], style)]

    def _new_look(self) -> _Look:
        app, base = self.app, self.rich_style

        def part(name: str) -> Style:
            return self.get_component_rich_style(name, partial=True)

        colours = ramp(
            dark=app.current_theme.dark,
            no_color=app.no_color,
            ansi=app.native_ansi_color,
            system=app.console.color_system,
        )
        return _Look(
            base, base + part("grid--head"), base + part("grid--head-here"), base + part("grid--label"),
            base + part("grid--label-here"), part("grid--total"), part("grid--dim"),
            {mark: part(name) for mark, name in _MARKS.items()}, colours,
        )  # fmt: skip
