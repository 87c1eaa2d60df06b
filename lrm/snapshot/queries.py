"""Queries: what a snapshot's tables are in the catalog, for what `lrm.snapshot.gather` chose."""

from __future__ import annotations

from dataclasses import dataclass

from lrm.snapshot.choice import Choice
from lrm.snapshot.frames import frame

ORDERS = {
    "generations": ("place",),
    "verdicts": ("rank", "judge", "judge_id", "scope", "place", "prompt_id"),
}
"""Where rows have the place of their response, their order is told with it: the same as the table's own, and found sooner."""
_LABELS = "x.model, x.prompt_set, x.prompt, x.attack, x.condition, x.replicate, x.role"


@dataclass(frozen=True, slots=True)
class _Hidden:
    """SQL of what stays here, by what it is asked of: `p` prompts, `m` messages, `x` responses."""

    prompt: str
    hashed_prompt: str
    messages: str
    history: str
    sent: str
    response: str
    hashed_response: str
    """Whether a response that stays here tells its hashes."""
    judgement: str

    @classmethod
    def by(cls, choice: Choice) -> _Hidden:
        """Return it for a choice."""
        asked, silent, mute = (_truth(choice.of(family) != "all") for family in ("prompts", "responses", "judgements"))
        told = [_truth(choice.of(family) != "none") for family in ("responses", "judgements", "prompts")]
        return cls(
            prompt=f"({asked} OR p.withheld)",
            hashed_prompt=told[2],
            # What judges and attackers are shown has responses of the models under test in it.
            messages=f"({asked} OR m.withheld OR (m.retells AND {silent}))",
            history=f"({asked} OR p.withheld OR {silent})",
            sent=f"({asked} OR x.withheld OR (x.role <> 'subject' AND {silent}))",
            # Whose texts a response is: a model's under test, a judge's, or an attacker's, who writes prompts.
            response=f"CASE x.role WHEN 'subject' THEN {silent} WHEN 'judge' THEN {mute} "
            f"ELSE {asked} OR x.withheld OR {silent} END",
            hashed_response=f"CASE x.role WHEN 'subject' THEN {told[0]} WHEN 'judge' THEN {told[1]} ELSE {told[2]} END",
            judgement=mute,
        )


