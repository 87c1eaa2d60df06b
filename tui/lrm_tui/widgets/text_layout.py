"""A long text in rows of a width, without a screen: what stands in which cell, and which characters it was made from.

Every sign passes `lrm.text.visible`; offsets are always those of the original text. Rows are found step by step, so that a
text of any length can be laid out in pieces of bounded work, and only the cells of rows that are seen are ever made.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rich.cells import cell_len

from lrm.text import visible

MOST = 400_000
"""Characters laid out; what is beyond is only counted."""
TAB = 4
"""Cells between two tab stops."""
JOINED = 8
"""Combining signs that one cell takes; further ones are written out, so that no cell is without measure."""
STRETCH = 512
"""Characters after which a row that is not wrapped notes its column, so that its middle can be found."""
NARROWEST = 8
"""Cells that a row has at least, however narrow the screen."""

# What is one cell wide, stays as it is, and joins nothing: all else is looked at sign by sign. A test holds it against `visible`.
_ODD = re.compile(
    "[^ -~\u00a0-\u00ac\u00ae-\u02ff\u0370-\u0377\u037a-\u037f\u0384-\u0482\u048a-\u052f\u0531-\u0556\u0561-\u0586"
    "\u2010-\u2027\u2030-\u205e\u2070-\u209c\u20a0-\u20c0\u2100-\u2188\u2200-\u22ff\u2500-\u25fc]"
)
# The same for what is two cells wide: Chinese, Japanese and Korean, whose rows may end behind any sign.
_WIDE = re.compile("[\u3000-\u3029\u3041-\u3096\u30a0-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff60]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """Signs that stand side by side in a row."""

    start: int
    """The first character of the original that they are made from."""
    end: int
    """The one after the last; equal to `start` for signs that are ours, such as the number of a passage."""
    text: str
    """What is shown; empty for a line break."""
    column: int
    """Where it begins, in cells from the row's left end."""
    width: int
    """Cells."""
    cells: int
    """Cells of each character, where all have as many, so that it can be cut between any two; 0 where it stays whole."""


@lru_cache(maxsize=8192)
def _safe(sign: str) -> tuple[str, int]:
    """Return a character as it is shown, and its cells; what would have none, or would hide, is written out."""
    shown = visible(sign)
    width = cell_len(shown)
    return (shown, width) if width and not _hides(sign) else (f"⟨U+{ord(sign):04X}⟩", len(f"{ord(sign):04X}") + 4)


def _hides(sign: str) -> bool:
    # Variation selectors can carry a hidden message; fillers are blank but are no blanks.
    code = ord(sign)
    return 0xFE00 <= code <= 0xFE0D or 0xE0100 <= code <= 0xE01EF or code in (0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0)


@lru_cache(maxsize=8192)
def _joins(sign: str, raw: bool) -> bool:
    """Return whether a character is shown in the cell of the one before it."""
    if _hides(sign):
        return False
    if sign in "\ufe0e\ufe0f":
        return not raw
    return visible(sign, one_line=True) == sign and cell_len(sign) == 0


