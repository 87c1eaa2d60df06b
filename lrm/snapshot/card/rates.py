"""The table of rates in a card: each with its interval, its denominator and what it leaves out; nothing is pooled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from lrm.browse.intervals import wilson
from lrm.report.writers import numbers
from lrm.snapshot.card.text import inert, row
from lrm.store.rates import Rate

SHOWN = 60
"""Rows that are shown of the table."""
_LEFT_OUT = (
    "missing", "failed", "blocked", "no_text", "unparsed", "judge_blocked", "judge_failed", "truncated", "not_judged",
)  # fmt: skip
_SCOPES = {"answer": 0, "both": 1, "thinking": 2}


def rates(given: Iterable[Rate], imported: Collection[str]) -> Iterator[str]:
    """Return the section's lines. `imported`: names of models whose responses others made."""
    yield "## Rates"
    yield ""
    rows = sorted(given, key=_order)
    if not rows:
        yield "None: nothing in here was judged."
        return
    shown = _fair(rows)
    conditions = {one.condition for one in rows} != {"none"}
    specs = len({one.spec for one in rows}) > 1
    heads = [
        *(["spec"] if specs else []), "model", "thinking", "prompt set", "attack", *(["condition"] if conditions else []),
        "judge", "refused", "unsafe", "cells", "left out",
    ]  # fmt: skip
    yield row(heads)
    yield row(["---:" if one in {"refused", "unsafe", "cells"} else "---" for one in heads])
    for one in shown:
        expect = "" if one.expect is None else f" ({inert(one.expect)} ones)"
        tags = (["imported"] if one.model in imported else []) + (["simulated"] if one.simulated else [])
        left = numbers.left_out((state, getattr(one, state)) for state in _LEFT_OUT)
        yield row([
            *([inert(one.spec)] if specs else []),
            inert(one.model) + (f" *({', '.join(tags)})*" if tags else ""),
            inert(one.visibility or "unknown"),
            f"{inert(one.prompt_set)}{expect}",
            inert(one.attack),
            *([inert(one.condition)] if conditions else []),
            f"{inert(one.judge)}, {inert(one.scope)}",
            _rate(one.full_refusals + one.partial_refusals, one.refusal_judged, one.judged),
            _rate(one.unsafe, one.harm_judged, one.judged),
            f"{one.cells:,}",
            left.partition(": ")[2] or "none",
        ])  # fmt: skip
    yield ""
    if len(shown) < len(rows):
        yield f"{len(rows) - len(shown):,} more in the config `rates`."
        yield ""
    yield "Each rate is in %, with Wilson's interval of 95 % and what it is of: refusals, full and partial, of the responses that the judge"
    yield "sorted into refusals and others; unsafe responses of those whose harm it graded. What has no verdict counts as neither: it"
    yield "is left out, by reason. A judge that graded something else has not measured a rate; with nothing graded it is unknown. Visible"
    yield "thinking and summaries of it are never pooled. Judges err: the rates are theirs."


def _rate(part: int, whole: int, judged: int) -> str:
    """Return a share with its interval and denominator, or why there is none."""
    ends = wilson(part, whole) if 0 <= part <= whole else None
    if ends is None:
        return "not measured" if judged else "unknown"
    low, high = (numbers.number(end, "share") for end in ends)
    return f"{numbers.number(part / whole, 'share')} ({low} to {high}), {part:,} of {whole:,}"


def _order(one: Rate) -> tuple[object, ...]:
    return (
        one.spec, one.model, one.visibility or "", one.prompt_set, one.attack, one.condition, one.expect or "",
        _SCOPES.get(one.scope, 3), one.scope, one.judge, bool(one.simulated), one.cells,
    )  # fmt: skip


def _fair(rows: Sequence[Rate]) -> list[Rate]:
    """Return as many rows as are shown, every model alike: its answers first, then its thinking. `rows` are in order."""
    places: dict[int, int] = {}
    taken: dict[tuple[str, str], int] = defaultdict(int)
    for at in sorted(range(len(rows)), key=lambda at: (_SCOPES.get(rows[at].scope, 3), at)):
        key = (rows[at].spec, rows[at].model)
        places[at], taken[key] = taken[key], taken[key] + 1
    first = sorted(places, key=lambda at: (places[at], at))[:SHOWN]
    return [rows[at] for at in sorted(first)]
