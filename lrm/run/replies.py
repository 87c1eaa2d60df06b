"""What models have said to judges and attacks, found by the calls that ask for it; and the calls that are still to be made."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lrm import hashing
from lrm.backends.base import Call, Hint
from lrm.judges.judge import Ask, Heard, Unheard
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id
from lrm.run.asking import Queue
from lrm.run.budget import Expected
from lrm.traces.trace import Trace, Usage

if TYPE_CHECKING:
    import duckdb

CHUNK = 1024

_TODO = """
CREATE OR REPLACE TABLE judge_todo (
    model_ix INTEGER, place BIGINT, call BLOB, messages VARCHAR, replicate INTEGER, hint VARCHAR
)
"""
_ADD = """
INSERT INTO judge_todo
    SELECT model_ix, place, call, messages, replicate, hint FROM incoming_asks i
    WHERE NOT EXISTS (SELECT 1 FROM judge_todo t WHERE t.call = i.call)
"""
# Questions that begin alike stand side by side, so that an engine finds the beginning in its cache.
_BY_PREFIX = """
CREATE OR REPLACE TABLE judge_todo AS
SELECT * REPLACE (row_number() OVER (ORDER BY model_ix, messages, replicate) AS place) FROM judge_todo
"""
# A failure counts where it was met by this fill; an older one is a reason to ask again.
_FOUND = """
SELECT l.call, g.id, g.raw, t.status, t.thinking, t.answer, g.finish_reason, g.input_tokens, g.output_tokens,
    g.thinking_tokens, f.kind, f.message
