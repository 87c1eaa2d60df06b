"""Values out of data files: what a prompt cannot hold, how the rest is written as JSON and text, where columns are."""

from __future__ import annotations

import base64
import datetime
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrm.errors import SpecError
from lrm.hashing import canonical
from lrm.text import has_surrogates, visible

FIELD_LIMIT = 16 * 2**20
"""Most signs in one field."""

DEPTH_LIMIT = 64
"""Most lists and objects within each other in one field, as in a declaration."""

_EXACT = 2**53 - 1
"""Largest integer that every JSON reader reads back as it was written (RFC 7493)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands, for error messages."""

    file: Path
    row: int
    """Counted from 1 in its file, the header not among them."""
    line: int | None = None
    key: str | None = None

    def error(self, message: str, *, hint: str | None = None) -> SpecError:
        """Return the error to raise for something wrong with the row."""
        return SpecError(message, file=self.file, line=self.line, key=self.key, row=self.row, hint=hint)

    def __str__(self) -> str:
        return f"row {self.row} of {self.file}"


def shown(value: object, *, limit: int = 60) -> str:
    """Return something from a data file in backticks, cut to `limit` signs, with nothing that drives a terminal."""
    text = visible(str(value), one_line=True)
    return f"`{text[:limit]}…`" if len(text) > limit else f"`{text}`"


def fault(value: object, depth: int = 0) -> str | None:  # noqa: PLR0911
    """Return what of a value cannot be kept (NUL, lone surrogate, too many signs, too deep a nest), or None."""
    if depth >= DEPTH_LIMIT and isinstance(value, Mapping | list | tuple):
        return f"nests too deep: the most is {DEPTH_LIMIT} levels"
    match value:
        case str():
            if len(value) > FIELD_LIMIT:
                return f"has {len(value):,} signs; the most is {FIELD_LIMIT:,}"
            if "\x00" in value:
                return "holds a NUL character (U+0000)"
            if has_surrogates(value):
                return "holds a lone surrogate (U+D800 to U+DFFF), which is no character"
        case bytes():
            if len(value) > FIELD_LIMIT:
                return f"has {len(value):,} bytes; the most is {FIELD_LIMIT:,}"
        case Mapping():
            return next((text for pair in value.items() for part in pair if (text := fault(part, depth + 1))), None)
        case list() | tuple():
            return next((text for part in value if (text := fault(part, depth + 1))), None)
        case _:
            return None
    return None


def json_safe(value: object) -> Any:  # noqa: PLR0911
    """Return a value as JSON that reads back the same everywhere.

    Dates and times become ISO 8601 text, decimals and integers beyond 2**53 - 1 their digits as text, bytes base64
    text; NaN becomes null and an infinity `"Infinity"` or `"-Infinity"`.
    """
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if abs(value) <= _EXACT else str(value)
        case float():
            return _json_float(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case Mapping():
            return {name if isinstance(name, str) else str(name): json_safe(part) for name, part in value.items()}
        case list() | tuple() | set() | frozenset():
            return [json_safe(part) for part in value]
        case _:
            return str(value)


def json_text(value: object) -> str:
    """Return the canonical JSON text (RFC 8785) of a value out of a data file. Raises SpecError for too deep a nest."""
    try:
        return canonical(json_safe(value)).decode()
    except RecursionError as error:
        raise SpecError("a value nests too deep") from error


def scalar_text(value: object) -> str | None:
    """Return a text, number or truth value as text (`1.0` as `1`, True as `true`); None for everything else."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else repr(value)
    return None


def pick(row: Mapping[str, object], name: str) -> tuple[bool, object]:
    """Return whether a row has a column, and its value. A dotted name reaches into objects, and into lists by number from 0."""
    if name in row:
        return True, row[name]
    for head, rest in _splits(name):
        inner = row.get(head)
        if isinstance(inner, list):
            inner = {str(index): item for index, item in enumerate(inner)}
        if isinstance(inner, Mapping):
            found, value = pick(inner, rest)
            if found:
                return True, value
    return False, None


def without(row: Mapping[str, object], name: str) -> dict[str, object]:
    """Return a row less one column; where the name reaches into an object, less that one field. Lists stay whole."""
    kept = dict(row)
    if name in kept:
        del kept[name]
        return kept
    for head, rest in _splits(name):
        inner = kept.get(head)
        if isinstance(inner, Mapping) and pick(inner, rest)[0]:
            left = without(inner, rest)
            if left:
                kept[head] = left
            else:
                del kept[head]
            break
    return kept


def column_names(row: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Yield the names of a row's columns; of an object also the dotted names of its fields."""
    for name, value in row.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping) and prefix.count(".") < 4:
            yield from column_names(value, f"{prefix}{name}.")


def _splits(name: str) -> Iterator[tuple[str, str]]:
    for index, sign in enumerate(name):
        if sign == ".":
            yield name[:index], name[index + 1 :]


def _json_float(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    # Canonical JSON writes such a float without an exponent, so it would read back as an integer that is out of range.
    return str(int(value)) if value.is_integer() and abs(value) > _EXACT else value
