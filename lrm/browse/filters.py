"""The filter language of lists of samples: what it says, read into a tree and turned into SQL with bound values.

    filter   = any
    any      = all {"or" all}
    all      = not {["and"] not}
    not      = ["not"] not | "(" any ")" | test
    test     = COLUMN op value | PREFIX:value | WORD | "text" | /regex/
    op       = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" (contains, case-insensitive) | "!~"

A test is true or false, never unknown: what is absent meets no test, so `not unsafe` keeps what was not judged, and `safe` does
not. `COLUMN = absent` finds what is absent. Tests of the form `thinking:…`, `answer:…`, `both:…` that stand side by side in one `and`
mean the same judge, which is why `thinking:unsafe and answer:safe` is the gap between the two as one judge sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from lrm.browse.columns import COLUMNS, STATES, STATUSES
from lrm.browse.nodes import ABSENT, All, Compare, Either, Flag, Has, Node, Not, Said, Where, printed, quoted
from lrm.browse.parsing import FIELDS, parse
from lrm.errors import SpecError, known_names_hint

__all__ = ["ABSENT", "FIELDS", "Condition", "Names", "compiled", "parse", "printed", "quoted"]


@dataclass(frozen=True, slots=True)
class Names:
    """The judges that a list of samples has, and those that count for `unsafe` and `safe`."""

    judges: Sequence[str] = ()
    judge: str | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter as SQL."""

    sql: str
    """A condition over `k`, `w`, `l` and `i` as columns have them, and the texts `p.text`, `t.thinking` and `t.answer`."""
    values: dict[str, Any]
    aggregates: tuple[str, ...] = ()
    """What is gathered from the verdicts of a cell, for the columns v0, v1 … of `w`."""
    needs: frozenset[str] = frozenset()
    """What has to be joined: `labels`, `ids`, `verdicts`, `prompts`, `traces`."""


def compiled(text: str, names: Names | None = None) -> Condition:
    """Return a filter as SQL with bound values. Raises SpecError with the position, from 1, and the nearest known name."""
    node = parse(text)
    if node is None:
        return Condition("TRUE", {})
    compiler = _Compiler(names or Names())
    sql = compiler.sql(node, holds=True)
    return Condition(sql, compiler.values, tuple(compiler.aggregates), frozenset(compiler.needs))


