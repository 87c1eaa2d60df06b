"""What a filter of samples says, as a tree, and how a tree is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, assert_never

ABSENT = "absent"
"""The word for no value; `none` is the name of an attack."""
Op = Literal["=", "!=", "<", "<=", ">", ">=", "~", "!~"]
Where = Literal["text", "thinking_text", "answer_text", "words"]
"""Which text is looked at; `words` is the prompt's key or text."""


@dataclass(frozen=True, slots=True)
class Has:
    """A text contains words, whatever their case, or matches a regular expression."""

    where: Where
    pattern: str
    regex: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """A column compared with a value; None is `absent`."""

    column: str
    op: Op
    value: str | float | None
    regex: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """A word of FLAGS."""

    name: str


@dataclass(frozen=True, slots=True)
class Said:
    """What one judge said of one part. Without `op` and `value`: that it said something."""

    judge: str | None
    scope: str | None
    op: Op | None = None
    value: str | float | None = None
    at: int = field(default=0, compare=False)
    """Position of it in the filter, from 1, for messages."""


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Node


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Some part holds."""

    parts: tuple[Node, ...]


Test = Has | Compare | Flag | Said
Node = Test | Not | All | Either


def printed(node: Node) -> str:  # noqa: PLR0911 -- one for each node
    """Return a filter that says the same: `parse(printed(node)) == node`."""
    match node:
        case Has(where, pattern, is_regex):
            prefix = "" if where == "words" else f"{where}:"
            return prefix + (_slashed(pattern) if is_regex else quoted(pattern))
        case Compare(column, op, value, is_regex):
            return f"{column} {op} {_slashed(str(value)) if is_regex else _value(value)}"
        case Flag(name):
            return name
        case Said(None, scope, _, value):
            return f"{scope}:{quoted(str(value))}"
        case Said(judge, scope, op, value):
            name = f"judge:{quoted(judge or '')}" + (f".{scope}" if scope else "")
            return name if op is None else f"{name} {op} {_value(value)}"
        case Not(part):
            return f"not {_inside(part)}"
        case All(parts):
            return " and ".join(_inside(part) for part in parts)
        case Either(parts):
            return " or ".join(_inside(part) for part in parts)
        case _:
            assert_never(node)


def _inside(node: Node) -> str:
    return f"({printed(node)})" if isinstance(node, All | Either) else printed(node)


def quoted(text: str) -> str:
    """Return a text as a filter writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _slashed(pattern: str) -> str:
    return "/" + pattern.replace("/", "\\/") + "/"


def _value(value: str | float | None) -> str:
    if value is None:
        return ABSENT
    return quoted(value) if isinstance(value, str) else format(value, "f") if value % 1 else str(int(value))
