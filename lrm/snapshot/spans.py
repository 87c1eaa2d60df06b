"""Spans out of snapshots: a pulled spec can be looked at as one that was filled here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

SNAPSHOT = "snapshot:"
"""What the file of a spec begins with that is known from snapshots only."""

# A slice is named by what the spec calls it. Where both know one by the same names, a spec that was filled here stays as it
# is. One that is known from snapshots only becomes the union: the most replicates, and all scopes of a judge; where both
# declare something otherwise under one name, it becomes what the newest says.
_SPAN = """
CREATE OR REPLACE TEMP TABLE t_span AS
    SELECT model_n, model, set_n, prompt_set, attack_n, attack, replicates, condition, first_replicate FROM lrm.slices
    WHERE span_n = $span AND ($local OR (model, prompt_set, attack, condition, first_replicate) NOT IN (
        SELECT (model, prompt_set, attack, condition, first_replicate) FROM t_slices WHERE spec = $spec
    ))
    UNION ALL
    SELECT model_n, model, set_n, prompt_set, attack_n, attack,
        greatest(replicates, (
            SELECT max(e.replicates) FROM lrm.slices e
            WHERE e.span_n = $span AND (e.model_n, e.model, e.set_n, e.prompt_set, e.attack_n, e.attack, e.condition, e.first_replicate)
                = (t.model_n, t.model, t.set_n, t.prompt_set, t.attack_n, t.attack, t.condition, t.first_replicate)
        )) AS replicates, condition, first_replicate
    FROM t_slices t
    WHERE spec = $spec AND NOT ($local AND (model, prompt_set, attack, condition) IN (
        SELECT (model, prompt_set, attack, condition) FROM lrm.slices WHERE span_n = $span
    ));
CREATE OR REPLACE TEMP TABLE t_span_judges AS
    SELECT judge_scope_n, judge, prompt_sets, against FROM lrm.span_judges
    WHERE span_n = $span AND ($local OR judge NOT IN (SELECT judge FROM t_judges WHERE spec = $spec) OR (
        judge_scope_n NOT IN (SELECT judge_scope_n FROM t_judges WHERE spec = $spec) AND judge_scope_n IN (
            SELECT s.n FROM lrm.judge_scopes s JOIN lrm.judge_scopes o ON o.judge_n = s.judge_n
            JOIN t_judges t ON t.judge_scope_n = o.n WHERE t.spec = $spec
        )
    ))
    UNION
    SELECT judge_scope_n, judge, prompt_sets, against FROM t_judges
    WHERE spec = $spec AND NOT ($local AND judge IN (SELECT judge FROM lrm.span_judges WHERE span_n = $span));
"""
_DIFFERS = """
SELECT (SELECT count(*) FROM (
    (FROM t_span EXCEPT ALL SELECT {slice} FROM lrm.slices WHERE span_n = $span)
    UNION ALL (SELECT {slice} FROM lrm.slices WHERE span_n = $span EXCEPT ALL FROM t_span)
)) + (SELECT count(*) FROM (
    (FROM t_span_judges EXCEPT SELECT {judge} FROM lrm.span_judges WHERE span_n = $span)
    UNION ALL (SELECT {judge} FROM lrm.span_judges WHERE span_n = $span EXCEPT FROM t_span_judges)
))
"""
_SLICE = "model_n, model, set_n, prompt_set, attack_n, attack, replicates, condition, first_replicate"
_JUDGE = "judge_scope_n, judge, prompt_sets, against"


def take_spans(connection: duckdb.DuckDBPyConnection, file: str, now: datetime) -> tuple[str, ...]:
    """Make the specs of a snapshot specs of this catalog, after `load`; return the names of those that changed.

    `file` stands where a spec that was filled here has its file. A spec of the same name keeps what it has, and spans from
    now on what the snapshot has besides.
    """
    changed = []
    for (spec,) in connection.execute("SELECT DISTINCT spec FROM t_slices ORDER BY spec").fetchall():
        known = connection.execute(
            "SELECT span_n, file FROM lrm.spec_spans WHERE spec = ? ORDER BY n DESC LIMIT 1", [spec]
        ).fetchall()
        span, present = known[0] if known else (0, None)
        local = bool(known) and not str(present or "").startswith(SNAPSHOT)
        for statement in _SPAN.split(";"):
            if statement.strip():
                connection.execute(statement, {"span": span, "spec": spec, "local": local})
        query = _DIFFERS.format(slice=_SLICE, judge=_JUDGE)
        if not connection.execute(query, {"span": span}).fetchall()[0][0]:
            continue
        number = connection.execute("SELECT coalesce(max(n), 0) + 1 FROM lrm.spans").fetchall()[0][0]
        connection.execute("INSERT INTO lrm.spans VALUES (?, ?)", [number, now])
        connection.execute("INSERT INTO lrm.slices BY NAME SELECT ? AS span_n, * FROM t_span ORDER BY ALL", [number])
        connection.execute("INSERT INTO lrm.span_judges BY NAME SELECT ? AS span_n, * FROM t_span_judges", [number])
        connection.execute(
            "INSERT INTO lrm.spec_spans SELECT coalesce(max(n), 0) + 1, ?, ?, ?, ? FROM lrm.spec_spans",
            [spec, number, present if local else file, now],
        )
        changed.append(spec)
    return tuple(changed)
