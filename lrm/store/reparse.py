"""Reading stored responses anew: raw payloads split again, by the present splitter and declarations. No model is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm import hashing
from lrm.registry.declarations import Model
from lrm.store.catalog import Catalog
from lrm.traces import split as splitter
from lrm.traces.prefill import END, prefill_of
from lrm.traces.trace import Trace

if TYPE_CHECKING:
    import duckdb

CHUNK = 2_000
EXAMPLES = 3
"""Kept of each kind of change."""

_STORED = """
SELECT g.n, g.id, g.raw, g.status = 'blocked', c.model_n, t.id, t.status, t.visibility,
    CASE WHEN x.messages LIKE '%' || $begun THEN x.messages END, length(t.thinking), length(t.answer)
FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.messages x ON x.n = c.messages_n
JOIN lrm.traces t ON t.generation_n = g.n
WHERE g.n > $after AND ($models IS NULL OR list_contains($models, c.model_n)) ORDER BY g.n LIMIT $chunk
"""
_REPLACE = (
    "DELETE FROM lrm.traces WHERE generation_n IN (SELECT generation_n FROM reread)",
    # What was graded is no longer what stands there; the next fill grades it anew.
    "DELETE FROM lrm.verdicts WHERE generation_n IN (SELECT generation_n FROM reread WHERE retold)",
    "DELETE FROM lrm.other_verdicts WHERE generation_n IN (SELECT generation_n FROM reread WHERE retold)",
    "DELETE FROM lrm.verdicts WHERE against_n IN (SELECT generation_n FROM reread WHERE retold)",
    # So is a verdict that rests on a judge's reply which is read otherwise now.
    """
    DELETE FROM lrm.verdicts WHERE detail IS NOT NULL AND list_has_any(
        json_extract_string(detail, '$.replies[*]'),
        (SELECT list('g1:' || lower(hex(g.id))) FROM lrm.generations g
         WHERE g.n IN (SELECT generation_n FROM reread WHERE retold))
    )
    """,
    """
    INSERT INTO lrm.traces
        SELECT generation_n, id, $splitter, status, visibility, thinking, answer FROM reread
    """,
)


_Reread = tuple[int, bytes, Trace, str, bool]


@dataclass(frozen=True, slots=True)
class Example:
    """A response that is read otherwise. Lengths are in characters; None where the text is absent."""

    response: str
    """Its id."""
    thinking_before: int | None
    thinking_after: int | None
    answer_before: int | None
    answer_after: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """How many traces of a model would be read otherwise."""

    model: str
    before: str
    """Parse status as stored."""
    after: str
    """Parse status as read now; the same where only the texts differ."""
    traces: int
    examples: tuple[Example, ...] = ()
    """The first of them, at most `EXAMPLES`."""


@dataclass(frozen=True, slots=True)
class Reparsed:
    """What reading anew found."""

    checked: int
    changes: tuple[Change, ...]

    @property
    def changed(self) -> int:
        """Traces that are read otherwise."""
        return sum(change.traces for change in self.changes)


def reparse(catalog: Catalog, *, models: Collection[int] | None = None, apply: bool) -> Reparsed:
    """Split every stored response again, or those of the models with these numbers; with `apply`, keep what came out.

    A trace that is read otherwise loses its verdicts: they were of another text. Reads a chunk at a time with the catalog
    closed in between, writes a chunk in one transaction. Raises MissingError, BusyError, CatalogError.
    """
    chosen = None if models is None else sorted(models)
    with catalog.reading() as connection:
        declared = {
            n: (name, Model.model_validate_json(declaration))
            for n, name, declaration in connection.execute("SELECT n, name, declaration FROM lrm.models").fetchall()
        }
    counted: Counter[tuple[str, str, str]] = Counter()
    examples: dict[tuple[str, str, str], list[Example]] = {}
    checked = after = 0
    while True:
        with catalog.reading() as connection:
            rows = connection.execute(
                _STORED, {"after": after, "models": chosen, "chunk": CHUNK, "begun": END}
            ).fetchall()
        if not rows:
            break
        checked += len(rows)
        after = rows[-1][0]
        reread = []
        for n, generation, raw, blocked, model_n, trace_id, status, visibility, begun, *lengths in rows:
            name, model = declared[model_n]
            prefill = None if begun is None else prefill_of(begun)
            trace = splitter.split(raw, model.thinking, blocked=blocked, prefill=prefill)
            found = hashing.trace_id(generation, trace.status, trace.thinking, trace.answer)
            if found == trace_id and visibility == model.thinking.visibility:
                continue
            if found != trace_id:
                kind = name, status, trace.status
                counted[kind] += 1
                if len(known := examples.setdefault(kind, [])) < EXAMPLES:
                    known.append(_example(generation, lengths, trace))
            reread.append((n, found, trace, model.thinking.visibility, found != trace_id))
        if apply and reread:
            with catalog.writing() as connection:
                _replace(connection, reread)
    changes = tuple(Change(*kind, count, tuple(examples[kind])) for kind, count in sorted(counted.items()))
    return Reparsed(checked, changes)


def _example(generation: bytes, before: Sequence[int | None], trace: Trace) -> Example:
    thinking, answer = (None if text is None else len(text) for text in (trace.thinking, trace.answer))
    return Example(hashing.show("g1", generation), before[0], thinking, before[1], answer)


def _replace(connection: duckdb.DuckDBPyConnection, reread: Sequence[_Reread]) -> None:
    connection.register("reread", _table(reread))
    for statement in _REPLACE:
        connection.execute(statement, {"splitter": splitter.VERSION} if "$splitter" in statement else {})


def _table(reread: Sequence[_Reread]) -> Any:
    import pyarrow as pa

    return pa.table(
        {
            "generation_n": pa.array([row[0] for row in reread], pa.int32()),
            "id": pa.array([row[1] for row in reread], pa.binary()),
            "status": pa.array([row[2].status for row in reread], pa.string()),
            "thinking": pa.array([row[2].thinking for row in reread], pa.string()),
            "answer": pa.array([row[2].answer for row in reread], pa.string()),
            "visibility": pa.array([row[3] for row in reread], pa.string()),
            "retold": pa.array([row[4] for row in reread], pa.bool_()),
        }
    )
