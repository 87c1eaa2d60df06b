"""What a grid shows, without a screen: labels, and for each cell a text, a shade and marks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, get_args

Mark: TypeAlias = Literal["", "·", "▒", "!", "~", "—", "≠"]
"""Nothing to say, missing, running, errors, stale, not planned, or results of several kinds, which are never pooled."""
MARKS: tuple[str, ...] = get_args(Mark)


@dataclass(frozen=True, slots=True)
class Shown:
    """What one cell shows."""

    text: str = ""
    """The number as people read it; empty where there is none."""
    shade: float | None = None
    """0 (best) to 1 (worst), in a grid of differences -1 to 1; None for no shade."""
    mark: Mark = ""
    """What is wrong with the number, or stands in its place."""
    dim: bool = False
    """Whether the number rests on so few samples that it should not catch the eye."""
    note: str = ""
    """Letters that say what kind of result it is: `s` simulated, `i` imported, `Σ` summary only."""


NOTHING = Shown()
"""A cell that says nothing."""


class GridModel(Protocol):
    """A matrix of cells with totals; a widget asks only for the cells that are seen."""

    @property
    def rows(self) -> Sequence[str]:
        """The rows' labels."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The columns' labels."""
        ...

    @property
    def row_title(self) -> str:
        """What the rows are, e.g. `model`."""
        ...

    @property
    def column_title(self) -> str:
        """What the columns are."""
        ...

    @property
    def diverging(self) -> bool:
        """Whether cells are differences: a shade below 0 then has a hue of its own."""
        ...

    def cell(self, row: int, column: int) -> Shown:
        """Return what a cell shows."""
        ...

    def row_total(self, row: int) -> Shown:
        """Return what stands behind a row."""
        ...

    def column_total(self, column: int) -> Shown:
        """Return what stands below a column."""
        ...

    def total(self) -> Shown:
        """Return what stands behind and below everything."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """A model whose cells are all there; good for a grid that is small."""

    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    cells: Mapping[tuple[int, int], Shown] = field(default_factory=dict)
    """By row and column; an absent one says nothing."""
    row_totals: tuple[Shown, ...] = ()
    column_totals: tuple[Shown, ...] = ()
    all: Shown = NOTHING
    row_title: str = ""
    column_title: str = ""
    diverging: bool = False

    def cell(self, row: int, column: int) -> Shown:
        """Return what a cell shows."""
        return self.cells.get((row, column), NOTHING)

    def row_total(self, row: int) -> Shown:
        """Return what stands behind a row."""
        return self.row_totals[row] if row < len(self.row_totals) else NOTHING

    def column_total(self, column: int) -> Shown:
        """Return what stands below a column."""
        return self.column_totals[column] if column < len(self.column_totals) else NOTHING

    def total(self) -> Shown:
        """Return what stands behind and below everything."""
        return self.all


def at(model: GridModel, row: int, column: int) -> Shown:
    """Return what a place shows, the totals being the row and the column after the last ones."""
    if row == len(model.rows):
        return model.total() if column == len(model.columns) else model.column_total(column)
    return model.row_total(row) if column == len(model.columns) else model.cell(row, column)


def moved(old: Sequence[str], new: Sequence[str], index: int) -> int | None:
    """Return where in `new` the entry stands that was the `index`-th of `old`; None where it is gone.

    The index after the last one is the total's, which is always there; but where there was nothing before it, nobody chose to
    stand on it. Of several entries with one label, the one in the
    same place is preferred.
    """
    if index >= len(old):
        return len(new) if old else None
    if index < len(new) and new[index] == old[index]:
        return index
    try:
        return new.index(old[index])
    except ValueError:
        return None
