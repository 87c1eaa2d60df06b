"""What a response came with, and how it was split: tokens, seconds, cost, and its two texts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from lrm import hashing
from lrm.store.trust import Published, publisher_of
from lrm.traces.trace import ParseStatus

if TYPE_CHECKING:
    import duckdb

LIMIT = 2_000_000
"""Characters of one text that are read with a trace; `lrm.browse.trace.whole_text` reads the rest."""
UNKNOWN = "unknown"

_GENERATION = """
SELECT id, status, finish_reason, input_tokens, output_tokens, thinking_tokens, cost, received_at, latency_ms, attempts,
    fingerprint, sent, source, run
FROM lrm.generations WHERE n = ?
"""
_TRACE = """
SELECT status, visibility, splitter, length(thinking), left(thinking, $limit), length(answer), left(answer, $limit)
FROM lrm.traces WHERE generation_n = $n
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a response came with, and how it was split."""

    id: str | None = None
    status: str | None = None
    finish_reason: str | None = None
    thinking_tokens: int | None = None
    source: str | None = None
    published: Published | None = None
    """Who published it; None where it was received or imported here."""
    parse_status: ParseStatus | None = None
    visibility: str | None = None
    thinking: str | None = None
    thinking_left_out: int = 0
    answer: str | None = None
    answer_left_out: int = 0
    facts: tuple[tuple[str, str], ...] = ()


def measured(connection: duckdb.DuckDBPyConnection, generation_n: int) -> Measured:
    """Return what a response came with; its texts up to LIMIT characters."""
    (
        found, status, finish, tokens_in, tokens_out, tokens_thinking, cost, received_at, ms, attempts, fingerprint, sent,
        source, run,
    ) = connection.execute(_GENERATION, [generation_n]).fetchall()[0]  # fmt: skip
    traces = connection.execute(_TRACE, {"n": generation_n, "limit": LIMIT}).fetchall()
    parsed, visibility, splitter, thinking_length, thinking, answer_length, answer = (
        traces[0] if traces else (None, None, None, None, None, None, None)
    )
    published = publisher_of(connection, generation_n)
    facts = (
        ("received", _moment(received_at)),
        ("seconds", _number(None if ms is None else ms / 1000, "{:,.2f}")),
        ("requests", str(attempts)),
        ("finish reason", finish or UNKNOWN),
        ("input tokens", _number(tokens_in)),
        ("output tokens", _number(tokens_out)),
        ("thinking tokens", _number(tokens_thinking)),
        ("cost", _number(cost, "${:,.6f}")),
        ("thinking, characters", _number(thinking_length)),
        ("answer, characters", _number(answer_length)),
        ("parse status", f"{parsed or UNKNOWN} (splitter {splitter or UNKNOWN})"),
        ("fingerprint", fingerprint or UNKNOWN),
        ("asked by", f"{source} {run}" if published is None else f"the publisher of {published.snapshot}"),
        *(() if published is None else _came(published)),
        *((("sent", sent),) if sent else ()),
    )
    return Measured(
        hashing.show("g1", found), status, finish, tokens_thinking, source, published, parsed, visibility,
        thinking, (thinking_length or 0) - len(thinking or ""), answer, (answer_length or 0) - len(answer or ""), facts,
    )  # fmt: skip


def _came(published: Published) -> tuple[tuple[str, str], ...]:
    """Return with which snapshot a response came, and whether it counts."""
    counts = "yes" if published.trusted else "no: its publisher is not trusted"
    return (
        ("came with", f"{published.snapshot}, pulled {published.pulled_at:%Y-%m-%d %H:%M} UTC"),
        ("fills cells", counts),
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _number(value: float | None, form: str = "{:,}") -> str:
    return UNKNOWN if value is None else form.format(value)
