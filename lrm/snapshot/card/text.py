"""Texts of others in a card: written so that they show as they are and do nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lrm.text import visible

NAME, LONG = 100, 400
"""Signs of a name, and of a sentence such as a citation, that are shown."""

# Signs that begin markup, an address, a mention, an emoji or a formula somewhere; the rest is text here, and so is `_` in a word.
_LIVE = re.compile(r"[!\"#$&*:;<=>@\[\\\]^`{|}~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[wW]{3})\.")
_FIRST = re.compile(r"^(?:[-+]|[0-9]{1,9}[.)](?=\s|$))")
_LINK = re.compile(r"https?://[A-Za-z0-9.-]{1,200}(?::\d{1,5})?(?:/[A-Za-z0-9/._~%+-]{0,300})?")


def inert(text: str | None, longest: int = NAME) -> str:
    """Return a text of others as one line of Markdown that shows it and does nothing; `unknown` for None."""
    if text is None:
        return "unknown"
    shown = visible(text, one_line=True).strip()
    shown = shown if len(shown) <= longest else f"{shown[: longest - 1].rstrip()}…"
    if not shown:
        return "(empty)"
    first = _FIRST.match(shown)
    start = "" if first is None else f"{first[0][:-1]}&#{ord(first[0][-1])};"
    return start + _LIVE.sub(lambda found: f"&#{ord(found[0])};", shown[0 if first is None else first.end() :])


def row(cells: Iterable[str]) -> str:
    """Return a row of a table, out of cells that are Markdown already."""
    return f"| {' | '.join(cells)} |"


def link(address: str | None) -> str:
    """Return a link to an address that is plainly one; any other is only shown."""
    if address is not None and _LINK.fullmatch(address):
        return f"[{inert(address.partition('://')[2])}]({address})"
    return inert(address, LONG)


def sized(size: int) -> str:
    """Return a number of bytes as people read it: `3.2 MB`, in powers of 1,000."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.95 or unit == "GB":
            return f"{size} B" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError(size)
