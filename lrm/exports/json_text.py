"""JSON as exports write it: UTF-8, one line, and no sign in it that could drive a terminal but as an escape."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from lrm.text import live_as_escapes, without_surrogates

_ELSEWHERE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*://")


def dumps(value: Any, *, nan: bool = False) -> str:
    """Return a value as JSON on one line. `nan` lets NaN stand, as the constant that Inspect AI reads.

    Raises ValueError for NaN and infinities otherwise.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=nan, separators=(",", ":"))
    return live_as_escapes(without_surrogates(text))


def encoded(value: Any, *, nan: bool = False) -> bytes:
    """Return a value as UTF-8 JSON."""
    return dumps(value, nan=nan).encode()


def moment(at: datetime | None) -> str | None:
    """Return a moment of the catalog, which is in UTC, as ISO 8601 with its zone."""
    return None if at is None else at.replace(tzinfo=UTC).isoformat(timespec="microseconds")


def parsed(text: str | None) -> Any:
    """Return the value of JSON out of the catalog; None for none, the text itself for what is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def placeless(value: Any) -> Any:
    """Return a declared value without what names a machine or a folder: URLs and paths that begin at a root."""
    match value:
        case str():
            return None if _ELSEWHERE.match(value) else value
        case dict():
            kept = {name: placeless(part) for name, part in value.items()}
            return {name: part for name, part in kept.items() if part is not None}
        case list():
            return [kept for part in value if (kept := placeless(part)) is not None]
        case _:
            return value