def queries(choice: Choice, *, withheld: bool) -> dict[str, str]:
    """Return the query of each table that is not made from others, but for those of texts, after `gather`.

    `withheld` says whether the prompts of any set stay here.
    """
    hidden = _Hidden.by(choice)
    said = "NULL" if choice.of("judgements") != "all" else "v.{0}"
    # Where nothing stays here, no payload is to be read for its hash.
    payload = f"CASE WHEN {hidden.response} AND {hidden.hashed_response} THEN sha256(g.raw) END" if withheld else "NULL"
    verdicts = (
        "generation_n, judge_scope_n, prompt_n, status, label, unsafe, score, explanation, spans, coverage, detail, "
        "against_n, judged_at"
    )
    return {
        "declarations": _DECLARATIONS,
        "slices": f"""
            SELECT s.*, {_id("i1", "m.id")} AS model_id, {_id("s1", "p.id")} AS prompt_set_id, {_id("a1", "k.id")} AS attack_id
            FROM x_slices s JOIN lrm.models m ON m.n = s.model_n JOIN lrm.prompt_sets p ON p.n = s.set_n
            JOIN lrm.attacks k ON k.n = s.attack_n""",
        "chosen_judges": f"SELECT * REPLACE ({_id('j1', 'judge_id')} AS judge_id) FROM x_judges",
        "prompt_sets": f"""
            SELECT {_id("s1", "s.id")} AS prompt_set_id, b.ordinal, {_id("p1", "p.id")} AS prompt_id
            FROM lrm.prompt_sets s JOIN lrm.prompt_set_members b ON b.set_n = s.n JOIN lrm.prompts p ON p.n = b.prompt_n
            WHERE s.n IN (SELECT set_n FROM x_slices)""",
        "prompts": f"""
            SELECT {_id("p1", "q.id")} AS id, q.key AS prompt, q.category, q.expect, {hidden.prompt} AS hide, hide AS withheld,
                CASE WHEN NOT hide THEN q.text END AS text, CASE WHEN NOT hide THEN q.system END AS system,
                CASE WHEN NOT hide THEN q.turns END AS turns, CASE WHEN NOT hide THEN q.meta END AS meta,
                CASE WHEN hide AND {hidden.hashed_prompt} THEN sha256(q.text) END AS text_sha256
            FROM (SELECT n, withheld FROM x_prompts) p JOIN lrm.prompts q ON q.n = p.n""",
        "messages": f"""
            SELECT {_id("m1", "q.id")} AS id, {hidden.messages} AS hide, hide AS withheld,
                CASE WHEN NOT hide THEN q.messages END AS messages
            FROM x_messages m JOIN lrm.messages q ON q.n = m.n""",
        "renderings": f"""
            SELECT {_id("a1", "k.id")} AS attack_id, {_id("p1", "p.id")} AS prompt_id, {_id("m1", "m.id")} AS messages_id
            FROM x_renderings x JOIN lrm.attacks k ON k.n = x.attack_n JOIN lrm.prompts p ON p.n = x.prompt_n
            LEFT JOIN lrm.messages m ON m.n = x.messages_n WHERE NOT x.pursued""",
        "pursuits": f"""
            SELECT {_id("a1", "k.id")} AS attack_id, {_id("p1", "q.id")} AS prompt_id, {_id("m1", "m.id")} AS messages_id, e.outcome,
                e.score, {hidden.history} AS hide, hide AS withheld, CASE WHEN NOT hide THEN e.history END AS history, e.ended_at
            FROM lrm.pursuits e JOIN x_renderings x ON x.attack_n = e.attack_n AND x.prompt_n = e.prompt_n
            JOIN lrm.attacks k ON k.n = e.attack_n JOIN lrm.prompts q ON q.n = e.prompt_n JOIN x_prompts p ON p.n = e.prompt_n
            JOIN lrm.messages m ON m.n = x.messages_n""",
        "calls": f"""
            SELECT {_LABELS}, {_id("c1", "x.call_id")} AS id, {_id("i1", "d.id")} AS model_id, {_id("m1", "m.id")} AS messages_id,
                c.replicate AS number
            FROM (SELECT DISTINCT ON (call_n) * FROM x_generations) x JOIN lrm.calls c ON c.n = x.call_n
            JOIN lrm.models d ON d.n = c.model_n JOIN lrm.messages m ON m.n = c.messages_n""",
        "generations": f"""
            SELECT {_LABELS}, {_id("g1", "x.id")} AS id, {_id("c1", "x.call_id")} AS call_id, g.status, g.finish_reason,
                g.input_tokens, g.output_tokens, g.thinking_tokens, g.cost, g.received_at, g.latency_ms, g.attempts,
                g.fingerprint, g.source, CASE WHEN g.run LIKE 'import:%' THEN 'f1:' || g.run[8:] END AS import_id,
                {payload} AS raw_sha256, x.place
            FROM x_generations x JOIN lrm.generations g ON g.n = x.n""",
        "verdicts": f"""
            SELECT {_LABELS}, j.judge, {_id("j1", "j.judge_id")} AS judge_id, j.scope, {_id("g1", "x.id")} AS generation_id,
                {_id("p1", "p.id")} AS prompt_id, v.status, v.label, v.unsafe, v.score, {said.format("explanation")} AS explanation,
                {said.format("spans")} AS spans, v.coverage, {said.format("detail")} AS detail, {_id("g1", "o.id")} AS against_id,
                v.judged_at, v.rank, {hidden.judgement} AS hide, hide AS withheld, x.place
            FROM (
                SELECT {verdicts}, 0::INTEGER AS rank FROM lrm.verdicts
                UNION ALL
                SELECT {verdicts}, row_number() OVER (
                    PARTITION BY generation_n, judge_scope_n, prompt_n
                    ORDER BY judged_at, status, label, unsafe, score, explanation, spans, coverage, detail
                )::INTEGER FROM lrm.other_verdicts WHERE status <> 'judge_failed'
            ) v
            JOIN x_generations x ON x.n = v.generation_n AND x.role = 'subject'
            JOIN (
                SELECT judge_scope_n, min(judge) AS judge, any_value(judge_id) AS judge_id, any_value(scope) AS scope
                FROM x_judges GROUP BY judge_scope_n
            ) j ON j.judge_scope_n = v.judge_scope_n
            LEFT JOIN lrm.prompts p ON p.n = v.prompt_n AND v.prompt_n <> 0
            LEFT JOIN x_generations o ON o.n = v.against_n AND v.against_n <> 0
            WHERE v.status <> 'judge_failed' AND (v.prompt_n = 0 OR v.prompt_n IN (SELECT n FROM x_prompts))""",
        "imports": """
            SELECT 'f1:' || lower(hex(id)) AS id, name, format, parse_filename(file) AS file, sha256, options, rows, responses,
                labels, skipped, facts, stated, unknown, as_cache, imported_at, version
            FROM lrm.imports WHERE 'import:' || lower(hex(id)) IN (
                SELECT g.run FROM lrm.generations g JOIN x_generations x ON x.n = g.n
                UNION SELECT a.source FROM lrm.annotations a JOIN x_slices s ON s.model_n = a.model_n AND s.attack_n = a.attack_n
                    AND a.replicate BETWEEN s.first_replicate AND s.first_replicate + s.replicates - 1
                JOIN lrm.prompt_set_members b ON b.set_n = s.set_n AND b.prompt_n = a.prompt_n
            )""",
    }  # fmt: skip


