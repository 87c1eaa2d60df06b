"""Plain tables: aligned columns, two spaces between, no borders; and how figures are written in them."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence

import click

from lrm.text import visible

Cell = str | int | float | bool | None
WIDEST = 60
"""Columns of the terminal that one cell may take before it is cut."""
ABSENT = "–"


def table(
    headings: Sequence[str], rows: Iterable[Sequence[Cell]], *, widest: int = WIDEST, thousands: bool = True
) -> str:
    """Return an aligned table: numbers to the right, texts to the left on one line each, cut after `widest`.

    With `thousands` long numbers are written as 1,234,567.
    """
    lines = [tuple(rows_) for rows_ in rows]
    right = [
        any(_is_number(line[at]) for line in lines) and all(_is_number(line[at]) or line[at] is None for line in lines)
        for at in range(len(headings))
    ]
    texts = [[_shortened(written(cell, thousands=thousands), widest) for cell in line] for line in lines]
    heads = [_shortened(visible(heading, one_line=True), widest) for heading in headings]
    widths = [max(width(line[at]) for line in (heads, *texts)) for at in range(len(heads))]
    head = _line(heads, widths, right)
    return "\n".join([bold(head), *(_line(line, widths, right) for line in texts)])


def pairs(rows: Iterable[tuple[str, str]], *, indent: str = "", widest: int = 100) -> str:
    """Return names and values in two columns, each value on one line."""
    shown = [(visible(name, one_line=True), _shortened(visible(value, one_line=True), widest)) for name, value in rows]
    longest = max((width(name) for name, _ in shown), default=0)
    return "\n".join(f"{indent}{_padded(name, longest, right=False)}  {value}".rstrip() for name, value in shown)


def written(cell: Cell, *, thousands: bool = True) -> str:
    """Return a cell's text on one line, with a dash for what is absent."""
    match cell:
        case None:
            return ABSENT
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}" if thousands else str(cell)
        case float():
            return f"{cell:.6g}" if abs(cell) < 1e6 or not thousands else f"{cell:,.0f}"
        case str():
            return visible(cell, one_line=True)


def money(dollars: float | None) -> str:
    """Return an amount in dollars; `unknown` where a price is."""
    if dollars is None:
        return "unknown"
    return f"${dollars:,.2f}" if dollars >= 0.01 or dollars == 0 else f"${dollars:.5f}"


def share(part: int, whole: int) -> str:
    """Return a percentage with its denominator, e.g. `6.7 % of 30`; a dash when the denominator is 0."""
    return f"{100 * part / whole:.1f} % of {whole:,}" if whole else ABSENT


def count(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a number with its noun, e.g. `1 cell`, `360 cells`."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def bold(text: str) -> str:
    """Return a text in bold where stdout is a terminal that wants colours."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, bold=True)


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _line(texts: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = (_padded(text, wide, right=to_right) for text, wide, to_right in zip(texts, widths, right, strict=True))
    return "  ".join(cells).rstrip()


def _padded(text: str, wide: int, *, right: bool) -> str:
    blanks = " " * (wide - width(text))
    return blanks + text if right else text + blanks


def _shortened(text: str, widest: int) -> str:
    if width(text) <= widest:
        return text
    kept, room = [], widest - 1
    for sign in text:
        room -= width(sign)
        if room < 0:
            break
        kept.append(sign)
    return "".join(kept) + "…"
