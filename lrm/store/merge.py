"""Merging: journal segments become rows of the catalog, in one short transaction each.

What takes time (reading, splitting, grading) happens before the catalog is opened. Rows are named by their content, so
that merging a segment twice, or two segments with the same response, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrm import clock, hashing
from lrm.backends.price import cost as price
from lrm.errors import BusyError
from lrm.registry.declarations import Model
from lrm.store import journal, trust
from lrm.store.catalog import Catalog
from lrm.store.grading import COLUMNS, Grader, VerdictRows, grade_all
from lrm.store.live import live_runs
from lrm.store.lock import arranging, sharing
from lrm.traces import split as splitter
from lrm.traces.prefill import prefill_of

if TYPE_CHECKING:
    import duckdb


_CALL = {"call": "binary", "model": "binary", "messages_id": "binary", "messages": "string", "replicate": "int32"}
_GENERATION = {
    "id": "binary", "call": "binary", "status": "string", "raw": "string", "finish_reason": "string",
    "input_tokens": "int64", "output_tokens": "int64", "thinking_tokens": "int64", "cost": "float64",
    "received_at": "timestamp[us]", "latency_ms": "float64", "attempts": "int32", "fingerprint": "string", "sent": "string",
    "trace": "binary", "parse_status": "string", "visibility": "string", "thinking": "string", "answer": "string",
}  # fmt: skip
_FAILURE = {"call": "binary", "kind": "string", "message": "string", "attempts": "int32", "failed_at": "timestamp[us]"}
_ATTEMPT = {
    "call": "binary", "attempt": "int32", "kind": "string", "message": "string", "http_status": "int32",
    "latency_ms": "float64", "tried_at": "timestamp[us]",
}  # fmt: skip


def _columns(types: dict[str, str]) -> dict[str, list[Any]]:
    return {name: [] for name in types}


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did."""

    segments: int = 0
    generations: int = 0
    """Responses that were new to the catalog."""
    failures: int = 0
    notes: tuple[str, ...] = ()
    """What the user should know: lines that could not be read."""


@dataclass(slots=True)
class _Batch:
    """The columns of a segment's rows, before they go into the catalog."""

    run: str
    models: dict[str, journal.ModelCard]
    calls: dict[str, list[Any]] = field(default_factory=lambda: _columns(_CALL))
    generations: dict[str, list[Any]] = field(default_factory=lambda: _columns(_GENERATION))
    failures: dict[str, list[Any]] = field(default_factory=lambda: _columns(_FAILURE))
    attempts: dict[str, list[Any]] = field(default_factory=lambda: _columns(_ATTEMPT))
    verdicts: VerdictRows = field(default_factory=VerdictRows)
    seen: set[bytes] = field(default_factory=set)


def merge_segment(
    catalog: Catalog, path: Path, graders: Sequence[Grader] = (), *, arranging_already: bool = False
) -> Merged:
    """Merge one segment into the catalog and delete it; grade its responses with `graders` on the way.

    Takes the turn to number rows, unless the caller has it.

    Raises CatalogError for a segment of a newer version; a damaged one is kept under the name `….damaged`.
    """
    segment = journal.read(path)
    notes = []
    if segment.damaged:
        notes.append(
            f"{path.name}: {len(segment.damaged)} lines could not be read; the file is kept as {path.name}.damaged"
        )
    if segment.cut:
        notes.append(f"{path.name}: the last line was cut off in the middle of a write and is left out")
    generations = failures = 0
    if segment.records or segment.attempts or segment.batches:
        batch = _prepare(segment, graders)
        turn = nullcontext() if arranging_already else arranging(catalog)
        with turn, catalog.writing() as connection:
            generations, failures = _write(connection, batch)
            if segment.batches:
                from lrm.store.batches import put_batches

                put_batches(connection, segment.batches)
        _give_back_memory()
    if segment.damaged:
        path.replace(path.with_name(path.name + ".damaged"))
    else:
        path.unlink()
    return Merged(1, generations, failures, tuple(notes))


def _give_back_memory() -> None:
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def leftovers(catalog: Catalog) -> tuple[Path, ...]:
    """Return the segments that dead runs left in the journal folder, oldest first."""
    found = journal.segments(catalog.journal_folder)
    live = live_runs(catalog) if found else frozenset()
    return tuple(path for path in found if journal.run_of(path) not in live)


def merge_leftovers(catalog: Catalog, *, say: Callable[[str], None] = lambda _: None) -> Merged:
    """Merge what dead runs left in the journal folder; running fills merge their own.

    Does nothing while an import or the like has the catalog for itself: the next command will.
    """
    if not leftovers(catalog):
        return Merged()
    try:
        with sharing(catalog, "lrm catalog merge"), arranging(catalog):
            return merge_dead(catalog, say=say)
    except BusyError:
        return Merged()


