"""What a judge asked its model, and what the model said: read from the catalog for one verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lrm.browse.measured import LIMIT
from lrm.browse.reader import Reader, Stop
from lrm.browse.said import TraceVerdict
from lrm.browse.trace import Message, messages_of


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a judge and its reply."""

    generation: str
    """The reply's id, `g1:…`."""
    model: str | None
    """The judge model's name when it was first asked; None where the catalog does not have the reply."""
    messages: tuple[Message, ...]
    """The judge's prompt as it was sent; none where the catalog does not have the reply."""
    thinking: str | None
    reply: str | None
    """What the model answered, as the judge read it; None where it answered nothing."""
    raw: str | None
    """The provider's payload, at most `lrm.browse.measured.LIMIT` characters of it."""


_FOUND = """
SELECT 'g1:' || lower(hex(g.id)), m.name, x.messages, left(t.thinking, $limit), left(t.answer, $limit), left(g.raw, $limit)
FROM (SELECT n, id, call_n, raw FROM lrm.generations WHERE id IN $ids) g
JOIN lrm.calls c ON c.n = g.call_n
JOIN lrm.models m ON m.n = c.model_n
JOIN lrm.messages x ON x.n = c.messages_n
LEFT JOIN lrm.traces t ON t.generation_n = g.n
"""


def asked(reader: Reader, verdict: TraceVerdict, stop: Stop | None = None) -> tuple[Asked, ...]:
    """Return the questions behind a verdict with their replies, in the order in which they were asked.

    None for a judge that asks no model. A reply that the catalog does not have is there without its texts.
    """
    if not verdict.replies:
        return ()
    values: dict[str, Any] = {
        "ids": [bytes.fromhex(one.removeprefix("g1:")) for one in verdict.replies],
        "limit": LIMIT,
    }
    with reader.burst(stop) as connection:
        rows = {row[0]: row for row in connection.execute(_FOUND, values).fetchall()}
    return tuple(_asked(one, rows.get(one)) for one in verdict.replies)


def _asked(generation: str, row: tuple[Any, ...] | None) -> Asked:
    if row is None:
        return Asked(generation, None, (), None, None, None)
    return Asked(generation, row[1], messages_of(row[2]), row[3], row[4], row[5])
