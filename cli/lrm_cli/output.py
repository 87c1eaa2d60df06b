"""Printing: data on stdout, talk on stderr, and nothing in either that could drive a terminal."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import click

from lrm.text import live_as_escapes, visible

T = TypeVar("T")

SHOWN = 200
"""Rows of a list that are printed; `--json` prints all."""


def put(text: str = "") -> None:
    """Print a line of data on stdout."""
    click.echo(visible(text))


def say(text: str) -> None:
    """Print a line for the user on stderr."""
    click.echo(visible(text), err=True)


def put_json(value: object) -> None:
    """Print a value as indented JSON on stdout: exact, with no live sign in it."""
    click.echo(json_text(value))


def json_text(value: object, *, indent: int | None = 2) -> str:
    """Return a value as JSON in which every sign that could drive a terminal is an escape."""
    text = json.dumps(plain(value), ensure_ascii=False, indent=indent, allow_nan=False)
    return live_as_escapes(text)


def plain(value: Any) -> Any:  # noqa: PLR0911
    """Return a value as JSON can hold it: dataclasses as objects, times in ISO 8601, bytes in hex, no NaN."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(one) for one in value]
        case bytes() | bytearray():
            return value.hex()
        case memoryview():
            return bytes(value).hex()
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case timedelta() | Path() | UUID():
            return str(value)
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return str(value)


def cut(rows: Sequence[T], limit: int = SHOWN, *, rest: str = "--json prints all") -> Sequence[T]:
    """Return the first rows; say on stderr how many there are more."""
    if len(rows) > limit:
        say(f"{len(rows) - limit:,} more; {rest}")
    return rows[:limit]


def put_table(text: str) -> None:
    """Print a table made by `lrm_cli.table`, whose cells are fit to show already."""
    click.echo(text)