def merge_dead(catalog: Catalog, *, say: Callable[[str], None]) -> Merged:
    """Merge the segments of dead runs, in the caller's turn to number rows; remove the folder when it is empty."""
    total = Merged()
    for path in leftovers(catalog):
        try:
            done = merge_segment(catalog, path, arranging_already=True)
        except FileNotFoundError:
            continue  # another process merged it meanwhile
        total = Merged(
            total.segments + 1,
            total.generations + done.generations,
            total.failures + done.failures,
            total.notes + done.notes,
        )
    if total.segments:
        say(f"merged {total.generations} responses that an earlier run left in its journal")
        for note in total.notes:
            say(note)
    with suppress(OSError):
        catalog.journal_folder.rmdir()  # unless something is left in it
    return total


def _prepare(segment: journal.Segment, graders: Sequence[Grader]) -> _Batch:
    batch = _Batch(segment.header["run"], segment.header["models"])
    models = {name: Model.model_validate_json(card["declaration"]) for name, card in segment.header["models"].items()}
    ids: dict[str, bytes] = {}
    for record in segment.records:
        call = bytes.fromhex(record["call"])
        messages = record["messages"]
        if messages not in ids:
            ids[messages] = hashing.messages_text_id(messages)
        _fill(batch.calls, call, bytes.fromhex(record["model"]), ids[messages], messages, record["replicate"])
        at = _time(record["at"])
        if "kind" in record:
            _fill(batch.failures, call, record["kind"], record["message"], record["attempts"], at)
        else:
            _add_generation(batch, record, call, at, models[record["model"]], graders)
    for attempt in segment.attempts:
        _fill(
            batch.attempts, bytes.fromhex(attempt["call"]), attempt["attempt"], attempt["kind"], attempt["message"],
            attempt.get("status"), attempt.get("ms"), _time(attempt["at"]),
        )  # fmt: skip
    return batch


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC).replace(tzinfo=None)


def _fill(columns: dict[str, list[Any]], *values: Any) -> None:
    for column, value in zip(columns.values(), values, strict=True):
        column.append(value)


def _add_generation(
    batch: _Batch, record: journal.Record, call: bytes, at: datetime, model: Model, graders: Sequence[Grader]
) -> None:
    raw = record["raw"]
    blocked = record.get("blocked", False)
    trace = splitter.split(raw, model.thinking, blocked=blocked, prefill=prefill_of(record["messages"]))
    cost = price(model, trace.usage, reported=record.get("cost"))
    generation = hashing.generation_id(call, raw.encode())
    if generation in batch.seen:
        return
    batch.seen.add(generation)
    _fill(
        batch.generations,
        generation, call, "blocked" if blocked else "ok", raw, trace.finish_reason,
        trace.usage.input_tokens, trace.usage.output_tokens, trace.usage.thinking_tokens, cost,
        at, record.get("ms"), record["attempts"], record.get("fingerprint"), record.get("sent"),
        hashing.trace_id(generation, trace.status, trace.thinking, trace.answer), trace.status, model.thinking.visibility,
        trace.thinking, trace.answer,
    )  # fmt: skip
    grade_all(batch.verdicts, generation, graders, trace)


def _arrow(columns: dict[str, list[Any]], types: dict[str, str]) -> Any:
    import pyarrow as pa

    known = {
        "binary": pa.binary(), "string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64(),
        "timestamp[us]": pa.timestamp("us"),
    }  # fmt: skip
    return pa.table({name: pa.array(values, known[types[name]]) for name, values in columns.items()})


def ensure_models(connection: duckdb.DuckDBPyConnection, models: dict[str, journal.ModelCard]) -> None:
    """Insert the models that the catalog does not know; a known identity keeps the row that it has."""
    known = {row[0] for row in connection.execute("SELECT id FROM lrm.models").fetchall()}
    for name, card in models.items():
        identity = bytes.fromhex(name)
        if identity not in known:
            connection.execute(
                "INSERT INTO lrm.models SELECT coalesce(max(n), 0) + 1, ?, ?, ?, ?, ?, ? FROM lrm.models",
                [identity, card["name"], card["identity"], card["declaration"], card["visibility"], card["simulated"]],
            )


