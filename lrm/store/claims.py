"""Claims: which calls a running fill is going to make, so that another fill of the same catalog does not make them too.

A fill claims what it planned in the moment in which it registers, while nobody else can plan; it gives its claims back at
its end. The claims of a dead run mean nothing, and the next run removes them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def claim_cells(connection: duckdb.DuckDBPyConnection, run: str) -> None:
    """Claim what the workspace's table `todo` holds. The catalog is attached as `cat`, in a transaction."""
    connection.execute("INSERT INTO cat.lrm.claims SELECT ?, model_n, messages_n, replicate, NULL FROM todo", [run])


def leave_to_others(connection: duckdb.DuckDBPyConnection, run: str, live: Collection[str]) -> tuple[str, ...]:
    """Take off the table `judge_todo` what other live runs have claimed; return those runs. The catalog is attached as `cat`."""
    others = [one for one in live if one != run]
    connection.execute(
        """
        CREATE OR REPLACE TABLE asked_by_others AS
        SELECT t.call, any_value(c.run) AS run FROM judge_todo t JOIN cat.lrm.claims c ON c.call = t.call
        WHERE list_contains($others, c.run) GROUP BY t.call
        """,
        {"others": others},
    )
    connection.execute("DELETE FROM judge_todo WHERE call IN (SELECT call FROM asked_by_others)")
    return tuple(
        row[0] for row in connection.execute("SELECT DISTINCT run FROM asked_by_others ORDER BY ALL").fetchall()
    )


def leave_to_batches(connection: duckdb.DuckDBPyConnection) -> dict[bytes, int]:
    """Take off the table `judge_todo` what batches at providers will answer; return how many by their model's identity."""
    connection.execute(
        """
        CREATE OR REPLACE TABLE in_batches AS
        SELECT t.call, any_value(m.id) AS model FROM judge_todo t JOIN cat.lrm.calls c ON c.id = t.call
        JOIN cat.lrm.batch_calls x ON x.call_n = c.n JOIN cat.lrm.batches b ON b.key = x.batch
        JOIN cat.lrm.models m ON m.n = b.model_n
        WHERE b.state IN ('intended', 'sent') GROUP BY t.call
        """
    )
    connection.execute("DELETE FROM judge_todo WHERE call IN (SELECT call FROM in_batches)")
    return dict(connection.execute("SELECT model, count(*) FROM in_batches GROUP BY model").fetchall())


def claim_questions(connection: duckdb.DuckDBPyConnection, run: str) -> None:
    """Claim what the table `judge_todo` holds. The catalog is attached as `cat`, in a transaction."""
    connection.execute("INSERT INTO cat.lrm.claims SELECT ?, NULL, NULL, NULL, call FROM judge_todo", [run])


def drop_claims(connection: duckdb.DuckDBPyConnection, run: str, live: Collection[str]) -> None:
    """Give back the claims of a run, and those of the dead. The catalog is open for writing."""
    connection.execute(
        "DELETE FROM lrm.claims WHERE run = $run OR NOT list_contains($live, run)", {"run": run, "live": list(live)}
    )
