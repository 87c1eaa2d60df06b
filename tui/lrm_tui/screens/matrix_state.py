"""What the matrix shows of a grid: which rows and columns in which order, what each cell says, and where a cell leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from lrm.browse.axes import Slice
from lrm.browse.places import ComparePlace, MatrixPlace, SamplesPlace
from lrm.text import visible
from lrm_tui.screens.matrix_text import (
    FEW,
    MISSING,
    NOT_PLANNED,
    SAID,
    UNKNOWN,
    amount,
    cell_text,
    diverges,
    letters,
    mark,
    note,
    sentence,
    shade,
    unit_of,
)
from lrm_tui.widgets.grid_model import Shown

if TYPE_CHECKING:
    from lrm.browse.figures import Figure, Grid

DISAGREE = "disagree"
UNSAFE_THINKING = "thinking:unsafe and answer:safe"


@dataclass(frozen=True, slots=True)
class Sort:
    """Rows ordered by one column, or columns by one row. `by` is that one's name; None is the totals."""

    by: str | None
    down: bool = True
    """The greatest first."""


@dataclass(frozen=True)
class MatrixState:
    """A grid and how it is looked at. A value: each change makes another one."""

    grid: Grid
    sort_rows: Sort | None = None
    sort_columns: Sort | None = None
    hide_empty: bool = False
    interval: bool = False
    words: str = ""
    """What rows are searched for."""

    @property
    def place(self) -> MatrixPlace:
        """The grid's place."""
        return self.grid.place

    @property
    def difference(self) -> bool:
        """Whether the figures are differences to a row."""
        return self.place.against is not None

    # Which rows and columns, in which order

    @cached_property
    def row_order(self) -> tuple[int, ...]:
        """Return the rows that are shown, as numbers of the grid's."""
        kept = [n for n in range(len(self.grid.rows)) if not self.hide_empty or self._any_row(n)]
        return self._ordered(kept, self.sort_rows, self.grid.columns, self.row_figure)

    @cached_property
    def column_order(self) -> tuple[int, ...]:
        """Return the columns that are shown, likewise."""
        kept = [n for n in range(len(self.grid.columns)) if not self.hide_empty or self._any_column(n)]
        return self._ordered(kept, self.sort_columns, self.grid.rows, lambda n, by: self.figure(by, n))

    def row_figure(self, row: int, column: int | None) -> Figure | None:
        """Return a row's figure in a column, or its total."""
        return self.figure(row, column)

    def figure(self, row: int | None, column: int | None) -> Figure | None:
        """Return a cell's figure, or a total's where a number is None; None where nothing is planned."""
        grid = self.grid
        if row is None and column is None:
            return grid.total
        if row is None:
            assert column is not None
            return grid.column_totals[column] if column < len(grid.column_totals) else None
        if column is None:
            return grid.row_totals[row] if row < len(grid.row_totals) else None
        return grid.figures.get((row, column))

    def _any_row(self, row: int) -> bool:
        return any(self._has(row, column) for column in range(len(self.grid.columns)))

    def _any_column(self, column: int) -> bool:
        return any(self._has(row, column) for row in range(len(self.grid.rows)))

    def _has(self, row: int, column: int) -> bool:
        figure = self.grid.figures.get((row, column))
        return figure is not None and (figure.value is not None or not figure.pooled)

    def _ordered(
        self,
        kept: list[int],
        sort: Sort | None,
        others: tuple[str, ...],
        figure: Callable[[int, int | None], Figure | None],
    ) -> tuple[int, ...]:
        if sort is None or (sort.by is not None and sort.by not in others):
            return tuple(kept)
        by = None if sort.by is None else others.index(sort.by)
        values = {n: None if (found := figure(n, by)) is None else found.value for n in kept}
        known = [(value, n) for n, value in values.items() if value is not None]
        known.sort(key=lambda one: (-one[0] if sort.down else one[0], one[1]))
        # What has no figure is last, whichever way round.
        return (*(n for _, n in known), *(n for n in kept if values[n] is None))

    def sorted_by(self, *, rows: bool, by: str | None) -> MatrixState:
        """Return the state with rows (or columns) sorted by `by`: the greatest first, then the least, then as before."""
        old = self.sort_rows if rows else self.sort_columns
        if old is None or old.by != by:
            new: Sort | None = Sort(by)
        else:
            new = Sort(by, down=False) if old.down else None
        return replace(self, sort_rows=new) if rows else replace(self, sort_columns=new)

    def of(self, grid: Grid) -> MatrixState:
        """Return another grid looked at in the same way; what was sorted by something that it lacks is not sorted any more."""
        if not grid.complete:
            return replace(self, grid=grid)
        rows, columns = self.sort_rows, self.sort_columns
        return replace(
            self,
            grid=grid,
            sort_rows=rows if rows is None or rows.by is None or rows.by in grid.columns else None,
            sort_columns=columns if columns is None or columns.by is None or columns.by in grid.rows else None,
        )

    # What a cell says

    @cached_property
    def largest(self) -> float:
        """Return the greatest size of a value among the cells, for their shades."""
        return max((abs(one.value) for one in self.grid.figures.values() if one.value is not None), default=0.0)

    def shown(self, row: int | None, column: int | None) -> Shown:
        """Return what a cell shows, or a total."""
        figure = self.figure(row, column)
        if row is None and self.difference:
            return Shown()  # the rows of a difference have no sum
        if figure is None:
            return Shown(mark=NOT_PLANNED if self.grid.complete else MISSING)
        measure = self.place.measure
        text = cell_text(figure, measure, difference=self.difference, interval=self.interval)
        if figure.value is None:
            if not self.grid.complete:
                return Shown(mark=MISSING)
            if not figure.cells:
                return Shown(mark=NOT_PLANNED)
            sign = mark(figure)
            return Shown("" if sign else UNKNOWN, mark=sign, dim=not sign, note=letters(figure.kinds))
        dark: float | None = shade(figure.value, measure, difference=self.difference, largest=self.largest)
        if measure == "cost" and None in (row, column):
            dark = None  # a sum is larger than what it is the sum of
        return Shown(text, dark, mark(figure), figure.n < FEW, letters(figure.kinds))

    def note(self) -> str:
        """Return what is marked in the grid: that figures are simulated, imported or rest on summaries."""
        return note(sorted({kind for one in self.grid.figures.values() for kind in one.kinds}))

    def sentence(self, row: int | None, column: int | None) -> str:
        """Return everything about a cell, or a total."""
        place, grid = self.place, self.grid
        names = " × ".join(
            visible("all" if n is None else values[n], one_line=True)
            for n, values in ((row, grid.rows), (column, grid.columns))
        )
        return sentence(
            self.figure(row, column),
            place.measure,
            names=names,
            difference=self.difference,
            paired=grid.paired,
            against=place.against,
        )

    def about(self) -> str:
        """Return what the whole grid is: the measure, who judged, what narrows and orders it."""
        place = self.place
        said = SAID[place.measure]
        parts = [said.name + (f" less that of {place.against}" if place.against is not None else "")]
        if said.judged and place.judge is not None:
            parts[0] += f" by {place.judge}" + (f" on {place.scope}" if place.scope else "")
        parts.append(f"{place.rows} × {place.columns}")
        parts += [
            f"{axis}: {', '.join(values[:3])}{f' and {len(values) - 3} more' if len(values) > 3 else ''}"
            for axis, values in place.slice.only
        ]
        for what, sort in (("rows", self.sort_rows), ("columns", self.sort_columns)):
            if sort is not None:
                parts.append(f"{what} by {sort.by or 'total'} {'↓' if sort.down else '↑'}")
        if self.hide_empty:
            hidden = (len(self.grid.rows) - len(self.row_order), len(self.grid.columns) - len(self.column_order))
            if any(hidden):
                parts.append(f"hidden: {hidden[0]} rows, {hidden[1]} columns")
        if self.note():
            parts.append(self.note())
        return " · ".join(parts)

    # Searching

    def matches(self) -> tuple[int, ...]:
        """Return the rows whose names have all the words that are searched for, in the order shown."""
        wanted = self.words.lower().split()
        if not wanted:
            return ()
        return tuple(n for n in self.row_order if all(word in self.grid.rows[n].lower() for word in wanted))

    # Where a cell leads

    def part(self, row: int | None, column: int | None) -> Slice:
        """Return the slice of a cell, or of a total."""
        part = self.place.slice
        for axis, n, values in (
            (self.place.rows, row, self.grid.rows),
            (self.place.columns, column, self.grid.columns),
        ):
            if n is None or axis in ("judge", "scope"):
                continue
            part = replace(part, spec=values[n]) if axis == "spec" else part.narrowed(axis, (values[n],))
        if part.spec is not None and part.values("spec") is not None:
            part = part.narrowed("spec", None)
        return part

    def samples(self, row: int | None, column: int | None, *, where: str = "") -> SamplesPlace:
        """Return the samples behind a cell, or a total."""
        judge, scope = self.place.judge, self.place.scope
        for axis, n, values in (
            (self.place.rows, row, self.grid.rows),
            (self.place.columns, column, self.grid.columns),
        ):
            if n is not None and axis == "judge":
                judge = values[n]
            if n is not None and axis == "scope":
                scope = values[n]
        return SamplesPlace(self.part(row, column), where=where, judge=judge, scope=scope)

    def model_at(self, row: int | None, column: int | None) -> str | None:
        """Return the model under the cursor; the only one that is kept where no axis is of models."""
        for axis, n, values in (
            (self.place.rows, row, self.grid.rows),
            (self.place.columns, column, self.grid.columns),
        ):
            if axis == "model" and n is not None:
                return values[n]
        kept = self.place.slice.values("model")
        return kept[0] if kept and len(kept) == 1 else None

    def compared(self, models: tuple[str, str], row: int | None, column: int | None) -> ComparePlace:
        """Return two models side by side, on the prompts of the cell."""
        found = self.samples(row, column)
        part = found.slice.narrowed("model", None)
        return ComparePlace(part, models, judge=found.judge, scope=found.scope)

    # As a table

    def table(self) -> Iterator[tuple[str, ...]]:
        """Give the table as it is shown, head and totals among it, each figure with its marks."""
        columns = self.column_order
        yield (self.place.rows, *(self.grid.columns[n] for n in columns), "total")
        for row in (*self.row_order, None):
            name = "total" if row is None else self.grid.rows[row]
            yield (name, *(_written(self.shown(row, n)) for n in (*columns, None)))

    def value_text(self, row: int | None, column: int | None) -> str | None:
        """Return a cell's value as a status line has it."""
        found = self.figure(row, column)
        if found is None or found.value is None:
            return None
        unit = unit_of(self.place.measure, difference=self.difference)
        return amount(found.value, unit, difference=self.difference, exact=True)


