"""A list of rows without a screen: columns that fit a width, pages that are asked for once, cells cut to their columns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

from rich.cells import cell_len, set_cell_size

from lrm.text import visible

PAGE = 200
"""Rows in a page."""
KEPT = 20
"""Pages kept; the one used longest ago goes first."""
OPEN = 4
"""Pages asked for and not yet there, at most: a list that is dragged from end to end asks for what it stops at."""
GAP = 1
"""Blanks between two columns."""
GUTTER = 2
"""Cells before the first column: the cursor's sign and the mark."""

Style: TypeAlias = Literal["plain", "unsafe", "safe", "unknown", "error", "dim", "mark", "accent"]
"""What a cell means, which decides how it looks."""
STYLES: tuple[str, ...] = get_args(Style)


class Cell(NamedTuple):
    """What stands in one column of a row."""

    text: str
    """As it is in the catalog; made safe when it is drawn."""
    style: Style = "plain"


Row: TypeAlias = Sequence["Cell | str"]
"""The cells of a row, one for each column; missing ones are blank."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list."""

    key: str
    """What it is called by the program, e.g. the name to sort by."""
    title: str
    """What its head says."""
    width: int
    """Cells; where flexible, the least."""
    align: Literal["left", "right"] = "left"
    flexible: bool = False
    """Whether it takes a share of what the others leave over."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Where columns stand."""

    starts: tuple[int, ...]
    """Cells from the left end of the first column."""
    widths: tuple[int, ...]
    total: int
    """Cells that all of them take, gaps included."""

    def at(self, x: int) -> int | None:
        """Return the column at a cell, its gap to the right included; None right of the last one."""
        for number, (start, width) in enumerate(zip(self.starts, self.widths, strict=True)):
            if start <= x < start + width + GAP:
                return number
        return None


def fitted(columns: Sequence[Column], width: int) -> Fitted:
    """Return where columns stand in `width` cells; flexible ones share what is left, none is ever narrower than it says."""
    widths = [max(column.width, 1) for column in columns]
    rest = width - sum(widths) - GAP * max(len(widths) - 1, 0)
    flexible = [number for number, column in enumerate(columns) if column.flexible]
    if rest > 0 and flexible:
        share, odd = divmod(rest, len(flexible))
        for number in flexible:
            widths[number] += share
        widths[flexible[-1]] += odd
    starts, at = [], 0
    for one in widths:
        starts.append(at)
        at += one + GAP
    return Fitted(tuple(starts), tuple(widths), max(at - GAP, 0))


def clipped(text: str, width: int, align: Literal["left", "right"] = "left") -> str:
    """Return `text`, made safe, in exactly `width` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    # Four signs a cell leave room for combining ones; more need not be looked at to fill the width.
    # Terminals do not agree on how wide an emoji presentation selector makes a sign; without it they do.
    shown = visible(text[: width * 4 + 4], one_line=True).replace("\ufe0f", "")
    length = cell_len(shown)
    if length > width or len(text) > width * 4 + 4:
        shown = set_cell_size(shown, width - 1) + "…"
        length = cell_len(shown)
    pad = " " * max(width - length, 0)
    return pad + shown if align == "right" else shown + pad


class Pages:
    """The rows that are there, in pages; says which pages to ask for."""

    def __init__(self, count: int = 0) -> None:
        self.count = count
        self._pages: OrderedDict[int, tuple[Sequence[Row], Sequence[Hashable] | None]] = OrderedDict()
        self._asked: set[int] = set()

    def restart(self, count: int) -> None:
        """Forget everything: the rows are other ones now."""
        self.count = count
        self._pages.clear()
        self._asked.clear()

    def resize(self, count: int) -> None:
        """Note that there are more or fewer rows, those in common unchanged; pages that were cut short are forgotten."""
        for page in [page for page in self._pages if self._length(page, self.count) != self._length(page, count)]:
            del self._pages[page]
        self._asked = {page for page in self._asked if self._length(page, self.count) == self._length(page, count)}
        self.count = count

    @staticmethod
    def _length(page: int, count: int) -> int:
        return min(PAGE, count - page * PAGE)

    def row(self, row: int) -> Row | None:
        """Return a row; None where it is not there yet."""
        found = self._pages.get(row // PAGE)
        if found is None:
            return None
        at = row % PAGE
        return found[0][at] if at < len(found[0]) else None

    def key(self, row: int) -> Hashable | None:
        """Return what a row is called: its number, where its page came without keys; None where it is not there yet."""
        found = self._pages.get(row // PAGE)
        if found is None or row % PAGE >= len(found[0]):
            return None
        return row if found[1] is None else found[1][row % PAGE]

    def give(self, offset: int, rows: Sequence[Row], keys: Sequence[Hashable] | None = None) -> tuple[int, int]:
        """Keep a page, in place of an earlier one; return its first row and the one after its last.

        Raises:
            ValueError: If `offset` is not where a page begins, or there are more rows or other keys than a page can have.
        """
        if offset % PAGE or len(rows) > PAGE or (keys is not None and len(keys) != len(rows)):
            raise ValueError(f"a page begins at a multiple of {PAGE}, has at most that many rows, and a key for each")
        page = offset // PAGE
        self._asked.discard(page)
        self._pages[page] = (rows, keys)
        self._pages.move_to_end(page)
        while len(self._pages) > KEPT:
            self._pages.popitem(last=False)
        return offset, offset + len(rows)

    def put(self, row: int, cells: Row) -> bool:
        """Replace one row that is there; return whether it was."""
        found = self._pages.get(row // PAGE)
        if found is None or row % PAGE >= len(found[0]):
            return False
        rows = list(found[0])
        rows[row % PAGE] = cells
        self._pages[row // PAGE] = (rows, found[1])
        return True

    def drop(self, row: int) -> None:
        """Forget the page of a row, so that it is asked for again."""
        self._pages.pop(row // PAGE, None)
        self._asked.discard(row // PAGE)

    def unask(self) -> None:
        """Note that nothing that was asked for will come."""
        self._asked.clear()

    def wanted(self, first: int, after: int, direction: int) -> tuple[tuple[int, int], ...]:
        """Return the pages to ask for now, as offset and limit, for rows `first` to before `after` being seen.

        Those seen come first, then the next one in the direction of travel (1 down, -1 up). A page is returned once, until
        it came or `unask` was called.
        """
        if self.count <= 0 or after <= first:
            return ()
        low, high = max(first, 0) // PAGE, (min(after, self.count) - 1) // PAGE
        seen = list(range(low, high + 1))
        for page in seen:
            if page in self._pages:
                self._pages.move_to_end(page)
        ahead = high + 1 if direction >= 0 else low - 1
        if 0 <= ahead * PAGE < self.count:
            seen.append(ahead)
        found = []
        for page in seen:
            if page not in self._pages and page not in self._asked and len(self._asked) < OPEN:
                self._asked.add(page)
                found.append((page * PAGE, self._length(page, self.count)))
        return tuple(found)
