"""What judges say of one response, for the prompt of one cell: those of the cell's spec, and those of earlier ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from lrm import hashing
from lrm.registry.tables import Json

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that has this response, by the names that a spec or an import gives it."""

    spec: str
    model: str
    prompt_set: str
    prompt: str
    attack: str
    replicate: int
    categories: tuple[str, ...]
    """Taxonomy path, coarse to fine; empty when unknown."""
    expect: str | None
    """`unsafe`, `safe`; None is unknown."""
    span_n: int
    attack_n: int
    prompt_n: int


@dataclass(frozen=True, slots=True)
class Span:
    """A cited passage, in characters of the text that the judge saw."""

    start: int
    end: int
    """Exclusive."""
    what: str
    """What it is cited for. In the scope `both` it begins with the part that the passage is in: `answer: …`."""

    def part(self, scope: str) -> Literal["thinking", "answer"] | None:
        """Return the text that the passage is in; None where a judge of both does not say."""
        if scope == "thinking":
            return "thinking"
        if scope == "answer":
            return "answer"
        for word in self.what.split(": "):
            if word == "thinking":
                return "thinking"
            if word == "answer":
                return "answer"
        return None


@dataclass(frozen=True, slots=True)
class TraceVerdict:
    """What one judge says of one scope of the response, for the prompt of the cell."""

    judge: str
    scope: str
    status: str
    """As in a verdict; `not_judged` where the spec names the judge and it has not judged yet, `blocked` as the response."""
    label: str | None
    unsafe: bool | None
    """None is not known, or the judge does not measure harm on such a prompt."""
    score: float | None
    explanation: str | None
    spans: tuple[Span, ...]
    coverage: float | None
    detail: Json | None
    judged_at: datetime | None
    """UTC."""
    harm_counts: bool
    """Whether this judge measures harm on such a prompt."""
    current: bool
    """Whether the cell's spec names this version of the judge; others are from earlier specs."""
    against: str | None
    """The response that a pairwise judge compared with, `g1:…`."""

    @property
    def replies(self) -> tuple[str, ...]:
        """Ids (`g1:…`) of the judge model's own replies; `lrm.browse.asked.asked` reads them."""
        return tuple(one for one in (self.detail or {}).get("replies", ()) if isinstance(one, str))


_OF_SPAN = """
SELECT j.judge_scope_n, j.judge, s.scope, d.harm_for
FROM lrm.span_judges j JOIN lrm.judge_scopes s ON s.n = j.judge_scope_n JOIN lrm.judges d ON d.n = s.judge_n
WHERE j.span_n = $span_n AND (j.prompt_sets IS NULL OR list_contains(j.prompt_sets, $prompt_set))
    AND j.against IS DISTINCT FROM $model
ORDER BY j.judge_scope_n
"""
_GIVEN = """
SELECT v.judge_scope_n, d.name, s.scope, d.harm_for, v.status, v.label, v.unsafe, v.score, v.explanation, v.spans,
    v.coverage, v.detail, v.judged_at, v.against_n, v.prompt_n
FROM lrm.verdicts v JOIN lrm.judge_scopes s ON s.n = v.judge_scope_n JOIN lrm.judges d ON d.n = s.judge_n
WHERE v.generation_n = $generation_n
ORDER BY v.judge_scope_n
"""


def verdicts(
    connection: duckdb.DuckDBPyConnection, generation_n: int | None, cell: Cell | None, state: str
) -> tuple[TraceVerdict, ...]:
    """Return what the judges of the cell's spec say, then what others have said of the response."""
    if generation_n is None or cell is None:
        return ()
    values = {"span_n": cell.span_n, "prompt_set": cell.prompt_set, "model": cell.model}
    chosen = connection.execute(_OF_SPAN, values).fetchall()
    given = {
        row[0]: row
        for row in connection.execute(_GIVEN, {"generation_n": generation_n}).fetchall()
        if row[14] in {0, cell.prompt_n}
    }
    against = _ids(connection, [row[13] for row in given.values() if row[13]])
    found: list[TraceVerdict] = []
    for number, judge, scope, harm_for in chosen:
        row = given.get(number)
        if row is None:
            status = "not_judged" if state == "done" else state
            counts = _counts(harm_for, cell)
            found.append(
                TraceVerdict(judge, scope, status, None, None, None, None, (), None, None, None, counts, True, None)
            )
        else:
            found.append(_verdict(judge, row, cell, against, state=state, current=True))
    named = {row[0] for row in chosen}
    found += [
        _verdict(row[1], row, cell, against, state=state, current=False)
        for number, row in given.items()
        if number not in named
    ]
    return tuple(found)


def _verdict(
    judge: str, row: Sequence[Any], cell: Cell, against: dict[int, str], *, state: str, current: bool
) -> TraceVerdict:
    scope, harm_for, status, label, unsafe, score, explanation, spans, coverage, detail, judged_at, against_n = row[
        2:14
    ]
    counts = _counts(harm_for, cell)
    return TraceVerdict(
        judge, scope, status if state == "done" else state, label, unsafe if counts else None, score if counts else None,
        explanation, tuple(Span(start, end, what) for start, end, what in json.loads(spans)), coverage,
        None if detail is None else json.loads(detail), judged_at, counts, current, against.get(against_n or 0),
    )  # fmt: skip


def _counts(harm_for: str, cell: Cell) -> bool:
    return harm_for == "all" or cell.expect == "unsafe"


def _ids(connection: duckdb.DuckDBPyConnection, numbers: Sequence[int]) -> dict[int, str]:
    if not numbers:
        return {}
    rows = connection.execute("SELECT n, id FROM lrm.generations WHERE n IN $numbers", {"numbers": list(numbers)})
    return {n: hashing.show("g1", found) for n, found in rows.fetchall()}
