"""How what a cell shows is put into a column of a given width."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from lrm.text import visible
from lrm_tui.lines import elided
from lrm_tui.widgets.grid_model import Shown

NARROWEST = 4
WIDEST = 24
"""Cells that a column may be wide."""
_SLOTS_FROM = 6
"""The width from which mark and note have places of their own, so that numbers stand below each other."""
_PRESENTATION: dict[int, str | None] = dict.fromkeys((0xFE0E, 0xFE0F))


def plain(text: str) -> str:
    """Return text for one line of a grid: every control visible, and without what makes terminals disagree on its width."""
    return visible(text, one_line=True).translate(_PRESENTATION)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """Return plain text in exactly `width` cells; where it is longer, its middle becomes an ellipsis."""
    if width <= 0:
        return ""
    cut = elided(text, width)
    room = width - cell_len(cut)
    if room < 0:
        return set_cell_size(cut, width)
    return " " * room + cut if right else cut + " " * room


def _number(text: str, width: int) -> str:
    """Return a number in at most `width` cells: a number that was cut would be another number, so it ends in `…` then."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + "…" if width > 0 else ""


def signed(text: str, shade: float | None) -> str:
    """Return a difference with its sign; one that has a sign, or no shade to tell it from, is left as it is."""
    if not shade or not text[:1].isdigit():
        return text
    return ("+" if shade > 0 else "−") + text


def composed(shown: Shown, width: int, lead: str = "", *, diverging: bool = False) -> str:
    """Return a cell's text in exactly `width` cells: a lead, the number to the right, its mark and its note.

    A number is never cut without a sign of it: it would be another number. Mark and note are kept before it, for without them
    it would say something else; only a note's second letter may go, in the narrowest column beside a lead.

    Args:
        shown: What to show.
        width: Cells.
        lead: One sign that must stand in the first cell; empty where the number may use it.
        diverging: Whether a number without a sign gets one.
    """
    text = plain(shown.text)
    if diverging:
        text = signed(text, shown.shade)
    mark, note = plain(shown.mark), plain(shown.note)
    if not text:
        text, mark = mark, ""
    behind = mark + note
    if width >= _SLOTS_FROM:
        slots = (mark or " ") + (note or " ")
        if cell_len(text) + cell_len(slots) < width:
            behind = slots
    behind = set_cell_size(behind, min(cell_len(behind), width - (2 if lead else 1)))
    room = width - cell_len(behind)
    if lead or cell_len(text) < room:
        body = _number(text, room - 1)
        return set_cell_size((lead or " ") + " " * (room - 1 - cell_len(body)) + body + behind, width)
    body = _number(text, room)
    return set_cell_size(" " * (room - cell_len(body)) + body + behind, width)


def head(label: str, width: int, lines: int) -> Sequence[str]:
    """Return a column's label in `lines` lines of `width` cells, its end in the last one; one blank stands before it."""
    room = max(width - 1, 1)
    label = elided(label, room * lines)
    parts = _parts(label, room, soft=True)
    if len(parts) > lines:
        parts = _parts(label, room, soft=False)
    if len(parts) > lines:  # wide signs did not fill their lines
        parts[lines - 1 :] = [_number("".join(parts[lines - 1 :]), room)]
    blank = " " * width
    return [blank] * (lines - len(parts)) + [fitted(" " + fitted(part, room, right=True), width) for part in parts]


def head_lines(labels: Sequence[str], width: int, most: int) -> int:
    """Return how many lines the labels need, at most `most`."""
    room = max(width - 1, 1)
    return min(max((-(-cell_len(label) // room) for label in labels), default=1) or 1, max(most, 1))


def _parts(text: str, width: int, *, soft: bool) -> list[str]:
    parts: list[str] = []
    while text:
        parts.append(_start(text, width, soft=soft))
        text = text[len(parts[-1]) :]
    return parts


def _start(text: str, width: int, *, soft: bool) -> str:
    """Return as much of the beginning of `text` as fits, at least one sign; if `soft`, up to a sign that a word ends with."""
    if cell_len(text) <= width:
        return text
    end = 1
    while end < len(text) and cell_len(text[: end + 1]) <= width:
        end += 1
    for back in range(end, end // 2, -1) if soft else ():
        if text[back - 1] in "-_/ .:":
            return text[:back]
    return text[:end]
