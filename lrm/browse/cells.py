"""The cells of a slice as one piece of SQL: every query here starts from it, and DuckDB drops what it does not need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lrm.browse.axes import NOTHING, VERDICT_AXES, Slice, level

_CONDITION = """
coalesce(nullif(concat_ws(', ',
    'effort ' || (m.identity ->> '$.effort'), 'budget ' || (m.identity ->> '$.budget_tokens'),
    CAST(m.identity -> '$.switch' AS VARCHAR)), ''), 'default')
"""
_CELLS = """
SELECT
    newest.spec, s.model, s.model_n, s.prompt_set, s.set_n, s.attack, s.attack_n, b.prompt_n, b.ordinal,
    r.replicate::INTEGER AS replicate, x.messages_n, p.key AS prompt, p.category AS categories, p.expect,
    c.n AS call_n, g.n AS generation_n,
    CASE WHEN g.status = 'blocked' THEN 'blocked' WHEN g.n IS NOT NULL THEN 'done' WHEN f.call_n IS NOT NULL THEN 'failed'
         ELSE 'missing' END AS state,
    t.status AS parse_status,
    CASE t.status WHEN 'summary_only' THEN 'summary' WHEN 'withheld' THEN 'hidden'
         ELSE coalesce(t.visibility, m.visibility) END AS visibility,
    CASE WHEN m.simulated THEN 'simulated' WHEN coalesce(g.source, 'run') = 'run' AND NOT m.imported THEN 'run'
         ELSE 'imported' END AS origin,
    m.condition, g.input_tokens, g.output_tokens, g.thinking_tokens, g.cost, g.latency_ms, g.received_at, g.finish_reason
FROM (SELECT spec, arg_max(span_n, n) AS span_n FROM lrm.spec_spans GROUP BY spec) newest
JOIN {slices} s ON s.span_n = newest.span_n
JOIN (
    SELECT m.n, m.visibility, m.simulated, coalesce(m.declaration ->> '$.backend', '') = 'imported' AS imported,
        {condition} AS condition
    FROM lrm.models m
) m ON m.n = s.model_n
JOIN lrm.prompt_set_members b ON b.set_n = s.set_n
JOIN lrm.prompts p ON p.n = b.prompt_n
JOIN lrm.renderings x ON x.attack_n = s.attack_n AND x.prompt_n = b.prompt_n AND x.messages_n IS NOT NULL
CROSS JOIN LATERAL (SELECT unnest(range(s.replicates)) AS replicate) r
LEFT JOIN lrm.calls c ON c.model_n = s.model_n AND c.messages_n = x.messages_n AND c.replicate = r.replicate
LEFT JOIN lrm.generations g ON g.n = c.generation_n
LEFT JOIN lrm.traces t ON t.generation_n = g.n
LEFT JOIN (SELECT DISTINCT call_n FROM lrm.failures) f ON f.call_n = c.n
{where}
"""


_EACH_ONCE = """(
SELECT s.* FROM lrm.slices s
JOIN (SELECT arg_max(span_n, n) AS span_n, max(n) AS chosen_n FROM lrm.spec_spans GROUP BY spec) k ON k.span_n = s.span_n
QUALIFY row_number() OVER (PARTITION BY s.model_n, s.prompt_set, s.attack_n ORDER BY k.chosen_n DESC) = 1)
"""
"""Where several specs span the same part of the matrix, the one that was filled last counts."""


@dataclass(frozen=True, slots=True)
class Relation:
    """SQL that stands in parentheses, and the values that it is given by name."""

    sql: str
    values: dict[str, Any]


def cells(part: Slice) -> Relation:
    """Return the cells of a slice.

    Columns: spec, model, model_n, prompt_set, set_n, attack, attack_n, prompt_n, ordinal, replicate, messages_n, prompt,
    categories (a list), expect, call_n, generation_n, state, parse_status, visibility, origin, condition, and what the
    generation measured. A slice of all specs has what several of them span once, as the one that was filled last has it.
    """
    values: dict[str, Any] = {}
    before: list[str] = []
    after: list[str] = []
    if part.spec is not None:
        before.append("newest.spec = $spec")
        values["spec"] = part.spec
    for name, kept in part.only:
        if name in VERDICT_AXES:
            continue
        values[f"only_{name}"] = list(kept)
        early = _EARLY.get(name)
        if early is not None:
            before.append(f"list_contains($only_{name}, {early})")
        else:
            after.append(f"list_contains($only_{name}, {axis_sql(name)})")
    sql = _CELLS.format(
        slices="lrm.slices" if part.spec is not None else _EACH_ONCE,
        condition=_CONDITION,
        where="WHERE " + " AND ".join(before) if before else "",
    )
    if after:
        sql = f"SELECT * FROM ({sql}) WHERE {' AND '.join(after)}"
    return Relation(f"({sql})", values)


_EARLY = {"spec": "newest.spec", "model": "s.model", "prompt_set": "s.prompt_set", "attack": "s.attack"}
"""Axes by which slices of the matrix can be left out before anything is joined."""


def axis_sql(axis: str, table: str = "") -> str:
    """Return the value of a cell's axis as text, in terms of the columns of `cells`; `table` is its alias with a dot.

    Verdict axes have no expression here: they are columns of whatever verdicts are joined.
    """
    depth = level(axis)
    if depth is not None:
        return f"coalesce(nullif(array_to_string({table}categories[:{depth}], ' › '), ''), '{NOTHING}')"
    if axis == "replicate":
        return f"CAST({table}replicate AS VARCHAR)"
    if axis == "expect":
        return f"coalesce({table}expect, '{NOTHING}')"
    return f"{table}{axis}"


VERDICTS = """
SELECT v.generation_n, v.prompt_n, j.judge, s.scope, v.status, v.label,
    d.harm_for, v.unsafe, v.score, v.judge_scope_n, v.explanation, v.spans, v.coverage, v.detail, v.judged_at
FROM lrm.verdicts v JOIN lrm.judge_scopes s ON s.n = v.judge_scope_n JOIN lrm.judges d ON d.n = s.judge_n
"""
