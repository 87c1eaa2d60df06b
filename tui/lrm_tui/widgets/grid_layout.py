"""Where the parts of a grid stand, without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from lrm_tui.widgets.grid_model import GridModel, moved
from lrm_tui.widgets.marks import head_lines, plain
from lrm_tui.widgets.window import Window

TOTAL = "all"
"""What totals are called."""
_HEAD_MOST = 3
"""Lines of a head, at most; one where the grid is low."""
_HIGH_FROM = 12
"""Lines that a grid must have for a head of several."""
_PIN_ROWS_FROM = 6
_PIN_COLUMNS_FROM = 3
"""Lines, and columns, that there must be room for if totals are to stand still."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of rows and columns, made safe."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    longest: int
    """Cells that the longest of the rows' labels and the titles takes."""
    titled: bool
    """Whether the columns have a title."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands, in cells."""

    label: int
    """Width of the rows' labels, the blank behind them included."""
    column: int
    """Width of a column."""
    head: int
    """Lines of the head."""
    rows: Window
    columns: Window

    @property
    def shown(self) -> tuple[int, ...]:
        """Indexes of the columns that are seen, in order."""
        return self.columns.seen


NOWHERE = Layout(0, 1, 1, Window(0, 0, 0, pinned=True), Window(0, 0, 0, pinned=True))
"""Before anything has a size."""


def labels(model: GridModel) -> Labels:
    """Return a model's labels."""
    rows, columns = tuple(map(plain, model.rows)), tuple(map(plain, model.columns))
    titles = (plain(model.row_title), plain(model.column_title) + " →")
    return Labels(rows, columns, max(map(cell_len, (*rows, *titles, TOTAL))), titled=bool(model.column_title))


def laid_out(said: Labels, size: tuple[int, int], room: tuple[int, int], column: int, first: tuple[int, int]) -> Layout:
    """Return where everything stands.

    Args:
        said: The labels.
        size: Width and height, scrollbars included. What stands still depends on it alone: scrollbars that come would
            otherwise change what they came for.
        room: Width and height without scrollbars.
        column: How wide a column is to be.
        first: The row and the column that are to be seen first; the nearest to it that is possible.
    """
    label = min(said.longest + 1, max(size[0] * 2 // 5, 1))
    column = max(min(column, size[0] - label), 1)
    high = size[1] >= _HIGH_FROM
    head = head_lines(said.columns, column, _HEAD_MOST if high else 1)
    if high and said.titled:
        head = max(head, 2)  # the axes' titles stand above each other
    pinned_row, pinned_column = size[1] - head >= _PIN_ROWS_FROM, size[0] - label >= _PIN_COLUMNS_FROM * column
    return Layout(
        label, column, head,
        _window(len(said.rows), max(room[1] - head - pinned_row, 1), first[0], pinned=pinned_row),
        _window(len(said.columns), max((room[0] - label) // column - pinned_column, 1), first[1], pinned=pinned_column),
    )  # fmt: skip


def _window(count: int, fit: int, first: int, *, pinned: bool) -> Window:
    window = Window(count, fit, 0, pinned=pinned)
    return replace(window, first=min(max(first, 0), window.last_first))


def kept(old: Sequence[str], new: Sequence[str], index: int, *, by_label: bool) -> int:
    """Return where the cursor goes; it comes to stand on the total only if it was there."""
    found = moved(old, new, index) if by_label else None
    return min(index, max(len(new) - 1, 0)) if found is None else found
