"""The sixth schema: snapshots that were pulled, and what came with which of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrm.store.views import drop_views, make_views

if TYPE_CHECKING:
    import duckdb

TABLES = """
-- One row a snapshot that was merged. `name` is `ORG/NAME` on the Hub, or the name of a folder; `publisher` is ORG.
-- `commit` is the repository's; `sha256` is that of the manifest. Results of a publisher who is not trusted fill no cell.
CREATE TABLE lrm.snapshots (
    n INTEGER PRIMARY KEY, name VARCHAR NOT NULL, publisher VARCHAR, commit VARCHAR, sha256 VARCHAR NOT NULL,
    specs VARCHAR[] NOT NULL, generations BIGINT NOT NULL, verdicts BIGINT NOT NULL, pulled_at TIMESTAMP NOT NULL,
    version VARCHAR NOT NULL, trusted BOOLEAN NOT NULL
);
-- Responses that came with a snapshot; all others were received or imported here.
CREATE TABLE lrm.pulled (generation_n INTEGER NOT NULL, snapshot_n INTEGER NOT NULL);
-- Verdicts on what another verdict of the same judge is kept for: that one was made earlier.
CREATE TABLE lrm.other_verdicts (
    generation_n INTEGER NOT NULL, judge_scope_n INTEGER NOT NULL, prompt_n INTEGER NOT NULL, status VARCHAR NOT NULL,
    label VARCHAR, unsafe BOOLEAN, score DOUBLE, explanation VARCHAR, spans VARCHAR NOT NULL, judged_at TIMESTAMP NOT NULL,
    coverage DOUBLE, detail VARCHAR, against_n INTEGER DEFAULT 0, snapshot_n INTEGER
);
-- The files of specs that came with snapshots: TOML and lock, without endpoints.
CREATE TABLE lrm.spec_texts (spec VARCHAR PRIMARY KEY, text VARCHAR NOT NULL, lock VARCHAR);
-- What makes the pseudonyms of this catalog's annotators: known to nobody who has only a snapshot.
CREATE TABLE lrm.pseudonyms (key VARCHAR NOT NULL);
INSERT INTO lrm.pseudonyms SELECT gen_random_uuid()::VARCHAR || gen_random_uuid()::VARCHAR;
"""


def upgrade(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the tables of snapshots, and make the views anew."""
    drop_views(connection)
    connection.execute(TABLES)
    make_views(connection)