INSERT_CALLS = """
CREATE TEMP TABLE batch_calls AS
    SELECT DISTINCT b.call, m.n AS model_n, b.messages_id, b.replicate
    FROM incoming_calls b JOIN lrm.models m ON m.id = b.model;
INSERT INTO lrm.messages
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.messages) + row_number() OVER (), messages_id, messages
    FROM (
        SELECT messages_id, any_value(messages) AS messages FROM incoming_calls b
        WHERE NOT EXISTS (SELECT 1 FROM lrm.messages x WHERE x.id = b.messages_id) GROUP BY messages_id
    );
INSERT INTO lrm.calls
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.calls) + row_number() OVER (), call, model_n, messages_n, replicate, NULL
    FROM (
        SELECT b.call, b.model_n, x.n AS messages_n, b.replicate
        FROM batch_calls b JOIN lrm.messages x ON x.id = b.messages_id
        WHERE NOT EXISTS (SELECT 1 FROM lrm.calls c WHERE c.id = b.call)
    );
CREATE TEMP TABLE touched AS
    SELECT c.n, c.id, c.generation_n FROM lrm.calls c WHERE c.id IN (SELECT call FROM batch_calls);
"""

# Ids only: the texts go from Arrow into their tables without a stop.
_FRESH = """
CREATE TEMP TABLE fresh AS
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.generations) + row_number() OVER () AS n, t.n AS call_n, b.id
    FROM incoming_generations b JOIN touched t ON t.id = b.call
    WHERE NOT EXISTS (SELECT 1 FROM lrm.generations g WHERE g.id = b.id)
"""

_INSERT_GENERATIONS = """
INSERT INTO lrm.generations
    SELECT f.n, b.id, f.call_n, status, raw, finish_reason, input_tokens, output_tokens, thinking_tokens, cost, received_at,
        latency_ms, attempts, fingerprint, sent, 'run', $run
    FROM incoming_generations b JOIN fresh f ON f.id = b.id
"""

_INSERT_TRACES = """
INSERT INTO lrm.traces
    SELECT f.n, trace, $splitter, parse_status, visibility, thinking, answer
    FROM incoming_generations b JOIN fresh f ON f.id = b.id
"""

_INSERT_VERDICTS = f"""
INSERT INTO lrm.verdicts ({COLUMNS})
    SELECT f.n, v.judge_scope_n, v.prompt_n, v.status, v.label, v.unsafe, v.score, v.explanation, v.spans, $judged_at,
        v.coverage, v.detail, v.against_n
    FROM incoming_verdicts v JOIN fresh f ON f.id = v.generation;
"""

_INSERT_FAILURES = """
INSERT INTO lrm.failures
    SELECT t.n, b.kind, b.message, b.attempts, b.failed_at, $run
    FROM incoming_failures b JOIN touched t ON t.id = b.call
    WHERE NOT EXISTS (SELECT 1 FROM lrm.failures f WHERE f.call_n = t.n AND f.failed_at = b.failed_at AND f.run = $run);
"""

_INSERT_ATTEMPTS = """
INSERT INTO lrm.attempts
    SELECT call, attempt, kind, message, http_status, latency_ms, tried_at, $run FROM incoming_attempts b
    WHERE NOT EXISTS (
        SELECT 1 FROM lrm.attempts a
        WHERE a.call = b.call AND a.run = $run AND a.attempt = b.attempt AND a.tried_at = b.tried_at
    )
"""


def _write(connection: duckdb.DuckDBPyConnection, batch: _Batch) -> tuple[int, int]:
    """Insert a batch; return how many responses and failures were new."""
    ensure_models(connection, batch.models)
    if batch.attempts["call"]:
        connection.register("incoming_attempts", _arrow(batch.attempts, _ATTEMPT))
        connection.execute(_INSERT_ATTEMPTS, {"run": batch.run})
    if not batch.calls["call"]:
        return 0, 0
    connection.register("incoming_calls", _arrow(batch.calls, _CALL))
    connection.execute(INSERT_CALLS)
    count = 0
    if batch.generations["id"]:
        connection.register("incoming_generations", _arrow(batch.generations, _GENERATION))
        connection.execute(_FRESH)
        taken = trust.take_over(connection)
        connection.execute(_INSERT_GENERATIONS, {"run": batch.run})
        connection.execute(_INSERT_TRACES, {"splitter": splitter.VERSION})
        trust.choose_first(connection, "SELECT call_n FROM fresh")
        count = connection.execute("SELECT count(*) FROM fresh").fetchall()[0][0]
        if len(batch.verdicts):
            connection.register("incoming_verdicts", batch.verdicts.table())
            if taken:
                connection.execute(trust.TAKE_OVER_VERDICTS)
            connection.execute(_INSERT_VERDICTS, {"judged_at": clock.now().replace(tzinfo=None)})
    failures = 0
    if batch.failures["call"]:
        connection.register("incoming_failures", _arrow(batch.failures, _FAILURE))
        before = connection.execute("SELECT count(*) FROM lrm.failures").fetchall()[0][0]
        connection.execute(_INSERT_FAILURES, {"run": batch.run})
        failures = connection.execute("SELECT count(*) FROM lrm.failures").fetchall()[0][0] - before
    return count, failures
