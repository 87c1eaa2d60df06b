"""The queue of one model: calls streamed out of a plan's table, a chunk at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lrm import hashing
from lrm.backends.base import Call, Hint
from lrm.run.budget import Account

if TYPE_CHECKING:
    import duckdb

CHUNK = 1024

# Everything that a run needs of the catalog is copied, so that the catalog can be let go.
_COPY = """
CREATE OR REPLACE TABLE todo_messages AS
    SELECT n, id, messages FROM messages WHERE n IN (SELECT messages_n FROM todo) ORDER BY n;
CREATE OR REPLACE TABLE todo_hints AS
    SELECT p.n, p.category, p.expect FROM prompts p WHERE p.n IN (SELECT prompt_n FROM todo)
"""
_NEXT = """
SELECT m.id, m.messages, t.replicate, s.prompt_set, h.category, s.attack, h.expect
FROM (SELECT * FROM todo WHERE model_n = $model_n AND place BETWEEN $first AND $last) t
JOIN todo_messages m ON m.n = t.messages_n
JOIN slices s ON s.ix = t.ix
JOIN todo_hints h ON h.n = t.prompt_n
ORDER BY t.place
"""


# Prompts that begin alike stand side by side, so that an engine finds the beginning in its cache.
_BY_PREFIX = """
CREATE OR REPLACE TABLE todo AS
SELECT t.* REPLACE (
    CASE WHEN list_contains($ns, t.model_n)
    THEN row_number() OVER (PARTITION BY t.model_n ORDER BY m.messages, t.replicate) ELSE t.place END AS place
)
FROM todo t LEFT JOIN todo_messages m ON m.n = t.messages_n AND list_contains($ns, t.model_n)
ORDER BY t.model_n, place
"""


def copy_todo(connection: duckdb.DuckDBPyConnection, *, by_prefix: Collection[int] = ()) -> dict[int, int]:
    """Copy what the missing calls need out of the attached catalog; return the number of calls by model number.

    The calls of the models `by_prefix` are put in the order of their messages' text.
    """
    for statement in _COPY.split(";"):
        connection.execute(statement)
    if by_prefix:
        connection.execute(_BY_PREFIX, {"ns": list(by_prefix)})
    rows = connection.execute("SELECT model_n, count(*) FROM todo GROUP BY model_n ORDER BY min(seq)").fetchall()
    return {int(model_n): int(count) for model_n, count in rows}


class Calls(Protocol):
    """A queue of calls to one model."""

    def next(self) -> Call | None:
        """Return the next call; None when there is none left."""
        ...


@dataclass(slots=True)
class Affordable:
    """A queue that ends where the budget does. For calls that are all sent before the first comes back."""

    calls: Calls
    account: Account
    begun: set[bytes] = field(default_factory=set)
    """Ids of the calls that were given out and did not come back."""

    def came_back(self, call: bytes) -> None:
        """Note that a call came back; one that was not given out here was sent by an earlier fill."""
        if call in self.begun:
            self.begun.discard(call)
        else:
            self.account.adopt()

    def next(self) -> Call | None:
        """Return the next call, which counts as begun; None when there is none left, or no room in the budget."""
        if self.account.admits() != "yes":
            return None
        call = self.calls.next()
        if call is not None:
            self.account.begin()
            self.begun.add(call.id)
        return call


class Nothing:
    """An empty queue."""

    def next(self) -> Call | None:
        """Return None."""
        return None


@dataclass(slots=True)
class Feed:
    """One model's calls, in the plan's order. Not for use from several threads."""

    connection: duckdb.DuckDBPyConnection
    model_n: int
    model_id: bytes
    _read_to: int = 0
    _ready: deque[Call] | None = None

    def next(self) -> Call | None:
        """Return the next call; None when there is none left."""
        if not self._ready:
            self._ready = deque(self._read())
        return self._ready.popleft() if self._ready else None

    def _read(self) -> Iterator[Call]:
        rows: list[Any] = self.connection.execute(
            _NEXT, {"model_n": self.model_n, "first": self._read_to + 1, "last": self._read_to + CHUNK}
        ).fetchall()
        self._read_to += CHUNK
        for messages_id, messages, replicate, prompt_set, category, attack, expect in rows:
            yield Call(
                id=hashing.call_id(self.model_id, messages_id, replicate),
                messages=messages,
                replicate=replicate,
                hint=Hint(prompt_set, tuple(category), attack, expect),
            )
