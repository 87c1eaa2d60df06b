"""The fifth schema: the engines that fills loaded, so that a plan can say what GPU time the next one takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

TABLES = """
-- One row a start of an engine. `settings` is JSON: what was loaded, and how. Tokens are those of all its calls.
CREATE TABLE lrm.engines (
    run VARCHAR NOT NULL, checkpoint VARCHAR NOT NULL, settings VARCHAR NOT NULL, kind VARCHAR NOT NULL, device VARCHAR,
    gpus INTEGER NOT NULL, vllm VARCHAR, started_at TIMESTAMP NOT NULL, load_s DOUBLE, busy_s DOUBLE NOT NULL,
    prompt_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL, output_tokens BIGINT NOT NULL, fault VARCHAR
);
"""


def upgrade(connection: duckdb.DuckDBPyConnection) -> None:
    """Add the table of engines."""
    connection.execute(TABLES)