def _fitting(piece: Piece, free: int) -> int:
    """Return how many characters of a piece fit into `free` cells."""
    if piece.cells:
        return min(max(free, 0) // piece.cells, piece.end - piece.start)
    return piece.end - piece.start if piece.width <= free else 0


class Layout:
    """The rows of a text."""

    def __init__(
        self, text: str, width: int | None, numbers: Sequence[tuple[int, str]] = (), *, most: int = MOST
    ) -> None:
        """Prepare to lay out the first `most` characters.

        Args:
            text: The original.
            width: Cells of a row; None leaves lines as they are and shows line ends and tabs too.
            numbers: Words of ours to show in front of a character, by its offset, in ascending order.
            most: Characters shown at most.
        """
        self.text = text
        self.raw = width is None
        self.width = 0 if width is None else max(width, NARROWEST)
        self.end = min(len(text), most)
        """The first character that is not shown."""
        self.widest = 0
        """Cells of the widest row so far."""
        self._numbers = [number for number in numbers if number[0] < self.end]
        self._number_at = [offset for offset, _ in self._numbers]
        # A stretch is what one step lays out: a row, or a part of a row that is not wrapped.
        self._starts: list[int] = [0]
        self._columns: list[int] = [0]
        self._rows: list[int] = [0]
        self._at = 0
        self._column = 0
        self._odd = -1

    # Laying out

    @property
    def done(self) -> bool:
        """Whether all rows are there."""
        return self._at >= self.end

    @property
    def height(self) -> int:
        """How many rows are there so far; one for an empty text."""
        return len(self._rows)

    @property
    def laid(self) -> int:
        """The first character that has no place yet."""
        return self._at

    def advance(self, characters: int) -> None:
        """Lay out at least so many more characters, or the rest."""
        goal = min(self._at + characters, self.end)
        while self._at < goal:
            if self._at:
                broken = self.text[self._at - 1] == "\n"
                if broken or not self.raw:
                    self._rows.append(len(self._starts))
                self._starts.append(self._at)
                self._columns.append(self._column if self.raw and not broken else 0)
            self._at = self._stretch() if self.raw else self._wrapped()

    def _stretch(self) -> int:
        first = self._at
        column, end = self._columns[-1], first
        for piece in self._pieces(first, self.end, column, STRETCH):
            column, end = piece.column + piece.width, piece.end
            if end > first and (end - first >= STRETCH or self.text[end - 1] == "\n"):
                break
        self._column = column
        self.widest = max(self.widest, column)
        return end

    def _wrapped(self) -> int:
        """Return where the row that begins here ends: after a blank, else anywhere; its last cell is for that blank alone."""
        text, first, room = self.text, self._at, self.width - 1
        odd = self._next_odd(first)
        if odd > first + room + 1:
            if text[first + room] == " ":
                return self._swallowed(first + room + 1)
            blank = text.rfind(" ", first, first + room)
            return blank + 1 if blank > first and text[first:blank].strip(" ") else first + room
        if odd == self.end and odd - first <= room:
            return odd
        if odd < self.end and text[odd] == "\n" and not self._numbered(odd) and odd - first <= room:
            return odd + 1
        return self._wrapped_signs()

    def _swallowed(self, end: int) -> int:
        """Return the end of a row that is full, with the line break right behind it: else that would be an empty row."""
        ending = 1 if self.text[end : end + 1] == "\n" else 2 if self.text[end : end + 2] == "\r\n" else 0
        return end if any(self._numbered(end + at) for at in range(ending)) else min(end + ending, self.end)

    def _wrapped_signs(self, longest: int | None = None) -> int:
        text, first, room = self.text, self._at, self.width - 1
        held, breakable, worded = first, 0, False
        for piece in self._pieces(first, self.end, 0, longest or room + 1):
            start, end = piece.start, piece.end
            if start == end:
                continue
            if text[start] == "\n":
                return end
            free = room - piece.column
            fits = start + _fitting(piece, free)
            if fits < end and free >= 0 and text[fits] in " \t":
                return self._swallowed(fits + 1)
            if fits > start:
                blank = max(text.rfind(" ", start, fits), text.rfind("\t", start, fits))
                if piece.cells == 2 or (not piece.cells and piece.width == 2):
                    breakable = fits
                elif blank >= 0 and (worded or text[start:blank].strip(" \t")):
                    breakable = blank + 1
                worded = worded or bool(text[start:fits].strip(" \t"))
                held = fits
            if fits < end:
                if held > first:
                    return breakable or held
                return start + 1 if piece.cells else end
        return self.end

    def _next_odd(self, at: int) -> int:
        """Return the first character from `at` on that must be looked at by itself, or the end."""
        if self._odd < at:
            found = _ODD.search(self.text, at, self.end)
            self._odd = self.end if found is None else found.start()
        next_number = bisect_left(self._number_at, at)
        if next_number < len(self._number_at):
            return min(self._odd, self._number_at[next_number])
        return self._odd

    def _numbered(self, offset: int) -> bool:
        at = bisect_left(self._number_at, offset)
        return at < len(self._number_at) and self._number_at[at] == offset

    # What stands where

    def _pieces(self, at: int, end: int, column: int, longest: int) -> Iterator[Piece]:
        """Return what is shown of the characters from `at` to before `end`, plain ones at most `longest` at a time."""
        text = self.text
        number = bisect_left(self._number_at, at)
        numbers = len(self._numbers)
        while at < end:
            stop = min(end, at + longest)
            if number < numbers:
                stop = min(stop, max(self._number_at[number], at))
            found = _ODD.search(text, at, stop)
            run = stop if found is None else found.start()
            if run > at and run < end and _joins(text[run], self.raw):
                run -= 1
            if run > at:
                yield Piece(at, run, text[at:run], column, run - at, 1)
                column += run - at
                at = run
                continue
            wide = _WIDE.match(text, at, stop)
            if wide is not None:
                run = wide.end()
                if run < end and _joins(text[run], self.raw):
                    run -= 1
                if run > at:
                    yield Piece(at, run, text[at:run], column, 2 * (run - at), 2)
                    column += 2 * (run - at)
                    at = run
                    continue
            after = self._joined(at, end)
            while number < numbers and self._number_at[number] < after:
                words = visible(self._numbers[number][1], one_line=True)
                width = cell_len(words)
                yield Piece(at, at, words, column, width, 0)
                column += width
                number += 1
            shown, width = self._sign(at, after, column)
            yield Piece(at, after, shown, column, width, 0)
            column += width
            at = after

    def _joined(self, at: int, end: int) -> int:
        """Return the character after those that share a cell with the one at `at`."""
        after = at + 1
        if self.text[at] in "\n\t\r" or _safe(self.text[at])[0].startswith("⟨"):
            return after
        while after < end and after - at <= JOINED and _joins(self.text[after], self.raw):
            after += 1
        return after

    def _sign(self, at: int, after: int, column: int) -> tuple[str, int]:
        sign = self.text[at]
        match sign:
            case "\n":
                return ("␊", 1) if self.raw else ("", 0)
            case "\r" if self.text[at + 1 : at + 2] == "\n":
                return ("␍", 1) if self.raw else ("", 0)
            case "\t":
                cells = TAB - column % TAB
                if self.raw:
                    return "␉" + " " * (cells - 1), cells
                cells = min(cells, max(self.width - column, 1))
                return " " * cells, cells
            case _:
                shown, width = _safe(sign)
                joined = self.text[at + 1 : after].replace("\ufe0f", "").replace("\ufe0e", "")
                return shown + joined, width

    def bounds(self, row: int) -> tuple[int, int]:
        """Return the first character of a row and the one after its last, line break included."""
        last = self._rows[row + 1] if row + 1 < len(self._rows) else len(self._starts)
        return self._starts[self._rows[row]], self._starts[last] if last < len(self._starts) else self._at

    def pieces(self, row: int, left: int = 0, right: int | None = None) -> Iterator[Piece]:
        """Return what stands in a row, in order; of a long one only what may be seen from cell `left` to before `right`."""
        first = self._rows[row]
        after = self._rows[row + 1] if row + 1 < len(self._rows) else len(self._starts)
        stretch = max(bisect_right(self._columns, left, first, after) - 1, first) if self.raw else first
        while stretch < after:
            column = self._columns[stretch]
            if right is not None and column >= right and stretch > first:
                return
            end = self._starts[stretch + 1] if stretch + 1 < len(self._starts) else self._at
            yield from self._pieces(self._starts[stretch], end, column, STRETCH)
            stretch += 1

    def place(self, offset: int) -> tuple[int, int] | None:
        """Return row and cell of a character, or of the end; None where it is not laid out yet, or not shown."""
        if offset > self.end or offset < 0 or (offset >= self._at and not self.done):
            return None
        stretch = max(bisect_right(self._starts, offset) - 1, 0)
        row = bisect_right(self._rows, stretch) - 1
        column = self._columns[stretch]
        end = self._starts[stretch + 1] if stretch + 1 < len(self._starts) else self._at
        for piece in self._pieces(self._starts[stretch], end, column, STRETCH):
            if piece.start <= offset < piece.end:
                return row, piece.column + (offset - piece.start) * piece.cells
            column = piece.column + piece.width
        return row, column

    def offset(self, row: int, column: int) -> int:
        """Return the character that stands in a cell; beyond a row's end, its last one, in the last row the text's end."""
        row = min(max(row, 0), self.height - 1)
        last = self.bounds(row)[0]
        for piece in self.pieces(row, column, column + 1):
            if piece.start == piece.end:
                continue
            if column < piece.column + max(piece.width, 1):
                return piece.start + (max(column - piece.column, 0) // piece.cells if piece.cells else 0)
            last = piece.end - 1 if piece.cells else piece.start
        return self.end if row == self.height - 1 and self.done and self.text[self.end - 1 : self.end] != "\n" else last

    def after(self, offset: int) -> int:
        """Return the character after the cell that a character is shown in."""
        found = self.place(offset)
        if found is None or offset >= self.end:
            return min(offset, self.end)
        for piece in self.pieces(found[0], found[1], found[1] + 1):
            if piece.start <= offset < piece.end:
                return offset + 1 if piece.cells else piece.end
        return offset + 1
