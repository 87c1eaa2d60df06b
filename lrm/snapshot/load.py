"""Loading: rows of a snapshot become rows of a catalog's tables, as a set union.

The same statements fill a colleague's catalog (`lrm.snapshot.merge`) and, without texts, a passing one in memory, from which
tables for readers are made and references checked (`lrm.snapshot.derive`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.snapshot.frames import whole
from lrm.snapshot.tables import BY_NAME, Kind, Table
from lrm.store.trust import choose_first, pulled_with

if TYPE_CHECKING:
    import duckdb

_SQL_TYPES: dict[Kind, str] = {
    "string": "VARCHAR", "strings": "VARCHAR[]", "int32": "INTEGER", "int64": "BIGINT", "float64": "DOUBLE",
    "bool": "BOOLEAN", "timestamp": "TIMESTAMP",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stamp:
    """What merged rows say of where they came from."""

    run: str
    """For responses: `snapshot:NAME@COMMIT`."""
    snapshot_n: int
    """Number of the snapshot in this catalog."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was new."""

    generations: int = 0
    calls: int = 0
    """Calls that had no response before."""
    verdicts: int = 0
    annotations: int = 0
    prompts: int = 0
    rivals: int = 0
    """Responses to calls that had another one already: both are kept."""
    other_verdicts: int = 0
    """Verdicts that differ from one of the same judge on the same text: both are kept, the earlier one counts."""
    waiting: int = 0
    """Responses whose prompts are withheld and not known here: they are left out until they are."""
    withheld: int = 0
    """Responses whose own texts are withheld: they cannot be taken."""


def offer(
    connection: duckdb.DuckDBPyConnection, folder: Path, files: Mapping[str, Sequence[str]], *, texts: bool = True
) -> None:
    """Make a view `in_TABLE` over the shards of each table; without `texts` no column of texts is read."""
    for table in BY_NAME.values():
        connection.execute(f"CREATE OR REPLACE TEMP VIEW in_{table.name} AS {_view(table, folder, files, texts=texts)}")


def parquet_path(path: Path) -> str:
    """Return SQL of a path for `read_parquet`, which would take some signs in it for a pattern."""
    plain = re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", str(path))
    return "'" + plain.replace("'", "''") + "'"


def _view(table: Table, folder: Path, files: Mapping[str, Sequence[str]], *, texts: bool) -> str:
    if not files.get(table.name):
        columns = ", ".join(f'NULL::{_SQL_TYPES[one.kind]} AS "{one.name}"' for one in table.columns)
        return f"SELECT {columns} WHERE false"
    shards = ", ".join(map(parquet_path, (folder / path for path in files[table.name])))
    columns = ", ".join(_seen(table, one.name, texts=texts) for one in table.columns)
    return f"SELECT {columns} FROM read_parquet([{shards}], hive_partitioning = false, union_by_name = false)"


def _seen(table: Table, name: str, *, texts: bool) -> str:
    column = table.column(name)
    if texts or (column.family is None and name != "withheld"):
        return f'"{name}"'
    if name == "withheld":
        return 'false AS "withheld"'
    # Without texts every response has an empty frame, so that none is looked for in `raw`.
    return f"""{"NULL" if table.name == "raw" else "''"} AS "{name}\""""


_DECLARED = """
INSERT INTO lrm.models
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.models) + row_number() OVER (ORDER BY id), {id}, name, identity, declaration,
        visibility, simulated
    FROM in_declarations d WHERE kind = 'model' AND NOT EXISTS (SELECT 1 FROM lrm.models k WHERE k.id = {id});
INSERT INTO lrm.attacks
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.attacks) + row_number() OVER (ORDER BY id), {id}, name, identity, declaration
    FROM in_declarations d WHERE kind = 'attack' AND NOT EXISTS (SELECT 1 FROM lrm.attacks k WHERE k.id = {id});
INSERT INTO lrm.judges
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.judges) + row_number() OVER (ORDER BY id), {id}, name, identity, declaration,
        harm_for
    FROM in_declarations d WHERE kind = 'judge' AND NOT EXISTS (SELECT 1 FROM lrm.judges k WHERE k.id = {id});
CREATE OR REPLACE TEMP TABLE t_scopes AS
    SELECT DISTINCT j.n AS judge_n, i.scope FROM (
        SELECT judge_id, scope FROM in_chosen_judges UNION SELECT judge_id, scope FROM in_verdicts
    ) i JOIN lrm.judges j ON j.id = unhex(i.judge_id[4:]);
INSERT INTO lrm.judge_scopes
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.judge_scopes) + row_number() OVER (ORDER BY judge_n, scope), judge_n, scope
    FROM t_scopes t ANTI JOIN lrm.judge_scopes USING (judge_n, scope);
INSERT INTO lrm.imports
    SELECT {id}, name, format, file, sha256, options, rows, responses, labels, skipped, facts, stated, unknown, as_cache,
        imported_at, version
    FROM in_imports d WHERE NOT EXISTS (SELECT 1 FROM lrm.imports k WHERE k.id = {id});
""".replace("{id}", "unhex(d.id[4:])")

