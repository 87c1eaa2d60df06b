"""One response, or one cell without a response: everything that the catalog knows of it, in one short burst."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from lrm import hashing
from lrm.browse import absence, ids
from lrm.browse.cells import CURRENT, MODELS
from lrm.browse.measured import LIMIT, Measured, measured
from lrm.browse.places import TracePlace
from lrm.browse.pursued import pursued
from lrm.browse.reader import Reader, Stop
from lrm.browse.said import Cell, Span, TraceVerdict, verdicts
from lrm.errors import MissingError, known_names_hint
from lrm.store.annotations import Annotation, Target, of_cell, of_generation
from lrm.store.trust import Published
from lrm.traces.trace import ParseStatus

if TYPE_CHECKING:
    import duckdb

__all__ = [
    "Anchor", "Attempt", "Cell", "Failure", "Message", "Numbered", "Part", "Span", "Trace", "TraceVerdict", "messages_of",
    "raw_payload", "read_trace", "read_trace_of", "whole_text",
]  # fmt: skip

Part = Literal["thinking", "answer", "messages"]


class Numbered(Protocol):
    """What names a cell by this catalog's numbers: a sample, or `lrm.browse.ids.At`."""

    @property
    def model_n(self) -> int: ...  # noqa: D102
    @property
    def attack_n(self) -> int: ...  # noqa: D102
    @property
    def prompt_n(self) -> int: ...  # noqa: D102
    @property
    def replicate(self) -> int: ...  # noqa: D102
    @property
    def generation_n(self) -> int | None: ...  # noqa: D102
    @property
    def call_n(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Message:
    """One message that was sent."""

    role: str
    text: str
    left_out: int = 0
    """Characters that are not read, because the text is longer than LIMIT."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that brought no response."""

    number: int
    """From 1, within its run."""
    kind: str
    message: str
    http_status: int | None
    seconds: float | None
    """How long the request took; None is unknown."""
    at: datetime
    """UTC."""
    run: str


@dataclass(frozen=True, slots=True)
class Failure:
    """That a call failed for good in one run."""

    kind: str
    message: str
    attempts: int
    at: datetime
    """UTC."""
    run: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The cell and the response that a label is about, by ids that are the same in every catalog."""

    model: str
    """`i1:…`."""
    attack: str
    """`a1:…`."""
    prompt: str
    """`p1:…`."""
    replicate: int
    generation: str | None
    """`g1:…`; None for a cell without a response."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A response or a cell without one."""

    call: str
    """`c1:…`; also of a cell that has not been asked, whose call has no row yet."""
    generation: str | None
    """`g1:…`; None where there is no response."""
    call_n: int | None
    generation_n: int | None
    state: str
    """`done`, `blocked`, `failed` or `missing`."""
    cells: tuple[Cell, ...]
    """Cells of current spans that share the call, the one that is looked at first; none for a question to a judge."""
    more_cells: int
    """Cells beyond these."""
    model: str
    messages: tuple[Message, ...]
    thinking: str | None
    thinking_left_out: int
    """Characters beyond LIMIT that are not read."""
    answer: str | None
    answer_left_out: int
    parse_status: ParseStatus | None
    visibility: str
    """`visible`, `summary`, `hidden`, `none` …: what of the thinking is shown."""
    origin: str
    """`run`, `simulated` or `imported`."""
    published: Published | None
    """Who published the response; None where it was received or imported here."""
    why_no_thinking: str | None
    why_no_answer: str | None
    verdicts: tuple[TraceVerdict, ...]
    annotations: tuple[Annotation, ...]
    target: Target | None
    """What a label is given to; None where there is no cell."""
    anchor: Anchor | None
    """The same by ids."""
    failure: Failure | None
    """The last one; also of a call that was answered later."""
    attempts: tuple[Attempt, ...]
    other_generations: tuple[str, ...]
    """Other responses to the same call, `g1:…`, in the order received; those that do not count among them."""
    is_first: bool
    """Whether it is the response that cells show."""
    facts: tuple[tuple[str, str], ...]
    """(name, value) of everything that was measured or is known, ready to be shown."""

    @property
    def cell(self) -> Cell | None:
        """The cell that is looked at."""
        return self.cells[0] if self.cells else None


MOST_CELLS = 50


def read_trace(reader: Reader, place: TracePlace, stop: Stop | None = None) -> Trace:
    """Return what an id, or the beginning of one, stands for.

    Raises SpecError for what is no id or stands for several, MissingError for what the catalog has not; BusyError,
    CatalogError and StoppedError as `Reader.burst`.
    """
    given = ids.prefix(place.id)
    with reader.burst(stop) as connection:
        found = ids.find(connection, given)
        if found is not None:
            kind, n = found
            return _read(connection, _named(connection, kind, n), place.prompt)
    at = ids.planned(reader, given, stop)
    if at is None:
        raise ids.missing(reader, given, stop)
    return read_trace_of(reader, at, stop)


def read_trace_of(reader: Reader, at: Numbered, stop: Stop | None = None, *, spec: str | None = None) -> Trace:
    """Return the trace of a cell by its numbers, without looking for an id; `spec` is whose judges and names are meant.

    Raises MissingError where the catalog has no such cell.
    """
    with reader.burst(stop) as connection:
        return _read(connection, _numbered(connection, at), None, spec)


def whole_text(reader: Reader, generation_n: int, part: Part, stop: Stop | None = None) -> str:
    """Return a text in full: the thinking, the answer, or the messages as JSON. Raises MissingError where it is absent."""
    if part == "messages":
        query = """
            SELECT m.messages FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n
            JOIN lrm.messages m ON m.n = c.messages_n WHERE g.n = ?
            """
    else:
        query = f"SELECT {part} FROM lrm.traces WHERE generation_n = ?"
    return _text(reader, query, generation_n, part, stop)


def raw_payload(reader: Reader, generation: str | int, stop: Stop | None = None) -> str:
    """Return the provider's payload of a response, given by id or number, as it came. Raises MissingError, SpecError."""
    if isinstance(generation, str):
        given = ids.prefix(generation)
        with reader.burst(stop) as connection:
            found = ids.find(connection, replace(given, kinds=("g1",)))
        if found is None:
            raise ids.missing(reader, given, stop)
        generation = found[1]
    return _text(reader, "SELECT raw FROM lrm.generations WHERE n = ?", generation, "payload", stop)


def _text(reader: Reader, query: str, generation_n: int, what: str, stop: Stop | None) -> str:
    with reader.burst(stop) as connection:
        rows = connection.execute(query, [generation_n]).fetchall()
    if not rows or rows[0][0] is None:
        raise MissingError(f"the response has no {what}")
    found: str = rows[0][0]
    return found


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Key:
    """A call, whether or not it has a row, and the response that is looked at."""

    model_n: int
    messages_n: int
    replicate: int
    call_n: int | None
    call: bytes | None
    """The call's id; None where it has no row."""
    first_n: int | None
    """The response that cells show."""
    generation_n: int | None
    prompt_n: int | None = None
    attack_n: int | None = None


def _named(connection: duckdb.DuckDBPyConnection, kind: ids.Kind, n: int) -> _Key:
    call_n = n
    if kind == "g1":
        call_n = connection.execute("SELECT call_n FROM lrm.generations WHERE n = ?", [n]).fetchall()[0][0]
    model_n, messages_n, replicate, call, first_n = connection.execute(
        "SELECT model_n, messages_n, replicate, id, generation_n FROM lrm.calls WHERE n = ?", [call_n]
    ).fetchall()[0]
    return _Key(model_n, messages_n, replicate, call_n, call, first_n, n if kind == "g1" else first_n)


def _numbered(connection: duckdb.DuckDBPyConnection, at: Numbered) -> _Key:
    rows = connection.execute(
        "SELECT messages_n FROM lrm.renderings WHERE attack_n = ? AND prompt_n = ? AND messages_n IS NOT NULL",
        [at.attack_n, at.prompt_n],
    ).fetchall()
    if not rows:
        raise MissingError("the catalog has no such cell", hint="the list may be older than the catalog: load it again")
    (messages_n,) = rows[0]
    calls = connection.execute(
        "SELECT n, id, generation_n FROM lrm.calls WHERE model_n = ? AND messages_n = ? AND replicate = ?"
        if at.call_n is None
        else "SELECT n, id, generation_n FROM lrm.calls WHERE n = ?",
        [at.model_n, messages_n, at.replicate] if at.call_n is None else [at.call_n],
    ).fetchall()
    call_n, call, first_n = calls[0] if calls else (None, None, None)
    generation_n = at.generation_n if at.generation_n is not None else first_n
    return _Key(at.model_n, messages_n, at.replicate, call_n, call, first_n, generation_n, at.prompt_n, at.attack_n)


_MODEL = f"""
SELECT k.id, k.name, k.identity, m.visibility, m.simulated, m.imported
FROM lrm.models k JOIN {MODELS} m ON m.n = k.n WHERE k.n = ?
"""
_CELLS = f"""
SELECT n.spec, s.model, s.prompt_set, p.key, s.attack, p.category, p.expect, s.span_n, s.attack_n, x.prompt_n, p.id, k.id
FROM (
    SELECT attack_n, prompt_n FROM lrm.renderings
    WHERE messages_n = $messages_n AND ($messages_n <> 0 OR (attack_n = $attack_n AND prompt_n = $prompt_n))
) x
JOIN lrm.prompts p ON p.n = x.prompt_n
JOIN lrm.prompt_set_members b ON b.prompt_n = x.prompt_n
JOIN lrm.slices s ON s.set_n = b.set_n AND s.attack_n = x.attack_n
JOIN {CURRENT} n ON n.span_n = s.span_n
JOIN lrm.attacks k ON k.n = x.attack_n
WHERE s.model_n = $model_n AND $replicate BETWEEN s.first_replicate AND s.first_replicate + s.replicates - 1
ORDER BY (x.prompt_n IS NOT DISTINCT FROM $prompt_n AND x.attack_n IS NOT DISTINCT FROM $attack_n) DESC,
    n.spec IS NOT DISTINCT FROM $spec DESC, p.key IS NOT DISTINCT FROM $prompt DESC, n.chosen_n DESC, s.prompt_set,
    b.ordinal, s.attack
"""


def _read(connection: duckdb.DuckDBPyConnection, key: _Key, prompt: str | None, spec: str | None = None) -> Trace:
    model_id, model, identity, visibility, simulated, imported = connection.execute(_MODEL, [key.model_n]).fetchall()[0]
    rows = connection.execute("SELECT id, messages FROM lrm.messages WHERE n = ?", [key.messages_n]).fetchall()
    # Of an attack with other models in it that has not ended it is not known what will have been sent: number 0.
    messages_id, written = rows[0] if rows else (hashing.messages_text_id("[]"), "[]")
    call = key.call or hashing.call_id(model_id, messages_id, key.replicate)
    cells, anchors = _cells(connection, key, prompt, spec)
    failures = _failures(connection, key.call_n)
    failure = failures[-1] if failures else None
    response = Measured()
    state = "missing" if failure is None else "failed"
    if key.generation_n is not None:
        response = measured(connection, key.generation_n)
        state = "blocked" if response.status == "blocked" else "done"
        why_no_thinking = absence.no_thinking(response.parse_status, response.thinking, response.thinking_tokens)
        why_no_answer = absence.no_answer(response.parse_status, response.answer, response.finish_reason)
    else:
        why_no_thinking = why_no_answer = absence.no_response(state, None if failure is None else failure.kind)
    cell = cells[0] if cells else None
    target = anchor = None
    if cell is not None:
        target = Target(key.model_n, cell.attack_n, cell.prompt_n, key.replicate, key.generation_n)
        prompt_id, attack_id = anchors[0]
        anchor = Anchor(
            hashing.show("i1", model_id), hashing.show("a1", attack_id), hashing.show("p1", prompt_id), key.replicate,
            response.id,
        )  # fmt: skip
    match response.parse_status:
        case "summary_only":
            visibility = "summary"
        case "withheld":
            visibility = "hidden"
        case _:
            visibility = response.visibility or visibility
    foreign = imported or response.source not in {None, "run"}
    return Trace(
        call=hashing.show("c1", call),
        generation=response.id,
        call_n=key.call_n,
        generation_n=key.generation_n,
        state=state,
        cells=cells[:MOST_CELLS],
        more_cells=max(0, len(cells) - MOST_CELLS),
        model=cell.model if cell is not None else model,
        messages=messages_of(written),
        thinking=response.thinking,
        thinking_left_out=response.thinking_left_out,
        answer=response.answer,
        answer_left_out=response.answer_left_out,
        parse_status=response.parse_status,
        visibility=visibility,
        origin="simulated" if simulated else "imported" if foreign else "run",
        published=response.published,
        why_no_thinking=why_no_thinking,
        why_no_answer=why_no_answer,
        verdicts=verdicts(connection, key.generation_n, cell, state),
        annotations=_labels(connection, target),
        target=target,
        anchor=anchor,
        failure=failure,
        attempts=_attempts(connection, call),
        other_generations=_others(connection, key),
        is_first=key.generation_n == key.first_n,
        facts=(
            *response.facts,
            *(pursued(connection, cell.attack_n, cell.prompt_n) if cell is not None else ()),
            ("replicate", str(key.replicate)),
            ("model's name when first asked", model),
            ("model's identity", hashing.show("i1", model_id)),
            *((f"model: {name}", value) for name, value in _flat(json.loads(identity))),
            ("messages", hashing.show("m1", messages_id)),
        ),
    )


def _cells(
    connection: duckdb.DuckDBPyConnection, key: _Key, prompt: str | None, spec: str | None
) -> tuple[tuple[Cell, ...], list[tuple[bytes, bytes]]]:
    """Return the cells of a call, the one that is looked at first, and the ids of prompt and attack of each."""
    rows = connection.execute(
        _CELLS,
        {
            "messages_n": key.messages_n, "model_n": key.model_n, "replicate": key.replicate, "prompt_n": key.prompt_n,
            "attack_n": key.attack_n, "prompt": prompt, "spec": spec,
        },
    ).fetchall()  # fmt: skip
    cells = tuple(
        Cell(row[0], row[1], row[2], row[3], row[4], key.replicate, tuple(row[5]), row[6], row[7], row[8], row[9])
        for row in rows
    )
    if prompt is not None and cells and cells[0].prompt != prompt:
        names = {one.prompt for one in cells}
        raise MissingError(f"this call is not one of the prompt `{prompt}`", hint=known_names_hint(prompt, names))
    return cells, [(row[10], row[11]) for row in rows]


def messages_of(written: str) -> tuple[Message, ...]:
    """Return the messages of a conversation that is given as JSON, each text cut at LIMIT."""
    return tuple(
        Message(one["role"], one["content"][:LIMIT], max(0, len(one["content"]) - LIMIT)) for one in json.loads(written)
    )


def _failures(connection: duckdb.DuckDBPyConnection, call_n: int | None) -> list[Failure]:
    if call_n is None:
        return []
    rows = connection.execute(
        "SELECT kind, message, attempts, failed_at, run FROM lrm.failures WHERE call_n = ? ORDER BY failed_at", [call_n]
    ).fetchall()
    return [Failure(*row) for row in rows]


def _attempts(connection: duckdb.DuckDBPyConnection, call: bytes) -> tuple[Attempt, ...]:
    rows = connection.execute(
        """
        SELECT attempt, kind, message, http_status, latency_ms / 1000, tried_at, run
        FROM lrm.attempts WHERE call = ? ORDER BY tried_at, attempt
        """,
        [call],
    ).fetchall()
    return tuple(Attempt(*row) for row in rows)


def _others(connection: duckdb.DuckDBPyConnection, key: _Key) -> tuple[str, ...]:
    if key.call_n is None:
        return ()
    rows = connection.execute(
        "SELECT id FROM lrm.generations WHERE call_n = ? AND n IS DISTINCT FROM ? ORDER BY received_at, n",
        [key.call_n, key.generation_n],
    ).fetchall()
    return tuple(hashing.show("g1", one) for (one,) in rows)


def _labels(connection: duckdb.DuckDBPyConnection, target: Target | None) -> tuple[Annotation, ...]:
    if target is None:
        return ()
    if target.generation_n is not None:
        return of_generation(connection, target.generation_n)
    return of_cell(connection, target)


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return the leaves of a JSON value with their dotted paths."""
    if isinstance(value, dict) and value:
        return [leaf for name, one in value.items() for leaf in _flat(one, f"{path}.{name}" if path else str(name))]
    return [(path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
