"""The fourth schema: conditions as an axis of the matrix, and what came of attacks with other models in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrm.store.views import drop_views

if TYPE_CHECKING:
    import duckdb

TABLES = """
-- The condition's name, and the replicate that a slice begins with: an attack with other models in it goes another way for
-- each replicate, so each has a slice, and an attack, of its own.
ALTER TABLE lrm.slices ADD COLUMN condition VARCHAR DEFAULT 'none';
ALTER TABLE lrm.slices ADD COLUMN first_replicate INTEGER DEFAULT 0;
-- How an attack with other models in it ended for a prompt. Until then `messages_n` of its rendering is 0: not known yet.
CREATE TABLE lrm.pursuits (
    attack_n INTEGER NOT NULL, prompt_n INTEGER NOT NULL, outcome VARCHAR NOT NULL, score DOUBLE,
    history VARCHAR USING COMPRESSION zstd NOT NULL, ended_at TIMESTAMP NOT NULL, run VARCHAR NOT NULL
);
"""


def upgrade(connection: duckdb.DuckDBPyConnection) -> None:
    """Add conditions to slices and the table of pursuits. The views are those of a later migration now."""
    drop_views(connection)
    connection.execute(TABLES)
