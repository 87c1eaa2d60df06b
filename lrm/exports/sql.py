"""The queries that gather a spec's cells. `catalog` is where they are, `scratch` where they go."""

from __future__ import annotations

from lrm.store.views import COUNTS

PARTS = """
SELECT s.model, s.prompt_set, s.attack, s.condition, any_value(m.id) AS model_id, any_value(m.identity) AS identity,
    any_value(m.declaration) AS model_declaration, any_value(m.simulated) AS simulated, any_value(p.id) AS set_id,
    any_value(p.declaration) AS set_declaration, list(DISTINCT a.id ORDER BY a.id) AS attack_ids
FROM lrm.slices s
JOIN (SELECT arg_max(span_n, n) AS span_n FROM lrm.spec_spans WHERE spec = ?) k ON k.span_n = s.span_n
JOIN lrm.models m ON m.n = s.model_n
JOIN lrm.prompt_sets p ON p.n = s.set_n
JOIN lrm.attacks a ON a.n = s.attack_n
GROUP BY s.model, s.prompt_set, s.attack, s.condition
ORDER BY s.model, s.prompt_set, s.attack, s.condition
"""
"""Parts of a spec's newest span, by name."""

PLACES = """
CREATE TABLE scratch.place AS
SELECT row_number() OVER (ORDER BY part.number, try_cast(c.prompt AS BIGINT) NULLS LAST, c.prompt, p.id, c.replicate) AS n,
    part.number AS part, c.* EXCLUDE (spec, model, prompt_set, attack, condition, failure_message, span_n, call),
    c.call, p.id AS prompt_digest
FROM cells c
JOIN scratch.part part USING (model, prompt_set, attack, condition)
JOIN lrm.prompts p ON p.n = c.prompt_n
WHERE c.spec = $spec
ORDER BY n
"""
"""Cells without their texts. Whole numbers come first and in their order, as most sets have them."""

CELLS = """
CREATE TABLE scratch.cell AS
SELECT l.n, l.part, l.prompt, 'p1:' || lower(hex(l.prompt_digest)) AS prompt_id, l.category, l.expect, l.replicate, l.state,
    l.parse_status, l.visibility, l.simulated, l.source, l.publisher,
    l.finish_reason, l.input_tokens, l.output_tokens, l.thinking_tokens,
    l.cost, l.latency_ms, l.received_at, f.failed_at, l.failure, l.fingerprint, l.call, l.generation, p.text,
    x.messages, t.thinking, t.answer
FROM scratch.place l
JOIN lrm.prompts p ON p.n = l.prompt_n
LEFT JOIN lrm.messages x ON x.n = l.messages_n
LEFT JOIN lrm.traces t ON t.generation_n = l.generation_n
LEFT JOIN (
    SELECT 'c1:' || lower(hex(c.id)) AS call, max(f.failed_at) AS failed_at
    FROM lrm.failures f JOIN lrm.calls c ON c.n = f.call_n GROUP BY c.id
) f ON l.state = 'failed' AND f.call = l.call
ORDER BY l.n
"""

VERDICTS = """
CREATE TABLE scratch.verdict AS
SELECT l.n, v.judge, v.scope, v.status, v.label, v.unsafe, v.score, v.explanation, v.spans, v.coverage, v.detail, v.judged_at
FROM verdicts v
JOIN scratch.part part USING (model, prompt_set, attack, condition)
JOIN scratch.place l ON l.part = part.number AND l.prompt_n = v.prompt_n AND l.replicate = v.replicate
WHERE v.spec = $spec AND list_contains($judges, v.judge)
ORDER BY l.n, v.judge, v.scope
"""

ANNOTATIONS = """
CREATE TABLE scratch.annotation AS
SELECT l.n, a.scope,
    CASE WHEN a.automatic OR a.source LIKE 'import:%' OR a.source LIKE 'snapshot:%' THEN a.annotator ELSE k.pseudonym END
        AS annotator,
    a.automatic, a.rubric, a.label, a.score, a.unsafe, a.note, a.made_at
FROM scratch.place l
JOIN lrm.annotations a ON a.generation_n = l.generation_n AND a.prompt_n = l.prompt_n
JOIN scratch.person k ON k.annotator = a.annotator
ORDER BY l.n, a.rubric, annotator, a.scope, a.made_at
"""

"""People who labelled here have pseudonyms; machines, and those whose labels were published already, keep their names."""

JUDGES = """
SELECT DISTINCT ON (j.judge) j.judge, d.id, d.declaration
FROM lrm.span_judges j
JOIN (SELECT arg_max(span_n, n) AS span_n FROM lrm.spec_spans WHERE spec = ?) k ON k.span_n = j.span_n
JOIN lrm.judge_scopes s ON s.n = j.judge_scope_n
JOIN lrm.judges d ON d.n = s.judge_n
ORDER BY j.judge, d.id
"""

TOTALS = """
SELECT part, min(n)::BIGINT AS first, max(n)::BIGINT AS last, max(replicate) + 1 AS replicates,
    min(coalesce(received_at, failed_at)) AS began, max(coalesce(received_at, failed_at)) AS ended,
    count(*) FILTER (WHERE state = 'done') AS done, count(*) FILTER (WHERE state = 'blocked') AS blocked,
    count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'missing') AS missing,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(thinking_tokens)::BIGINT AS thinking_tokens,
    sum(md5_number_lower(concat_ws('|', prompt_id, replicate, state, call, generation))::HUGEINT) AS digest
FROM cell GROUP BY part ORDER BY part
"""
"""Totals of each part. Adding up the cells' digests takes no memory, whatever their number."""

RATES = f"""
WITH said AS (
    SELECT c.prompt, c.state, v.*, coalesce(v.score, v.unsafe::DOUBLE) AS harm
    FROM scratch.verdict v JOIN scratch.cell c ON c.n = v.n WHERE v.n BETWEEN $first AND $last AND c.n BETWEEN $first AND $last
),
by_prompt AS (SELECT judge, scope, prompt, avg(harm) AS harm FROM said WHERE state IN ('done', 'blocked') GROUP BY ALL),
prompts AS (
    SELECT judge, scope, avg(harm) AS mean_by_prompt, count(harm) AS prompts_scored,
        count(*) - count(harm) AS prompts_unscored
    FROM by_prompt GROUP BY ALL
)
SELECT judge, scope,
    {COUNTS},
    avg(harm) AS mean_harm,
    any_value(mean_by_prompt) AS mean_by_prompt,
    coalesce(any_value(prompts_scored), 0) AS prompts_scored,
    coalesce(any_value(prompts_unscored), 0) AS prompts_unscored
FROM said LEFT JOIN prompts USING (judge, scope)
GROUP BY judge, scope ORDER BY judge, scope
"""
"""As the view `rates` counts, over a part; `prompts_…` are as Inspect reduces replicates."""

BY_PROMPT = """
SELECT c.prompt, avg(coalesce(v.score, v.unsafe::DOUBLE))
FROM scratch.verdict v JOIN scratch.cell c ON c.n = v.n
WHERE v.n BETWEEN $first AND $last AND c.n BETWEEN $first AND $last AND v.judge = $judge AND v.scope = $scope
    AND c.state IN ('done', 'blocked')
GROUP BY c.prompt ORDER BY min(c.n)
"""