class _Compiler:
    def __init__(self, names: Names) -> None:
        self.names = names
        self.values: dict[str, Any] = {}
        self.aggregates: list[str] = []
        self.needs: set[str] = set()

    def sql(self, node: Node, *, holds: bool) -> str:
        """Return SQL that is true or false, never NULL: that a node holds, or that it does not."""
        match node:
            case Not(part):
                return self.sql(part, holds=not holds)
            case All(parts):
                return self.several(parts, joined=holds, holds=holds)
            case Either(parts):
                return self.several(parts, joined=not holds, holds=holds)
            case Has() | Compare() | Flag() | Said():
                found = f"coalesce({self.test(node)}, FALSE)"
                return found if holds else f"NOT {found}"
            case _:
                assert_never(node)

    def several(self, parts: Sequence[Node], *, joined: bool, holds: bool) -> str:
        """Return SQL for parts of which all have to hold (`joined`) or one: each part `holds`, or does not.

        Tests of several parts of the response that all have to hold are about the same judge; where one of several has not
        to hold, it is the opposite of that. So `not (a and b)` is `not a or not b`, for these too.
        """
        flat = list(_flat(parts, holds=holds, joined=joined))
        same = [part for part, holding in flat if holding is joined and isinstance(part, Said) and part.judge is None]
        found: list[str] = []
        if len(same) > 1 and self.names.judge is None:
            each = [" AND ".join(self.said(part, judge) for part in same) for judge in sorted(set(self.names.judges))]
            together = f"coalesce({' OR '.join(f'({one})' for one in each) or 'FALSE'}, FALSE)"
            found.append(together if joined else f"NOT {together}")
            flat = [(part, holding) for part, holding in flat if not any(part is one for one in same)]
        found += [self.sql(part, holds=holding) for part, holding in flat]
        return "(" + (" AND " if joined else " OR ").join(found) + ")"

    def test(self, node: Has | Compare | Flag | Said) -> str:
        match node:
            case Has(where, pattern, is_regex):
                return self.has(where, pattern, is_regex=is_regex)
            case Compare():
                return self.compare(node)
            case Flag(name):
                return self.flag(name)
            case Said(judge):
                return self.said(node, judge or self.names.judge)
            case _:
                assert_never(node)

    def value(self, value: object) -> str:
        name = f"f{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def found_in(self, text: str, pattern: str, *, is_regex: bool) -> str:
        if is_regex:
            return f"regexp_matches({text}, {self.value('(?i)' + pattern)})"
        return f"contains(lower({text}), lower({self.value(pattern)}))"

    def has(self, where: Where, pattern: str, *, is_regex: bool) -> str:
        match where:
            case "text":
                self.needs.add("prompts")
                return self.found_in("p.text", pattern, is_regex=is_regex)
            case "thinking_text" | "answer_text":
                self.needs.add("traces")
                return self.found_in(f"t.{where.removesuffix('_text')}", pattern, is_regex=is_regex)
            case "words":
                self.needs.add("prompts")
                one, other = (self.found_in(text, pattern, is_regex=is_regex) for text in ("k.prompt", "p.text"))
                return f"({one} OR {other})"
            case _:
                assert_never(where)

    def compare(self, node: Compare) -> str:
        column = COLUMNS[node.column]
        if column.source != "cell":
            self.needs.add(column.source)
        if node.value is None:
            return f"{column.sql} IS {'' if node.op == '=' else 'NOT '}NULL"
        if node.op in {"~", "!~"}:
            found = self.found_in(column.sql, str(node.value), is_regex=node.regex)
            return found if node.op == "~" else f"NOT {found}"
        value = node.value == "true" if column.kind == "flag" else node.value
        return f"{column.sql} {node.op} {self.value(value)}"

    def flag(self, name: str) -> str:
        if name in STATES:
            return f"k.state = '{name}'"
        if name in {"labelled", "unlabelled"}:
            self.needs.add("labels")
            return f"coalesce(l.labels, 0) {'>' if name == 'labelled' else '='} 0"
        self.needs.add("verdicts")
        return _FLAGS[name]

    def said(self, node: Said, judge: str | None) -> str:
        self.needs.add("verdicts")
        if node.judge is not None and self.names.judges and node.judge not in self.names.judges:
            raise SpecError(
                f"in the filter, at {node.at}: there is no judge `{node.judge}` here",
                hint=known_names_hint(node.judge, set(self.names.judges)),
            )
        which = []
        if judge is not None:
            which.append(f"judge = {self.value(judge)}")
        if node.scope is not None:
            which.append(f"scope = {self.value(node.scope)}")
        if node.op in {"<", "<=", ">", ">="}:
            what = f"score {node.op} {self.value(node.value)}"
        elif node.op is None or node.value is None:
            what = "label IS NULL" if node.op == "=" else "label IS NOT NULL" if node.op == "!=" else "status = 'ok'"
        else:
            what = self.says(str(node.value))
            if node.op == "!=":
                what = f"(status = 'ok' AND NOT coalesce({what}, FALSE))"
        name = f"v{len(self.aggregates)}"
        self.aggregates.append(f"coalesce(bool_or({' AND '.join([*which, what])}), FALSE)")
        return f"coalesce(w.{name}, FALSE)"

    def says(self, value: str) -> str:
        if value == "unsafe":
            return "unsafe"
        if value == "safe":
            return "NOT unsafe"
        if value in STATUSES:
            return f"status = '{value}'"
        return f"label = {self.value(value)}"


def _flat(parts: Sequence[Node], *, holds: bool, joined: bool) -> list[tuple[Node, bool]]:
    """Return parts with whether each has to hold, those of an inner `and` or `or` of the same kind among them."""
    found: list[tuple[Node, bool]] = []
    for one in parts:
        part, holding = one, holds
        while isinstance(part, Not):
            part, holding = part.part, not holding
        alike = (isinstance(part, All) and holding is joined) or (isinstance(part, Either) and holding is not joined)
        if alike and isinstance(part, All | Either):
            found += _flat(part.parts, holds=holding, joined=joined)
        else:
            found.append((part, holding))
    return found


_FLAGS = {
    "unsafe": "w.unsafe",
    "safe": "NOT w.unsafe",
    "judged": "w.judges > 0",
    "disagree": "w.agreement = 'split'",
    "agree": "w.agreement = 'agree'",
}
