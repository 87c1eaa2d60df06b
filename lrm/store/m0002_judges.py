"""The second schema: verdicts that say what they rest on, judges by prompt set, labels of people, imports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrm.store.views import drop_views

if TYPE_CHECKING:
    import duckdb

TABLES = """
-- `coverage` is the share of the text that was judged; `detail` is JSON: replies, votes, attributes …; `against_n` is the
-- response that a pairwise judge compared with, 0 for every other judge.
ALTER TABLE lrm.verdicts ADD COLUMN coverage DOUBLE;
UPDATE lrm.verdicts SET coverage = 1.0 WHERE status = 'ok';
ALTER TABLE lrm.verdicts ADD COLUMN detail VARCHAR;
ALTER TABLE lrm.verdicts ADD COLUMN against_n INTEGER DEFAULT 0;
-- The sets whose cells a judge looks at, NULL is every set; and the model that a pairwise judge compares with, whose own
-- cells it does not look at.
ALTER TABLE lrm.span_judges ADD COLUMN prompt_sets VARCHAR[];
ALTER TABLE lrm.span_judges ADD COLUMN against VARCHAR;

-- Labels. The cell is named whole, so that one without a response can be labelled too; `generation_n` is the response.
CREATE TABLE lrm.annotations (
    id BLOB NOT NULL, model_n INTEGER NOT NULL, attack_n INTEGER NOT NULL, prompt_n INTEGER NOT NULL,
    replicate INTEGER NOT NULL, generation_n INTEGER, scope VARCHAR NOT NULL, annotator VARCHAR NOT NULL,
    automatic BOOLEAN NOT NULL, rubric VARCHAR NOT NULL, label VARCHAR, score DOUBLE, unsafe BOOLEAN, note VARCHAR,
    spans VARCHAR NOT NULL, made_at TIMESTAMP, source VARCHAR NOT NULL
);
CREATE TABLE lrm.imports (
    id BLOB PRIMARY KEY, name VARCHAR NOT NULL, format VARCHAR NOT NULL, file VARCHAR NOT NULL, sha256 VARCHAR NOT NULL,
    options VARCHAR NOT NULL, rows INTEGER NOT NULL, responses INTEGER NOT NULL, labels INTEGER NOT NULL,
    skipped INTEGER NOT NULL, facts VARCHAR NOT NULL, stated VARCHAR NOT NULL, unknown VARCHAR NOT NULL, as_cache VARCHAR,
    imported_at TIMESTAMP NOT NULL, version VARCHAR NOT NULL
);
"""


def upgrade(connection: duckdb.DuckDBPyConnection) -> None:
    """Add what judges that ask models, imports and annotations need. The views are those of a later migration now."""
    drop_views(connection)
    connection.execute(TABLES)