def texts_query(choice: Choice) -> str:
    """Return the query that `lrm.snapshot.texts` lays out: traces and payloads of the responses in a run of numbers."""
    hidden = _Hidden.by(choice)
    # A frame is made in a query of its own: DuckDB makes it anew wherever it is named in the same one.
    return f"""
        SELECT * EXCLUDE (framed) REPLACE (CASE WHEN framed = raw THEN raw END AS raw), nullif(framed, raw) AS frame FROM (
        SELECT {_LABELS}, {_id("t1", "t.id")} AS id, {_id("g1", "x.id")} AS generation_id, t.splitter, t.status, t.visibility,
            {hidden.response} AS hide, hide AS withheld, CASE WHEN NOT hide THEN t.thinking END AS thinking,
            CASE WHEN NOT hide THEN t.answer END AS answer,
            CASE WHEN hide AND {hidden.hashed_response} THEN sha256(t.thinking) END AS thinking_sha256,
            CASE WHEN hide AND {hidden.hashed_response} THEN sha256(t.answer) END AS answer_sha256,
            CASE WHEN NOT hide THEN {frame("g.raw", "t.thinking", "t.answer")} END AS framed,
            CASE WHEN NOT hide THEN g.raw END AS raw, CASE WHEN NOT {hidden.sent} THEN g.sent END AS sent, x.place
        FROM (SELECT * FROM x_generations WHERE n BETWEEN $first AND $last) x
        JOIN lrm.generations g ON g.n = x.n JOIN lrm.traces t ON t.generation_n = x.n
        WHERE g.n BETWEEN $first AND $last AND t.generation_n BETWEEN $first AND $last)"""


def _id(tag: str, column: str) -> str:
    return f"'{tag}:' || lower(hex({column}))"


def _truth(value: bool) -> str:
    return "true" if value else "false"


_DECLARATIONS = f"""
SELECT 'model' AS kind, {_id("i1", "m.id")} AS id, coalesce(s.name, m.name) AS name, m.identity, m.declaration, m.visibility,
    m.simulated, NULL AS harm_for, NULL AS size
FROM lrm.models m LEFT JOIN (SELECT model_n, min(model) AS name FROM x_slices GROUP BY model_n) s ON s.model_n = m.n
WHERE m.n IN (SELECT model_n FROM x_slices UNION SELECT model_n FROM x_generations)
UNION ALL
SELECT 'attack', {_id("a1", "k.id")}, min(s.attack), any_value(k.identity), any_value(k.declaration), NULL, NULL, NULL, NULL
FROM lrm.attacks k JOIN x_slices s ON s.attack_n = k.n GROUP BY k.n, k.id
UNION ALL
SELECT 'judge', {_id("j1", "d.id")}, min(j.judge), any_value(d.identity), any_value(d.declaration), NULL, NULL,
    any_value(d.harm_for), NULL
FROM lrm.judges d JOIN x_judges j ON j.judge_n = d.n GROUP BY d.n, d.id
UNION ALL
SELECT 'prompt_set', {_id("s1", "p.id")}, min(s.prompt_set), NULL, any_value(p.declaration), NULL, NULL, NULL, any_value(p.size)
FROM lrm.prompt_sets p JOIN x_slices s ON s.set_n = p.n GROUP BY p.n, p.id
"""