_PROMPTS = """
INSERT INTO lrm.prompts
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.prompts) + row_number() OVER (ORDER BY id), unhex(id[4:]), prompt, text, system,
        turns, category, expect, meta
    FROM in_prompts d WHERE NOT withheld AND unhex(id[4:]) NOT IN (SELECT id FROM lrm.prompts);
CREATE OR REPLACE TEMP TABLE t_members AS
    SELECT unhex(i.prompt_set_id[4:]) AS id, i.ordinal, p.n AS prompt_n FROM in_prompt_sets i
    LEFT JOIN lrm.prompts p ON p.id = unhex(i.prompt_id[4:]);
CREATE OR REPLACE TEMP TABLE t_sets AS
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.prompt_sets) + row_number() OVER (ORDER BY d.id) AS n, unhex(d.id[4:]) AS id,
        d.name, d.declaration, d.size
    FROM in_declarations d
    WHERE d.kind = 'prompt_set' AND unhex(d.id[4:]) NOT IN (SELECT id FROM lrm.prompt_sets)
        AND unhex(d.id[4:]) NOT IN (SELECT id FROM t_members WHERE prompt_n IS NULL);
INSERT INTO lrm.prompt_sets FROM t_sets;
INSERT INTO lrm.prompt_set_members SELECT s.n, m.ordinal, m.prompt_n FROM t_members m JOIN t_sets s ON s.id = m.id ORDER BY ALL;
INSERT INTO lrm.messages
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.messages) + row_number() OVER (), unhex(i.id[4:]), i.messages
    FROM in_messages i WHERE NOT withheld AND unhex(i.id[4:]) NOT IN (SELECT id FROM lrm.messages);
"""

# An attack with other models in it may have ended otherwise in two catalogs: the end that came first counts in both.
_RENDERINGS = """
CREATE OR REPLACE TEMP TABLE t_renderings AS
    SELECT k.n AS attack_n, p.n AS prompt_n, m.n AS messages_n, i.pursued, i.ended_at
    FROM (
        SELECT attack_id, prompt_id, messages_id, false AS pursued, NULL::TIMESTAMP AS ended_at FROM in_renderings
        UNION ALL SELECT attack_id, prompt_id, messages_id, true, ended_at FROM in_pursuits
    ) i
    JOIN lrm.attacks k ON k.id = unhex(i.attack_id[4:]) JOIN lrm.prompts p ON p.id = unhex(i.prompt_id[4:])
    LEFT JOIN lrm.messages m ON m.id = unhex(i.messages_id[4:])
    WHERE i.messages_id IS NULL OR m.n IS NOT NULL;
DELETE FROM t_renderings WHERE pursued AND (attack_n, prompt_n) IN (
    SELECT (e.attack_n, e.prompt_n) FROM lrm.pursuits e JOIN t_renderings t ON t.attack_n = e.attack_n AND t.prompt_n = e.prompt_n
    WHERE t.pursued AND e.ended_at <= t.ended_at
);
DELETE FROM lrm.pursuits WHERE (attack_n, prompt_n) IN (SELECT (attack_n, prompt_n) FROM t_renderings WHERE pursued);
INSERT INTO lrm.pursuits
    SELECT t.attack_n, t.prompt_n, i.outcome, i.score, coalesce(i.history, '{}'), i.ended_at, $run
    FROM in_pursuits i JOIN lrm.attacks k ON k.id = unhex(i.attack_id[4:]) JOIN lrm.prompts p ON p.id = unhex(i.prompt_id[4:])
    JOIN t_renderings t ON t.attack_n = k.n AND t.prompt_n = p.n AND t.pursued;
UPDATE lrm.renderings SET messages_n = t.messages_n FROM t_renderings t
    WHERE t.pursued AND lrm.renderings.attack_n = t.attack_n AND lrm.renderings.prompt_n = t.prompt_n;
INSERT INTO lrm.renderings
    SELECT attack_n, prompt_n, messages_n FROM t_renderings t ANTI JOIN lrm.renderings USING (attack_n, prompt_n);
UPDATE lrm.pursuits SET history = i.history
    FROM in_pursuits i JOIN lrm.attacks k ON k.id = unhex(i.attack_id[4:]) JOIN lrm.prompts p ON p.id = unhex(i.prompt_id[4:])
    WHERE lrm.pursuits.attack_n = k.n AND lrm.pursuits.prompt_n = p.n AND lrm.pursuits.ended_at = i.ended_at
        AND lrm.pursuits.history = '{}' AND i.history IS NOT NULL;
"""

