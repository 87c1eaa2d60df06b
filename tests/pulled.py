"""Rows as a merge of a snapshot leaves them, for tests of what is done with pulled results."""

from __future__ import annotations

from lrm import hashing
from lrm.store import trust
from lrm.store.catalog import Catalog

COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"


def snapshot(catalog: Catalog, name: str = "acme/r1", *, commit: str | None = COMMIT, trusted: bool = True) -> int:
    """Insert a snapshot, of a repository where the name has a slash and of a folder where not; return its number."""
    publisher = name.split("/", maxsplit=1)[0] if "/" in name else None
    with catalog.writing() as connection:
        (n,) = connection.execute("SELECT coalesce(max(n), 0) + 1 FROM lrm.snapshots").fetchall()[0]
        connection.execute(
            "INSERT INTO lrm.snapshots VALUES (?, ?, ?, ?, ?, ['spec'], 0, 0, TIMESTAMP '2026-01-01', '0', ?)",
            [n, name, publisher, commit if publisher else None, "0" * 64, trusted],
        )
    return int(n)


def mark(catalog: Catalog, snapshot_n: int, where: str = "true", *, run: str = "snapshot:acme/r1@1a2b3c4d5e6f") -> int:
    """Make responses that are there pulled ones: those of calls `c`, models `m` and responses `g` for which `where` holds."""
    query = f"""
        SELECT g.n FROM lrm.generations g JOIN lrm.calls c ON c.n = g.call_n JOIN lrm.models m ON m.n = c.model_n
        JOIN lrm.messages x ON x.n = c.messages_n WHERE {where}
    """
    with catalog.writing() as connection:
        connection.execute(f"CREATE TEMP TABLE came AS {query}")
        connection.execute("UPDATE lrm.generations SET run = ? WHERE n IN (SELECT n FROM came)", [run])
        return trust.pulled_with(connection, snapshot_n, "SELECT n FROM came", "SELECT n FROM came")


def other_response(catalog: Catalog, call: bytes, raw: str, *, at: str) -> int:
    """Insert one more response to a call, received at `at`, with an empty trace; point nothing to it. Return its number."""
    generation = hashing.generation_id(call, raw.encode())
    with catalog.writing() as connection:
        (n,) = connection.execute("SELECT max(n) + 1 FROM lrm.generations").fetchall()[0]
        connection.execute(
            """
            INSERT INTO lrm.generations
                SELECT $n, $id, c.n, 'ok', $raw, 'stop', 1, 1, NULL, NULL, $at::TIMESTAMP, 1, 1, NULL, NULL, 'run', 'r'
                FROM lrm.calls c WHERE c.id = $call
            """,
            {"n": n, "id": generation, "raw": raw, "at": at, "call": call},
        )
        trace = hashing.trace_id(generation, "none", None, "said")
        connection.execute("INSERT INTO lrm.traces VALUES (?, ?, 1, 'none', 'visible', NULL, 'said')", [n, trace])
    return int(n)
