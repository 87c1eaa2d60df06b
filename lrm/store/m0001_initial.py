"""The first schema: tables in schema `lrm`, numbered locally, named by content; views for people in `main`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

TABLES = """
CREATE SCHEMA lrm;

CREATE TABLE lrm.migrations (name VARCHAR PRIMARY KEY, applied_at TIMESTAMP NOT NULL);

-- Declarations as they were used. `n` numbers rows within this file; `id` names them everywhere.
CREATE TABLE lrm.models (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name VARCHAR NOT NULL, identity VARCHAR NOT NULL,
    declaration VARCHAR NOT NULL, visibility VARCHAR NOT NULL, simulated BOOLEAN NOT NULL
);
CREATE TABLE lrm.attacks (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name VARCHAR NOT NULL, identity VARCHAR NOT NULL,
    declaration VARCHAR NOT NULL
);
CREATE TABLE lrm.judges (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name VARCHAR NOT NULL, identity VARCHAR NOT NULL,
    declaration VARCHAR NOT NULL, harm_for VARCHAR NOT NULL
);
CREATE TABLE lrm.judge_scopes (n INTEGER PRIMARY KEY, judge_n INTEGER NOT NULL, scope VARCHAR NOT NULL);

-- Prompts: rows, the versions of a set that rows make up, and what each version was read from.
CREATE TABLE lrm.prompts (
    n INTEGER NOT NULL, id BLOB NOT NULL, key VARCHAR NOT NULL, text VARCHAR USING COMPRESSION zstd NOT NULL,
    system VARCHAR, turns VARCHAR NOT NULL, category VARCHAR[] NOT NULL, expect VARCHAR, meta VARCHAR NOT NULL
);
CREATE TABLE lrm.prompt_sets (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, name VARCHAR NOT NULL, declaration VARCHAR NOT NULL,
    size INTEGER NOT NULL
);
CREATE TABLE lrm.prompt_set_members (set_n INTEGER NOT NULL, ordinal INTEGER NOT NULL, prompt_n INTEGER NOT NULL);
CREATE TABLE lrm.sources (
    id BLOB PRIMARY KEY, set_n INTEGER NOT NULL, identity VARCHAR NOT NULL, sha256 VARCHAR, revision VARCHAR
);

-- What attacks made of prompts. `messages_n` is NULL where the attack has nothing for the prompt.
CREATE TABLE lrm.messages (n INTEGER NOT NULL, id BLOB NOT NULL, messages VARCHAR USING COMPRESSION zstd NOT NULL);
CREATE TABLE lrm.renderings (attack_n INTEGER NOT NULL, prompt_n INTEGER NOT NULL, messages_n INTEGER);

-- Calls and what came back. `generation_n` is the first response received; NULL while there is none.
CREATE TABLE lrm.calls (
    n INTEGER NOT NULL, id BLOB NOT NULL, model_n INTEGER NOT NULL, messages_n INTEGER NOT NULL,
    replicate INTEGER NOT NULL, generation_n INTEGER
);
CREATE TABLE lrm.generations (
    n INTEGER NOT NULL, id BLOB NOT NULL, call_n INTEGER NOT NULL, status VARCHAR NOT NULL,
    raw VARCHAR USING COMPRESSION zstd NOT NULL, finish_reason VARCHAR,
    input_tokens BIGINT, output_tokens BIGINT, thinking_tokens BIGINT, cost DOUBLE,
    received_at TIMESTAMP NOT NULL, latency_ms DOUBLE, attempts INTEGER NOT NULL, fingerprint VARCHAR,
    sent VARCHAR, source VARCHAR NOT NULL, run VARCHAR NOT NULL
);
CREATE TABLE lrm.failures (
    call_n INTEGER NOT NULL, kind VARCHAR NOT NULL, message VARCHAR NOT NULL, attempts INTEGER NOT NULL,
    failed_at TIMESTAMP NOT NULL, run VARCHAR NOT NULL
);
CREATE TABLE lrm.traces (
    generation_n INTEGER NOT NULL, id BLOB NOT NULL, splitter INTEGER NOT NULL, status VARCHAR NOT NULL,
    visibility VARCHAR NOT NULL, thinking VARCHAR USING COMPRESSION zstd, answer VARCHAR USING COMPRESSION zstd
);
-- `prompt_n` is 0 for a judge that looks at nothing of the prompt.
CREATE TABLE lrm.verdicts (
    generation_n INTEGER NOT NULL, judge_scope_n INTEGER NOT NULL, prompt_n INTEGER NOT NULL, status VARCHAR NOT NULL,
    label VARCHAR, unsafe BOOLEAN, score DOUBLE, explanation VARCHAR, spans VARCHAR NOT NULL, judged_at TIMESTAMP NOT NULL
);