FROM looked_up l
JOIN cat.lrm.calls c ON c.id = l.call
LEFT JOIN cat.lrm.generations g ON g.n = c.generation_n
LEFT JOIN cat.lrm.traces t ON t.generation_n = g.n
LEFT JOIN (
    SELECT call_n, arg_max(kind, failed_at) AS kind, arg_max(message, failed_at) AS message
    FROM cat.lrm.failures WHERE list_contains($runs, run) GROUP BY call_n
) f ON f.call_n = c.n
WHERE g.n IS NOT NULL OR f.call_n IS NOT NULL
"""


@dataclass(slots=True)
class Replies:
    """The models that judges or attacks ask in a fill, their replies in the catalog, and what they are still to be asked."""

    connection: duckdb.DuckDBPyConnection
    names: Mapping[bytes, str]
    """Declared name by model identity, where it is known."""
    runs: list[str] = field(default_factory=list)
    """The runs of this fill."""
    closed: set[bytes] = field(default_factory=set)
    """Identities of models that are not asked any more: they did not let this fill in."""
    _models: dict[bytes, Model] = field(default_factory=dict)
    _ids: dict[int, tuple[Model, bytes]] = field(default_factory=dict)
    _added: int = 0

    def begin(self) -> None:
        """Forget what is to be asked."""
        self.connection.execute(_TODO)
        self._added = 0

    def id_of(self, ask: Ask) -> bytes:
        """Return the id of the call that asks this."""
        known = self._ids.get(id(ask.model))
        if known is None:
            found = model_id(ask.model)
            known = self._ids[id(ask.model)] = (
                ask.model,
                found,
            )  # kept with the object, so that its number stays its own
            self._models.setdefault(found, ask.model)
        return hashing.call_id(known[1], hashing.messages_text_id(ask.messages), ask.replicate)

    def look_up(self, calls: Iterable[bytes]) -> dict[bytes, Heard | Unheard]:
        """Return what the attached catalog has of these calls; what it has not is left out."""
        import pyarrow as pa

        self.connection.register("looked_up", pa.table({"call": pa.array(list(calls), pa.binary())}))
        rows = self.connection.execute(_FOUND, {"runs": self.runs}).fetchall()
        self.connection.unregister("looked_up")
        return {row[0]: _reply(row) for row in rows}

    def add(self, asks: Mapping[bytes, Ask], *, limit: int | None) -> None:
        """Take questions that are to be asked, `limit` of them at most since `begin`."""
        import pyarrow as pa

        order = list(self._models)
        models = {call: self._ids[id(ask.model)][1] for call, ask in asks.items()}
        rows = [(order.index(models[call]), call, ask) for call, ask in asks.items() if models[call] not in self.closed]
        if limit is not None:
            rows = rows[: max(0, limit - self._added)]
        table = pa.table(
            {
                "model_ix": pa.array([ix for ix, _, _ in rows], pa.int32()),
                "place": pa.array(range(self._added, self._added + len(rows)), pa.int64()),
                "call": pa.array([call for _, call, _ in rows], pa.binary()),
                "messages": pa.array([ask.messages for _, _, ask in rows], pa.string()),
                "replicate": pa.array([ask.replicate for _, _, ask in rows], pa.int32()),
                "hint": pa.array([_written(ask.hint) for _, _, ask in rows], pa.string()),
            }
        )
        self.connection.register("incoming_asks", table)
        self.connection.execute(_ADD)
        self.connection.unregister("incoming_asks")
        self._added += len(rows)

    def queues(self, suffix: str, expected: Callable[[str], Expected], at_provider: Mapping[bytes, int]) -> list[Queue]:
        """Return a queue for each model that is to be asked something, or whose earlier batches are at the provider.

        `expected` says what one of its calls takes; `at_provider` counts the calls in batches by the model's identity.
        """
        if any(model.runs_here for model in self._models.values()):
            self.connection.execute(_BY_PREFIX)
        asked = self.connection.execute("SELECT model_ix, count(*) FROM judge_todo GROUP BY ALL").fetchall()
        waiting = {ix: at_provider[found] for ix, found in enumerate(self._models) if at_provider.get(found)}
        counts = sorted({**dict.fromkeys(waiting, 0), **dict(asked)}.items())
        order = list(self._models.items())
        queues: list[Queue] = []
        for ix, count in counts:
            found, model = order[ix]
            name = self.names.get(found, model.model)
            label = f"{name}{suffix}"
            taken = {queue.label for queue in queues}
            while label in taken:
                label += "′"
            each = waiting.get(ix, 0)
            questions = Questions(self.connection, ix)
            queues.append(Queue(label, name, model, found, int(count) + each, questions, expected(name), each))
        return queues


@dataclass(slots=True)
class Questions:
    """The questions to one judge model, a chunk at a time."""

    connection: duckdb.DuckDBPyConnection
    model_ix: int
    _after: int = -1
    _ready: deque[Call] = field(default_factory=deque)

    def next(self) -> Call | None:
        """Return the next call; None when there is none left."""
        if not self._ready:
            rows = self.connection.execute(
                """
                SELECT place, call, messages, replicate, hint FROM judge_todo WHERE model_ix = $ix AND place > $after
                ORDER BY place LIMIT $chunk
                """,
                {"ix": self.model_ix, "after": self._after, "chunk": CHUNK},
            ).fetchall()
            if rows:
                self._after = rows[-1][0]
            self._ready.extend(
                Call(call, messages, replicate, _hint(hint)) for _, call, messages, replicate, hint in rows
            )
        return self._ready.popleft() if self._ready else None


def _written(hint: Hint | None) -> str | None:
    return None if hint is None else json.dumps([hint.prompt_set, list(hint.category), hint.attack, hint.expect])


def _hint(written: str | None) -> Hint | None:
    if written is None:
        return None
    prompt_set, category, attack, expect = json.loads(written)
    return Hint(prompt_set, tuple(category), attack, expect)


def _reply(row: Sequence[Any]) -> Heard | Unheard:
    _, generation, raw, status, thinking, answer, finish, tokens_in, tokens_out, tokens_thinking, kind, message = row
    if generation is None:
        return Unheard(kind, message)
    trace = Trace(status, thinking, answer, finish, Usage(tokens_in, tokens_out, tokens_thinking))
    return Heard(hashing.show("g1", generation), raw, trace)