def _written(cell: Shown) -> str:
    return f"{cell.text}{cell.mark}{cell.note}"


class MatrixModel:
    """The state as the widget of grids takes it: rows and columns in the order shown."""

    def __init__(self, state: MatrixState) -> None:
        self.state = state
        self.rows = tuple(state.grid.rows[n] for n in state.row_order)
        self.columns = tuple(state.grid.columns[n] for n in state.column_order)
        self.row_title = state.place.rows
        self.column_title = state.place.columns
        self.diverging = diverges(state.place.measure, difference=state.difference)

    def cell(self, row: int, column: int) -> Shown:
        """Return what a cell shows."""
        return self.state.shown(*self.at(row, column))

    def row_total(self, row: int) -> Shown:
        """Return what stands behind a row."""
        return self.cell(row, len(self.columns))

    def column_total(self, column: int) -> Shown:
        """Return what stands below a column."""
        return self.cell(len(self.rows), column)

    def total(self) -> Shown:
        """Return what stands behind and below everything."""
        return self.cell(len(self.rows), len(self.columns))

    def at(self, row: int, column: int) -> tuple[int | None, int | None]:
        """Return row and column of the grid at a place of the widget; None is a total."""
        rows, columns = self.state.row_order, self.state.column_order
        return rows[row] if row < len(rows) else None, columns[column] if column < len(columns) else None