-- What specs spanned. The newest row of `spec_spans` is a spec's current span.
CREATE TABLE lrm.spans (n INTEGER PRIMARY KEY, made_at TIMESTAMP NOT NULL);
CREATE TABLE lrm.slices (
    span_n INTEGER NOT NULL, model_n INTEGER NOT NULL, model VARCHAR NOT NULL, set_n INTEGER NOT NULL,
    prompt_set VARCHAR NOT NULL, attack_n INTEGER NOT NULL, attack VARCHAR NOT NULL, replicates INTEGER NOT NULL
);
CREATE TABLE lrm.span_judges (span_n INTEGER NOT NULL, judge_scope_n INTEGER NOT NULL, judge VARCHAR NOT NULL);
CREATE TABLE lrm.spec_spans (n INTEGER PRIMARY KEY, spec VARCHAR NOT NULL, span_n INTEGER NOT NULL, file VARCHAR,
    chosen_at TIMESTAMP NOT NULL);
CREATE TABLE lrm.runs (
    id VARCHAR PRIMARY KEY, spec VARCHAR NOT NULL, span_n INTEGER NOT NULL, started_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP, state VARCHAR NOT NULL, done INTEGER, failed INTEGER, host VARCHAR NOT NULL, pid INTEGER NOT NULL,
    version VARCHAR NOT NULL
);
"""

VIEWS = """
CREATE VIEW cells AS
WITH newest AS (
    SELECT spec, arg_max(span_n, n) AS span_n FROM lrm.spec_spans GROUP BY spec
),
failed AS (
    SELECT call_n, arg_max(kind, failed_at) AS kind, arg_max(message, failed_at) AS message, sum(attempts) AS attempts
    FROM lrm.failures GROUP BY call_n
)
SELECT
    newest.spec,
    s.model,
    s.prompt_set,
    p.key AS prompt,
    p.category,
    p.expect,
    s.attack,
    r.replicate::INTEGER AS replicate,
    CASE
        WHEN g.status = 'blocked' THEN 'blocked'
        WHEN g.n IS NOT NULL THEN 'done'
        WHEN f.call_n IS NOT NULL THEN 'failed'
        ELSE 'missing'
    END AS state,
    t.status AS parse_status,
    CASE t.status
        WHEN 'summary_only' THEN 'summary'
        WHEN 'withheld' THEN 'hidden'
        ELSE coalesce(t.visibility, m.visibility)
    END AS visibility,
    m.simulated,
    g.source,
    g.finish_reason,
    g.input_tokens,
    g.output_tokens,
    g.thinking_tokens,
    g.cost,
    g.latency_ms,
    g.received_at,
    g.fingerprint,
    CASE WHEN g.n IS NULL THEN f.kind END AS failure,
    CASE WHEN g.n IS NULL THEN f.message END AS failure_message,
    CASE WHEN c.n IS NOT NULL THEN 'c1:' || lower(hex(c.id)) END AS call,
    CASE WHEN g.n IS NOT NULL THEN 'g1:' || lower(hex(g.id)) END AS generation,
    newest.span_n,
    p.n AS prompt_n,
    x.messages_n,
    g.n AS generation_n
FROM newest
JOIN lrm.slices s ON s.span_n = newest.span_n
JOIN lrm.models m ON m.n = s.model_n
JOIN lrm.prompt_set_members b ON b.set_n = s.set_n
JOIN lrm.prompts p ON p.n = b.prompt_n
JOIN lrm.renderings x ON x.attack_n = s.attack_n AND x.prompt_n = b.prompt_n AND x.messages_n IS NOT NULL
CROSS JOIN LATERAL (SELECT unnest(range(s.replicates)) AS replicate) r
LEFT JOIN lrm.calls c ON c.model_n = s.model_n AND c.messages_n = x.messages_n AND c.replicate = r.replicate
LEFT JOIN lrm.generations g ON g.n = c.generation_n
LEFT JOIN lrm.traces t ON t.generation_n = g.n
LEFT JOIN failed f ON f.call_n = c.n;