_RESPONSES = """
CREATE OR REPLACE TEMP TABLE t_calls AS
    SELECT unhex(i.id[4:]) AS id, m.n AS model_n, x.n AS messages_n, i.number
    FROM in_calls i JOIN lrm.models m ON m.id = unhex(i.model_id[4:]) LEFT JOIN lrm.messages x ON x.id = unhex(i.messages_id[4:]);
INSERT INTO lrm.calls
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.calls) + row_number() OVER (), t.id, t.model_n, t.messages_n, t.number, NULL
    FROM t_calls t WHERE t.messages_n IS NOT NULL AND t.id NOT IN (SELECT id FROM lrm.calls);
CREATE OR REPLACE TEMP TABLE t_touched AS
    SELECT c.n, c.id, c.generation_n IS NOT NULL AS answered FROM lrm.calls c JOIN t_calls t ON t.id = c.id;
CREATE OR REPLACE TEMP TABLE t_generations AS
    SELECT unhex(i.id[4:]) AS id, t.n AS call_n, t.answered, e.n AS known, r.withheld, i.received_at
    FROM in_generations i
    JOIN (SELECT generation_id, withheld FROM in_traces) r ON r.generation_id = i.id
    LEFT JOIN t_touched t ON t.id = unhex(i.call_id[4:])
    LEFT JOIN lrm.generations e ON e.id = unhex(i.id[4:]);
CREATE OR REPLACE TEMP TABLE t_fresh AS
    SELECT (SELECT coalesce(max(n), 0) FROM lrm.generations) + row_number() OVER () AS n, id, call_n, answered
    FROM t_generations WHERE known IS NULL AND call_n IS NOT NULL AND NOT withheld;
CREATE OR REPLACE TEMP TABLE t_received AS
    SELECT f.n, f.id AS key, f.call_n, r.sent, i.* FROM t_fresh f JOIN in_generations i ON unhex(i.id[4:]) = f.id
    LEFT JOIN (SELECT generation_id, sent FROM in_raw WHERE sent IS NOT NULL) r ON r.generation_id = i.id;
INSERT INTO lrm.generations
    SELECT i.n, i.key, i.call_n, i.status, {WHOLE}, i.finish_reason, i.input_tokens, i.output_tokens, i.thinking_tokens, i.cost,
        i.received_at, i.latency_ms, i.attempts, i.fingerprint, i.sent, i.source,
        CASE WHEN i.import_id IS NULL THEN $run ELSE 'import:' || i.import_id[4:] END
    FROM in_traces t JOIN t_received i ON i.id = t.generation_id WHERE t.frame IS NOT NULL;
INSERT INTO lrm.generations
    SELECT i.n, i.key, i.call_n, i.status, r.raw, i.finish_reason, i.input_tokens, i.output_tokens, i.thinking_tokens, i.cost,
        i.received_at, i.latency_ms, i.attempts, i.fingerprint, i.sent, i.source,
        CASE WHEN i.import_id IS NULL THEN $run ELSE 'import:' || i.import_id[4:] END
    FROM in_raw r JOIN t_received i ON i.id = r.generation_id
    WHERE r.raw IS NOT NULL AND r.generation_id NOT IN (SELECT generation_id FROM in_traces WHERE frame IS NOT NULL);
INSERT INTO lrm.traces
    SELECT f.n, unhex(i.id[4:]), i.splitter, i.status, i.visibility, i.thinking, i.answer
    FROM in_traces i JOIN t_fresh f ON f.id = unhex(i.generation_id[4:]);
""".replace("{WHOLE}", whole("t.frame", "t.thinking", "t.answer"))

