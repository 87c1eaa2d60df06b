"""What a list shows of a few samples, read by their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lrm.browse.gathering import Parts

if TYPE_CHECKING:
    import duckdb

WORDS = 200
"""Characters of the prompt that a row begins with, at most."""


@dataclass(frozen=True, slots=True)
class Badge:
    """What one judge says of one scope of a sample, as the view `verdicts` has it."""

    judge: str
    scope: str
    status: str
    """Of the verdict; `not_judged`; or the cell's state where there is no response."""
    label: str | None = None
    unsafe: bool | None = None
    """None where the judge says nothing of harm: it was not `ok`, or harm is not expected of the prompt."""
    score: float | None = None
    """Harm from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One row: a cell, and its response where it has one. Texts are as they came: show them through `lrm.text.visible`."""

    row: int
    """From 0."""
    model_n: int
    set_n: int
    attack_n: int
    prompt_n: int
    replicate: int
    generation_n: int | None
    call_n: int | None
    id: str | None
    """`g1:…` of the response, else `c1:…` of the call; None for a cell that nobody has asked for."""
    spec: str
    model: str
    prompt_set: str
    prompt: str
    """The prompt's key."""
    categories: tuple[str, ...]
    expect: str | None
    attack: str
    state: str
    parse_status: str | None
    visibility: str
    origin: str
    condition: str
    verdicts: tuple[Badge, ...]
    """Of every judge of the cell, by judge and scope."""
    agreement: str | None
    """`split` where judges of the same part say different things of harm, `agree` where several say the same, else None."""
    labels: int
    """How many annotations the cell has."""
    input_tokens: int | None
    output_tokens: int | None
    thinking_tokens: int | None
    seconds: float | None
    cost: float | None
    """US dollars."""
    finish_reason: str | None
    words: str
    """The beginning of the prompt's text, at most WORDS characters."""


_PROMPTS = f"""
SELECT p.n, p.key, p.category, p.expect, left(p.text, {WORDS})
FROM lrm.prompts p JOIN (SELECT unnest($some)::INTEGER AS n) u ON u.n = p.n
"""
_RESPONSES = """
SELECT g.n, 'g1:' || lower(hex(g.id)), g.status, g.source, t.status, t.visibility, g.input_tokens, g.output_tokens, g.thinking_tokens,
    g.latency_ms / 1000, g.cost, g.finish_reason
FROM lrm.generations g JOIN (SELECT unnest($some)::INTEGER AS n) u ON u.n = g.n LEFT JOIN lrm.traces t ON t.generation_n = g.n
"""
_CALLS = """
SELECT c.n, 'c1:' || lower(hex(c.id)), c.n IN (SELECT call_n FROM lrm.failures)
FROM lrm.calls c JOIN (SELECT unnest($some)::INTEGER AS n) u ON u.n = c.n
"""
_VERDICTS = """
SELECT v.generation_n, v.judge_scope_n, v.prompt_n, v.status, v.label, v.unsafe, v.score
FROM lrm.verdicts v JOIN (SELECT unnest($some)::INTEGER AS n) u ON u.n = v.generation_n
"""
_LABELS = """
SELECT model_n, attack_n, prompt_n, replicate, count(*) FROM lrm.annotations WHERE list_contains($some, prompt_n) GROUP BY ALL
"""
_NO_RESPONSE = (None,) * 11


def read_rows(
    connection: duckdb.DuckDBPyConnection, keys: Sequence[tuple[Any, ...]], parts: Parts
) -> tuple[Sample, ...]:
    """Read what is shown of rows: (row, part, prompt_n, replicate, call_n, generation_n). At most five queries."""

    def read(query: str, some: Iterable[int | None]) -> list[tuple[Any, ...]]:
        wanted = sorted({n for n in some if n is not None})
        return connection.execute(query, {"some": wanted}).fetchall() if wanted else []

    if not keys:
        return ()
    prompts = {n: row for n, *row in read(_PROMPTS, (key[2] for key in keys))}
    responses = {n: row for n, *row in read(_RESPONSES, (key[5] for key in keys))}
    calls = {n: row for n, *row in read(_CALLS, (key[4] for key in keys if key[5] is None))}
    verdicts = {row[:3]: row[3:] for row in read(_VERDICTS, (key[5] for key in keys))}
    labels = {row[:4]: row[4] for row in read(_LABELS, (key[2] for key in keys))}
    found = []
    for row, part_n, prompt_n, replicate, call_n, generation_n in keys:
        part = parts.parts[part_n]
        key, categories, expect, words = prompts[prompt_n]
        id_, status, source, parse_status, visibility, *measured = responses.get(generation_n, _NO_RESPONSE)
        call, has_failed = calls.get(call_n, (None, False))
        state = (
            "blocked"
            if status == "blocked"
            else "done"
            if status is not None
            else "failed"
            if has_failed
            else "missing"
        )
        badges = _badges(parts, part_n, generation_n, prompt_n, state, expect, verdicts)
        input_tokens, output_tokens, thinking_tokens, seconds, cost, finish_reason = measured
        found.append(
            Sample(
                row=row, model_n=part.model_n, set_n=part.set_n, attack_n=part.attack_n, prompt_n=prompt_n,
                replicate=replicate, generation_n=generation_n, call_n=call_n, id=id_ or call, spec=part.spec,
                model=part.model, prompt_set=part.prompt_set, prompt=key, categories=tuple(categories), expect=expect,
                attack=part.attack, state=state, parse_status=parse_status,
                visibility=_SHOWN.get(parse_status or "") or visibility or part.visibility,
                origin="simulated" if part.simulated else "imported" if part.imported or (source or "run") != "run" else "run",
                condition=part.condition, verdicts=badges, agreement=_agreement(badges, parts.names.scope),
                labels=labels.get((part.model_n, part.attack_n, prompt_n, replicate), 0), input_tokens=input_tokens,
                output_tokens=output_tokens, thinking_tokens=thinking_tokens, seconds=seconds, cost=cost,
                finish_reason=finish_reason, words=words,
            )
        )  # fmt: skip
    return tuple(found)


_SHOWN = {"summary_only": "summary", "withheld": "hidden"}


def _badges(
    parts: Parts, part_n: int, generation_n: int | None, prompt_n: int, state: str, expect: str | None,
    verdicts: dict[tuple[Any, ...], tuple[Any, ...]],
) -> tuple[Badge, ...]:  # fmt: skip
    found = []
    for one in parts.of_part.get(part_n, ()):
        row = verdicts.get((generation_n, one.judge_scope_n, 0)) or verdicts.get(
            (generation_n, one.judge_scope_n, prompt_n)
        )
        status, label, unsafe, score = row or ("not_judged", None, None, None)
        if not (one.all_harm or expect == "unsafe"):
            unsafe = score = None
        found.append(Badge(one.judge, one.scope, status if state == "done" else state, label, unsafe, score))
    return tuple(found)


def _agreement(badges: Iterable[Badge], scope: str | None) -> str | None:
    said: dict[str, list[bool]] = {}
    for badge in badges:
        if badge.unsafe is not None and (scope is None or badge.scope == scope):
            said.setdefault(badge.scope, []).append(badge.unsafe)
    if any(len(set(those)) > 1 for those in said.values()):
        return "split"
    return "agree" if any(len(those) > 1 for those in said.values()) else None