CREATE VIEW traces AS
SELECT
    'g1:' || lower(hex(g.id)) AS generation,
    'c1:' || lower(hex(c.id)) AS call,
    m.name AS model,
    c.replicate,
    x.messages,
    t.status AS parse_status,
    CASE t.status WHEN 'summary_only' THEN 'summary' WHEN 'withheld' THEN 'hidden' ELSE t.visibility END AS visibility,
    m.simulated,
    g.source,
    t.thinking,
    t.answer,
    t.splitter,
    g.finish_reason,
    g.input_tokens,
    g.output_tokens,
    g.thinking_tokens,
    g.cost,
    g.received_at,
    g.n = c.generation_n AS is_first,
    g.n AS generation_n
FROM lrm.traces t
JOIN lrm.generations g ON g.n = t.generation_n
JOIN lrm.calls c ON c.n = g.call_n
JOIN lrm.models m ON m.n = c.model_n
JOIN lrm.messages x ON x.n = c.messages_n;

CREATE VIEW verdicts AS
SELECT
    c.spec, c.model, c.prompt_set, c.prompt, c.category, c.expect, c.attack, c.replicate, c.visibility, c.simulated,
    j.judge,
    s.scope,
    CASE WHEN c.state <> 'done' THEN c.state ELSE coalesce(v.status, 'not_judged') END AS status,
    v.label,
    CASE WHEN d.harm_for = 'all' OR c.expect = 'unsafe' THEN v.unsafe END AS unsafe,
    CASE WHEN d.harm_for = 'all' OR c.expect = 'unsafe' THEN v.score END AS score,
    v.explanation,
    v.spans,
    v.judged_at,
    c.state,
    c.parse_status,
    c.call,
    c.generation_n
FROM cells c
JOIN lrm.span_judges j ON j.span_n = c.span_n
JOIN lrm.judge_scopes s ON s.n = j.judge_scope_n
JOIN lrm.judges d ON d.n = s.judge_n
LEFT JOIN lrm.verdicts v
    ON v.generation_n = c.generation_n AND v.judge_scope_n = s.n AND (v.prompt_n = 0 OR v.prompt_n = c.prompt_n);

CREATE VIEW rates AS
SELECT
    spec, model, prompt_set, attack, expect, judge, scope, visibility, simulated,
    count(*) AS cells,
    count(*) FILTER (WHERE state = 'missing') AS missing,
    count(*) FILTER (WHERE state = 'failed') AS failed,
    count(*) FILTER (WHERE state = 'blocked') AS blocked,
    count(*) FILTER (WHERE status = 'no_text') AS no_text,
    count(*) FILTER (WHERE status IN ('unparsed', 'judge_failed')) AS unparsed,
    count(*) FILTER (WHERE status = 'not_judged') AS not_judged,
    count(*) FILTER (WHERE status = 'ok') AS judged,
    count(*) FILTER (WHERE status = 'ok' AND label = 'full_refusal') AS full_refusals,
    count(*) FILTER (WHERE status = 'ok' AND label = 'partial_refusal') AS partial_refusals,
    count(*) FILTER (WHERE status = 'ok' AND label = 'compliance') AS compliances,
    count(unsafe) AS harm_judged,
    count(*) FILTER (WHERE unsafe) AS unsafe,
    CASE WHEN count(unsafe) > 0 THEN count(*) FILTER (WHERE unsafe) / count(unsafe) END AS unsafe_rate,
    CASE WHEN count(*) FILTER (WHERE status = 'ok') > 0
        THEN count(*) FILTER (WHERE status = 'ok' AND label IN ('full_refusal', 'partial_refusal'))
            / count(*) FILTER (WHERE status = 'ok') END AS refusal_rate,
    avg(score) AS mean_harm
FROM verdicts
GROUP BY ALL;
"""

COMMENTS = {
    "cells": "One row a cell of each spec's current span: what it is, and how far it has come.",
    "traces": "One row a response: its messages, thinking, answer and parse status.",
    "verdicts": "One row a cell, judge and scope. unsafe and score are NULL where harm is not what the judge measures.",
    "rates": "Counts and rates by spec, model, set, attack, expectation, judge, scope and visibility; "
    "unsafe_rate is unsafe / harm_judged, refusal_rate is (full + partial refusals) / judged.",
}


def upgrade(connection: duckdb.DuckDBPyConnection) -> None:
    """Make every table and view of the first schema."""
    connection.execute(TABLES)
    connection.execute(VIEWS)
    for view, comment in COMMENTS.items():
        quoted = comment.replace("'", "''")
        connection.execute(f"COMMENT ON VIEW {view} IS '{quoted}'")