# The same bytes received twice: what is said of the receipt is what was said first, so that all catalogs agree.
_EARLIER = """
CREATE OR REPLACE TEMP TABLE t_earlier AS
    SELECT t.known AS n, i.* FROM t_generations t JOIN lrm.generations g ON g.n = t.known
    JOIN in_generations i ON unhex(i.id[4:]) = t.id
    WHERE t.received_at < g.received_at AND g.source = i.source AND i.import_id IS NULL;
UPDATE lrm.generations SET sent = r.sent
    FROM in_raw r WHERE lrm.generations.sent IS NULL AND r.sent IS NOT NULL AND lrm.generations.id = unhex(r.generation_id[4:]);
UPDATE lrm.generations SET received_at = e.received_at, latency_ms = e.latency_ms, attempts = e.attempts, cost = e.cost,
        fingerprint = e.fingerprint, finish_reason = e.finish_reason, input_tokens = e.input_tokens,
        output_tokens = e.output_tokens, thinking_tokens = e.thinking_tokens
    FROM t_earlier e WHERE lrm.generations.n = e.n;
"""

_SAID = "status, label, unsafe, score"
_VERDICT = "generation_n, judge_scope_n, prompt_n, status, label, unsafe, score, explanation, spans, judged_at, coverage, detail, against_n"
_VERDICTS = f"""
CREATE OR REPLACE TEMP TABLE t_verdicts AS
    SELECT g.n AS generation_n, s.n AS judge_scope_n, coalesce(p.n, 0) AS prompt_n, i.status, i.label, i.unsafe, i.score,
        i.explanation, coalesce(i.spans, '[]') AS spans, i.judged_at, i.coverage, i.detail, coalesce(o.n, 0) AS against_n,
        i.withheld, i.rank
    FROM in_verdicts i JOIN lrm.generations g ON g.id = unhex(i.generation_id[4:])
    JOIN lrm.judges j ON j.id = unhex(i.judge_id[4:]) JOIN lrm.judge_scopes s ON s.judge_n = j.n AND s.scope = i.scope
    LEFT JOIN lrm.prompts p ON p.id = unhex(i.prompt_id[4:]) LEFT JOIN lrm.generations o ON o.id = unhex(i.against_id[4:])
    WHERE i.prompt_id IS NULL OR p.n IS NOT NULL;
CREATE OR REPLACE TEMP TABLE t_met AS
    SELECT DISTINCT t.generation_n, t.judge_scope_n, t.prompt_n FROM t_verdicts t
    SEMI JOIN lrm.verdicts USING (generation_n, judge_scope_n, prompt_n)
    UNION SELECT generation_n, judge_scope_n, prompt_n FROM t_verdicts WHERE rank > 0;
INSERT INTO lrm.verdicts ({_VERDICT})
    SELECT {_VERDICT} FROM t_verdicts t ANTI JOIN t_met USING (generation_n, judge_scope_n, prompt_n);
"""

# Where a judge said something of a text already: what both say alike is there once, the earliest counts, the others are kept.
_RANKED = f"""
CREATE OR REPLACE TEMP TABLE t_all AS
    SELECT {_VERDICT}, withheld, $snapshot_n AS snapshot_n FROM t_verdicts SEMI JOIN t_met USING (generation_n, judge_scope_n, prompt_n)
    UNION ALL
    SELECT {_VERDICT}, false, NULL FROM lrm.verdicts SEMI JOIN t_met USING (generation_n, judge_scope_n, prompt_n)
    UNION ALL
    SELECT {_VERDICT}, false, snapshot_n FROM lrm.other_verdicts SEMI JOIN t_met USING (generation_n, judge_scope_n, prompt_n);
CREATE OR REPLACE TEMP TABLE t_said AS
    SELECT * FROM t_all QUALIFY row_number() OVER (
        PARTITION BY generation_n, judge_scope_n, prompt_n, {_SAID}
        ORDER BY explanation IS NULL AND detail IS NULL, judged_at, explanation, spans, coverage, detail, against_n = 0, snapshot_n
    ) = 1;
CREATE OR REPLACE TEMP TABLE t_ranked AS
    SELECT *, row_number() OVER (
        PARTITION BY generation_n, judge_scope_n, prompt_n
        ORDER BY status IN ('judge_failed', 'not_judged'), judged_at, {_SAID}, explanation, spans, coverage, detail
    ) - 1 AS rank FROM t_said;
DELETE FROM lrm.verdicts WHERE (generation_n, judge_scope_n, prompt_n) IN (SELECT (generation_n, judge_scope_n, prompt_n) FROM t_met);
DELETE FROM lrm.other_verdicts
    WHERE (generation_n, judge_scope_n, prompt_n) IN (SELECT (generation_n, judge_scope_n, prompt_n) FROM t_met);
INSERT INTO lrm.verdicts ({_VERDICT}) SELECT {_VERDICT} FROM t_ranked WHERE rank = 0;
INSERT INTO lrm.other_verdicts ({_VERDICT}, snapshot_n) SELECT {_VERDICT}, snapshot_n FROM t_ranked WHERE rank > 0;
"""

