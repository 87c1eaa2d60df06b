"""Batches at a provider's batch endpoint, as the catalog knows them.

A batch is `intended` before anything of it is sent, `sent` when the provider's id is known, and at the end `collected` (its
replies are in the catalog) or `lost` (it never came to be, or the provider does not know it). While it is one of the first
two, its calls are not asked otherwise. Rows are made in a transaction here; what becomes of a batch comes by the journal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lrm import clock, hashing
from lrm.backends.base import Call
from lrm.store.catalog import Catalog
from lrm.store.journal import BatchNote, ModelCard
from lrm.store.live import live_runs
from lrm.store.lock import arranging

if TYPE_CHECKING:
    import duckdb

STATES = ("intended", "sent", "lost", "collected")
"""In order: a batch only goes forward, so that merging a segment of the journal twice changes nothing."""

_OPEN = "state IN ('intended', 'sent')"


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """A batch whose replies are not collected."""

    key: str
    """Ours; the provider keeps it as metadata."""
    id: str | None
    """The provider's; None while it is not known whether the provider has the batch."""
    made_at: datetime
    """UTC, without a time zone."""
    calls: int
    """Calls of it that have no response in the catalog."""


@dataclass(slots=True)
class CallRows:
    """Calls on their way into the catalog."""

    ids: list[bytes] = field(default_factory=list)
    messages_ids: list[bytes] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    replicates: list[int] = field(default_factory=list)

    def add(self, call: Call) -> None:
        """Take a call."""
        self.ids.append(call.id)
        self.messages_ids.append(hashing.messages_text_id(call.messages))
        self.messages.append(call.messages)
        self.replicates.append(call.replicate)

    def __len__(self) -> int:
        return len(self.ids)

    def table(self, model_id: bytes) -> Any:
        """Return the rows as `lrm.store.merge` takes them."""
        import pyarrow as pa

        return pa.table(
            {
                "call": pa.array(self.ids, pa.binary()),
                "model": pa.array([model_id] * len(self), pa.binary()),
                "messages_id": pa.array(self.messages_ids, pa.binary()),
                "messages": pa.array(self.messages, pa.string()),
                "replicate": pa.array(self.replicates, pa.int32()),
            }
        )


def intend(catalog: Catalog, run: str, key: str, model_id: bytes, card: ModelCard, calls: CallRows) -> None:
    """Note in the catalog that these calls are going to be sent as the batch `key`. Raises BusyError, CatalogError."""
    from lrm.store.merge import INSERT_CALLS, ensure_models

    with arranging(catalog), catalog.writing() as connection:
        ensure_models(connection, {model_id.hex(): card})
        connection.register("incoming_calls", calls.table(model_id))
        connection.execute(INSERT_CALLS)
        connection.execute(
            "INSERT INTO lrm.batches SELECT $key, n, NULL, 'intended', $at, NULL, $run FROM lrm.models WHERE id = $model",
            {"key": key, "at": clock.now().replace(tzinfo=None), "run": run, "model": model_id},
        )
        connection.execute("INSERT INTO lrm.batch_calls SELECT $key, n FROM touched", {"key": key})


def take_over(catalog: Catalog, run: str, model_id: bytes) -> tuple[OpenBatch, ...]:
    """Return the open batches of a model that no other live run looks after, oldest first; from now on `run` does.

    Raises BusyError, CatalogError.
    """
    with arranging(catalog), catalog.writing() as connection:
        others = list(live_runs(catalog) - {run})
        rows = connection.execute(
            f"""
            SELECT b.key, b.id, b.made_at, count(c.n) FILTER (WHERE c.generation_n IS NULL)
            FROM lrm.batches b JOIN lrm.models m ON m.n = b.model_n
            LEFT JOIN lrm.batch_calls x ON x.batch = b.key LEFT JOIN lrm.calls c ON c.n = x.call_n
            WHERE m.id = $model AND b.{_OPEN} AND NOT list_contains($others, b.run)
            GROUP BY ALL ORDER BY b.made_at, b.key
            """,
            {"model": model_id, "others": others},
        ).fetchall()
        if rows:
            connection.execute(
                "UPDATE lrm.batches SET run = $run WHERE list_contains($keys, key)",
                {"run": run, "keys": [row[0] for row in rows]},
            )
    return tuple(OpenBatch(*row) for row in rows)


def open_models(connection: duckdb.DuckDBPyConnection, schema: str = "lrm") -> dict[bytes, int]:
    """Return the models that have open batches, by their ids, and how many of those calls have no response yet."""
    rows = connection.execute(
        f"""
        SELECT m.id, count(*) FROM {schema}.batches b
        JOIN {schema}.models m ON m.n = b.model_n
        JOIN {schema}.batch_calls x ON x.batch = b.key
        JOIN {schema}.calls c ON c.n = x.call_n
        WHERE b.{_OPEN} AND c.generation_n IS NULL GROUP BY m.id
        """
    ).fetchall()
    return {bytes(model): int(count) for model, count in rows}


def open_batch_calls(schema: str = "lrm") -> str:
    """Return a query of the calls that are in open batches: `call_n`, and `batch`, the key."""
    return (
        f"SELECT x.call_n, x.batch FROM {schema}.batch_calls x "
        f"JOIN {schema}.batches b ON b.key = x.batch WHERE b.{_OPEN}"
    )


def calls_of(catalog: Catalog, key: str, ids: Collection[bytes]) -> tuple[dict[bytes, Call], frozenset[bytes]]:
    """Return those of the calls `ids` that belong to a batch: the ones without a response, and the ids of the others."""
    with arranging(catalog), catalog.reading() as connection:
        rows = connection.execute(
            """
            SELECT c.id, t.messages, c.replicate, c.generation_n IS NOT NULL
            FROM lrm.calls c JOIN lrm.batch_calls x ON x.call_n = c.n JOIN lrm.messages t ON t.n = c.messages_n
            WHERE x.batch = $key AND c.id IN (SELECT unnest($ids::BLOB[]))
            """,
            {"key": key, "ids": list(ids)},
        ).fetchall()
    asked = {bytes(one): Call(bytes(one), messages, replicate) for one, messages, replicate, has in rows if not has}
    return asked, frozenset(bytes(row[0]) for row in rows if row[3])


def without_response(catalog: Catalog, key: str) -> tuple[bytes, ...]:
    """Return the ids of a batch's calls that have no response in the catalog."""
    with arranging(catalog), catalog.reading() as connection:
        rows = connection.execute(
            """
            SELECT c.id FROM lrm.calls c JOIN lrm.batch_calls x ON x.call_n = c.n
            WHERE x.batch = $key AND c.generation_n IS NULL ORDER BY c.n
            """,
            {"key": key},
        ).fetchall()
    return tuple(bytes(row[0]) for row in rows)


def put_batches(connection: duckdb.DuckDBPyConnection, notes: Iterable[BatchNote]) -> None:
    """Bring what a journal says of batches into the catalog, which is open for writing. Of a batch that it does not have, nothing."""
    for note in notes:
        state = note.get("state")
        if state not in STATES:
            continue
        connection.execute(
            """
            UPDATE lrm.batches SET id = coalesce($id, id), state = $state,
                ended_at = CASE WHEN $ended THEN make_timestamp($at) END
            WHERE key = $key AND list_position($states, state) < list_position($states, $state)
            """,
            {
                "key": note["batch"], "id": note.get("id"), "state": state, "states": list(STATES), "at": note.get("at", 0),
                "ended": state in ("lost", "collected") and "at" in note,
            },
        )  # fmt: skip
