"""From counts and sums to one figure: its value, interval, denominator, and what is left out."""

from __future__ import annotations

from collections.abc import Iterable

from lrm.browse.figures import NOTHING, Figure
from lrm.browse.intervals import Interval, Tally, agresti_min, newcombe, of_difference, of_mean, wilson
from lrm.browse.places import Measure
from lrm.browse.regroup import GRADED, STATUSES, Counted, Key, States, Sums, kind_name

SHARES = ("unsafe", "refusal", "over_refusal", "disagreement")
"""Measures that are a share of zeros and ones."""


def make_figure(
    measure: Measure, counted: Counted, key: Key, *, difference: bool = False, shown: bool = True
) -> Figure:
    """Return the figure of a row and column. `difference` says that the sums are of differences of pairs.

    Where it is not to be `shown`, it has counts and no value.
    """
    by_kind = counted.states.get(key)
    if not by_kind:
        return NOTHING
    sums = counted.sums.get(key, [])
    states = _pooled(by_kind.values())
    if measure == "coverage" and not difference:
        return _coverage(states, by_kind)
    tally = sum((one.tally for _, one in sums), Tally())
    kinds = _names([kind for kind, one in sums if one.tally.n] or list(by_kind))
    against = _names([one.base_kind for _, one in sums if one.base_kind >= 0 and one.tally.n]) if difference else ()
    value, interval = None, None
    if shown and tally.n and len(kinds) <= 1 and len(against) <= 1:
        value = tally.total if measure == "cost" else tally.mean
        interval = _interval(measure, tally, difference)
    return _figure(
        value, tally.n, interval, states, _left_out(measure, states, sums, tally.n, difference), kinds, against
    )


def versus(measure: Measure, counted: Counted, key: Key, base: Key) -> Figure:
    """Return the difference of two rows as independent samples: Newcombe's interval of shares, Welch's of means."""
    one, other = make_figure(measure, counted, key), make_figure(measure, counted, base)
    value, interval = None, None
    if key[0] is not None and one.value is not None and other.value is not None:
        value = one.value - other.value
        first = sum((found.tally for _, found in counted.sums.get(key, [])), Tally())
        second = sum((found.tally for _, found in counted.sums.get(base, [])), Tally())
        if measure in SHARES:
            interval = newcombe((first.total, first.n), (second.total, second.n))
        elif measure not in {"cost", "coverage"}:
            interval = of_difference(first, second)
    low, high = interval or (None, None)
    return Figure(
        value, one.n, low, high, one.cells, one.done, one.missing, one.running, one.failed, one.blocked, one.stale,
        one.left_out, one.kinds, other.kinds,
    )  # fmt: skip


def _interval(measure: Measure, tally: Tally, difference: bool) -> Interval | None:
    if measure == "cost" or (measure == "coverage" and not difference):
        return None
    if measure == "gap" and not difference:
        return _of_pairs(tally)
    if difference and measure in SHARES:
        return _of_pairs(tally)
    if measure in SHARES:
        return wilson(tally.total, tally.n)
    return None if measure == "coverage" else of_mean(tally)


def _of_pairs(tally: Tally) -> Interval | None:
    """Return the interval of a mean of differences that are each -1, 0 or 1."""
    return agresti_min((tally.squares + tally.total) / 2, (tally.squares - tally.total) / 2, tally.n)


def _coverage(states: States, by_kind: dict[int, States]) -> Figure:
    """Return the share of cells with a response, the provider's refusals among them; a count, so kinds are not kept apart."""
    value = (states.done + states.blocked) / states.cells if states.cells else None
    return _figure(value, states.cells, None, states, (), _names(list(by_kind)), ())


def _left_out(
    measure: Measure, states: States, sums: list[tuple[int, Sums]], n: int, difference: bool
) -> tuple[tuple[str, int], ...]:
    if measure == "coverage":
        return ()
    if difference or measure == "gap":
        return _some(not_paired=states.done - n)
    if measure == "disagreement":
        return _some(fewer_than_two=states.done - n)
    if measure not in GRADED:
        return _some(not_measured=states.done - n)
    statuses = {name: sum(one.statuses[at] for _, one in sums) for at, name in enumerate(STATUSES)}
    graded = sum(one.graded for _, one in sums)
    not_judged = max(0, states.asked - graded)
    not_looked_at = states.done - states.looked_at
    not_measured = states.done - not_looked_at - not_judged - sum(statuses.values()) - n
    return _some(**statuses, not_judged=not_judged, not_looked_at=not_looked_at, not_measured=not_measured)


def _some(**counts: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, count) for name, count in counts.items() if count > 0)


def _names(kinds: list[int]) -> tuple[str, ...]:
    return tuple(kind_name(kind) for kind in sorted(set(kinds)))


def _pooled(by_kind: Iterable[States]) -> States:
    whole = States()
    for one in by_kind:
        whole.cells += one.cells
        whole.done += one.done
        whole.blocked += one.blocked
        whole.failed += one.failed
        whole.missing += one.missing
        whole.running += one.running
        whole.looked_at += one.looked_at
        whole.asked += one.asked
        whole.stale += one.stale
    return whole


def _figure(
    value: float | None, n: int, interval: Interval | None, states: States, left_out: tuple[tuple[str, int], ...],
    kinds: tuple[str, ...], against: tuple[str, ...],
) -> Figure:  # fmt: skip
    low, high = interval or (None, None)
    return Figure(
        value, n, low, high, states.cells, states.done, states.missing, states.running, states.failed, states.blocked,
        states.stale, left_out, kinds, against,
    )  # fmt: skip