_ANNOTATIONS = """
INSERT INTO lrm.annotations
    SELECT unhex(i.id[4:]), m.n, k.n, p.n, i.number, g.n, i.scope, i.annotator, i.automatic, i.rubric, i.label, i.score, i.unsafe,
        i.note, coalesce(i.spans, '[]'), i.made_at,
        CASE WHEN i.import_id IS NULL THEN $run ELSE 'import:' || i.import_id[4:] END
    FROM in_annotations i JOIN lrm.models m ON m.id = unhex(i.model_id[4:]) JOIN lrm.attacks k ON k.id = unhex(i.attack_id[4:])
    JOIN lrm.prompts p ON p.id = unhex(i.prompt_id[4:]) LEFT JOIN lrm.generations g ON g.id = unhex(i.generation_id[4:])
    WHERE NOT i.withheld AND (i.generation_id IS NULL OR g.n IS NOT NULL)
        AND unhex(i.id[4:]) NOT IN (SELECT id FROM lrm.annotations) AND i.id NOT IN (SELECT unnest($own::VARCHAR[]));
"""

_MATCHED = """
CREATE OR REPLACE TEMP TABLE t_slices AS
    SELECT i.spec, m.n AS model_n, i.model, s.n AS set_n, i.prompt_set, k.n AS attack_n, i.attack, i.replicates, i.condition,
        i.first_replicate
    FROM in_slices i JOIN lrm.models m ON m.id = unhex(i.model_id[4:]) JOIN lrm.attacks k ON k.id = unhex(i.attack_id[4:])
    JOIN lrm.prompt_sets s ON s.id = unhex(i.prompt_set_id[4:]);
CREATE OR REPLACE TEMP TABLE t_judges AS
    SELECT i.spec, s.n AS judge_scope_n, i.judge, i.prompt_sets, i.against
    FROM in_chosen_judges i JOIN lrm.judges j ON j.id = unhex(i.judge_id[4:])
    JOIN lrm.judge_scopes s ON s.judge_n = j.n AND s.scope = i.scope;
"""


def load(connection: duckdb.DuckDBPyConnection, stamp: Stamp, *, own_labels: Sequence[str] = ()) -> Loaded:
    """Add the rows that `offer` offers to the `lrm` tables of the connection's database; return what was new.

    Ends with the tables `t_slices` and `t_judges`, which `lrm.snapshot.spans` makes specs of. `own_labels` are labels of
    this catalog by the ids that they have abroad. The row of `lrm.snapshots` that the stamp names is there already.
    """
    values = {"run": stamp.run, "snapshot_n": stamp.snapshot_n, "own": list(own_labels)}
    before = {
        name: _count(connection, f"lrm.{name}") for name in ("prompts", "verdicts", "other_verdicts", "annotations")
    }
    for statements in (_DECLARED, _PROMPTS, _RENDERINGS, _RESPONSES, _EARLIER, _VERDICTS):
        _run(connection, statements, values)
    if _count(connection, "t_met"):
        _run(connection, _RANKED, values)
    _run(connection, _ANNOTATIONS + _MATCHED, values)
    came = "SELECT g.n FROM lrm.generations g SEMI JOIN t_generations t ON t.id = g.id"
    pulled_with(connection, stamp.snapshot_n, came, "SELECT n FROM t_fresh")
    choose_first(connection, "SELECT n FROM t_touched")
    new = {name: _count(connection, f"lrm.{name}") - count for name, count in before.items()}
    return Loaded(
        generations=_count(connection, "t_fresh"),
        calls=_count(connection, "(SELECT DISTINCT call_n FROM t_fresh WHERE NOT answered)"),
        verdicts=new["verdicts"],
        annotations=new["annotations"],
        prompts=new["prompts"],
        rivals=_count(connection, "t_fresh WHERE answered"),
        other_verdicts=new["other_verdicts"],
        waiting=_count(connection, "t_generations WHERE call_n IS NULL AND NOT withheld"),
        withheld=_count(connection, "t_generations WHERE withheld"),
    )


def _run(connection: duckdb.DuckDBPyConnection, statements: str, values: Mapping[str, object]) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            used = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, used or None)


def _count(connection: duckdb.DuckDBPyConnection, what: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {what}").fetchall()[0][0])
