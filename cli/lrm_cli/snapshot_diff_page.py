"""How a comparison of two snapshots is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrm_cli.output import cut, put, put_table, say
from lrm_cli.table import ABSENT, Cell, share, table

if TYPE_CHECKING:
    from lrm.snapshot.diff.diff import Diff, Group, RateChange


def put_diff(found: Diff) -> None:
    """Print what differs on stdout: counts, declarations, groups of cells, rates that moved."""
    put(f"A: {found.a}\nB: {found.b}")
    if found.same:
        put("no difference")
        return
    counts = [(one.what, one.only_a, one.only_b, one.differ, one.same) for one in found.counts]
    put()
    put_table(table(("", "only in A", "only in B", "differ", "same"), counts))
    if any(one.what == "prompts" and one.differ for one in found.counts):
        say("prompts differ where one side withholds their text")
    if found.declarations:
        put()
        rows: list[tuple[Cell, ...]] = []
        for one in found.declarations:
            fields = one.fields or ((ABSENT, "", ""),)
            rows += [(one.kind.replace("_", " "), one.name, _HOW[one.how], *field) for field in fields]
        put_table(table(("declaration", "name", "", "field", "in A", "in B"), cut(rows)))
    if found.groups:
        put()
        specs = len({one.spec for one in found.groups}) > 1
        heads = (*(("spec",) if specs else ()), *_GROUP)
        put_table(table(heads, cut([(*((one.spec,) if specs else ()), *_group(one)) for one in found.groups])))
    if found.rates:
        put()
        specs = len({one.spec for one in found.rates}) > 1
        heads = (*(("spec",) if specs else ()), *_RATE)
        rates = sorted(found.rates, key=_moved, reverse=True)
        put_table(table(heads, cut([(*((one.spec,) if specs else ()), *_rate(one)) for one in rates])))
        say("rates that moved most come first, those that one side lacks last")


_HOW = {
    "only_a": "only in A", "only_b": "only in B", "another": "asked otherwise", "described": "described otherwise",
}  # fmt: skip
_GROUP = (
    "model", "prompt set", "cells only A", "only B", "other response", "asked otherwise", "verdicts only A", "only B", "differ",
)  # fmt: skip
_RATE = ("model", "prompt set", "attack", "prompts", "judge", "scope", "unsafe in A", "in B", "refused in A", "in B")


def _group(one: Group) -> tuple[Cell, ...]:
    return (
        one.model, one.prompt_set, one.only_a, one.only_b, one.other_response, one.asked_otherwise, one.verdicts_only_a,
        one.verdicts_only_b, one.verdicts_differ,
    )  # fmt: skip


def _rate(one: RateChange) -> tuple[Cell, ...]:
    attack = one.attack if one.condition == "none" else f"{one.attack}@{one.condition}"
    return (
        one.model, one.prompt_set, attack, one.expect or None, one.judge, one.scope, _share(one.unsafe_a, one.harm_judged_a),
        _share(one.unsafe_b, one.harm_judged_b), _share(one.refusals_a, one.refusal_judged_a),
        _share(one.refusals_b, one.refusal_judged_b),
    )  # fmt: skip


def _share(part: int | None, whole: int | None) -> str | None:
    return None if part is None or whole is None else share(part, whole)


def _moved(one: RateChange) -> tuple[float, float]:
    """Return how far the unsafe rate moved, and the rate of refusals; -1 for one that a side lacks."""
    pairs = (
        (one.unsafe_a, one.harm_judged_a, one.unsafe_b, one.harm_judged_b),
        (one.refusals_a, one.refusal_judged_a, one.refusals_b, one.refusal_judged_b),
    )
    far = [
        abs(b / whole_b - a / whole_a) if whole_a and whole_b else -1.0
        for a, whole_a, b, whole_b in ((a or 0, wa, b or 0, wb) for a, wa, b, wb in pairs)
    ]
    return far[0], far[1]
