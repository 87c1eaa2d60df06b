"""Which judges and scopes count in a grid: what was asked for, or the first that can say something of the measure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from lrm.browse.axes import VERDICT_AXES
from lrm.browse.frame import JudgeScope
from lrm.browse.places import MatrixPlace
from lrm.errors import MissingError, SpecError, known_names_hint

_SAYS: dict[str, Callable[[JudgeScope], bool]] = {
    "unsafe": lambda one: one.has_harm,
    "harm": lambda one: one.has_harm,
    "gap": lambda one: one.has_harm,
    "refusal": lambda one: one.has_refusal,
    "over_refusal": lambda one: one.has_refusal,
}
OF_VERDICTS = (*_SAYS, "disagreement")
"""Measures that judges make."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The judges' scopes that count."""

    place: MatrixPlace
    """With judge and scope filled in, where they are one."""
    ats: tuple[int, ...]
    """By their place among the judges of the slice."""


def choose(place: MatrixPlace, judges: Sequence[JudgeScope]) -> Chosen:
    """Return which judges count. Raises SpecError where the axes do not go with the measure, MissingError for unknown names."""
    axes = {place.rows, place.columns} & set(VERDICT_AXES)
    _refuse(place, axes)
    if place.measure not in OF_VERDICTS:
        return Chosen(place, ())
    _known("judge", place.judge, (one.judge for one in judges))
    _known("scope", place.scope, (one.scope for one in judges if place.judge in (None, one.judge)))
    kept = {axis: place.slice.values(axis) for axis in VERDICT_AXES}
    found = [
        (at, one) for at, one in enumerate(judges)
        if (kept["judge"] is None or one.judge in kept["judge"]) and (kept["scope"] is None or one.scope in kept["scope"])
    ]  # fmt: skip
    if place.measure == "gap":
        return _gap(place, found, axes)
    if place.measure == "disagreement":
        return _disagreement(place, found, axes)
    says = _SAYS[place.measure]
    if "judge" not in axes:
        pool = [(at, one) for at, one in found if place.judge in (None, one.judge) and place.scope in (None, one.scope)]
        first = next((one for _, one in pool if says(one)), pool[0][1] if pool else None)
        judge = place.judge or (first.judge if first else None)
        found, place = [(at, one) for at, one in found if one.judge == judge], replace(place, judge=judge)
    if "scope" not in axes:
        if place.scope is None and "judge" not in axes:
            place = replace(place, scope=_default(found))
        found = _one_scope_each(found, place.scope)
    return Chosen(place, tuple(at for at, _ in found))


def _gap(place: MatrixPlace, found: list[tuple[int, JudgeScope]], axes: set[str]) -> Chosen:
    both = [
        judge for judge in dict.fromkeys(one.judge for _, one in found)
        if {"thinking", "answer"} <= {one.scope for _, one in found if one.judge == judge}
    ]  # fmt: skip
    if "judge" in axes:
        return Chosen(replace(place, scope=None), tuple(at for at, one in found if one.judge in both))
    says = [judge for judge in both if all(one.has_harm for _, one in found if one.judge == judge)]
    judge = place.judge or next(iter([*says, *both]), None)
    ats = tuple(at for at, one in found if one.judge == judge and one.scope != "both")
    return Chosen(replace(place, judge=judge, scope=None), ats)


def _disagreement(place: MatrixPlace, found: list[tuple[int, JudgeScope]], axes: set[str]) -> Chosen:
    if "scope" in axes:
        return Chosen(replace(place, judge=None), tuple(at for at, _ in found))
    scope = place.scope or _default(found)
    return Chosen(replace(place, judge=None, scope=scope), tuple(at for at, one in found if one.scope == scope))


def _default(found: Iterable[tuple[int, JudgeScope]]) -> str | None:
    scopes = [one.scope for _, one in found]
    return "answer" if "answer" in scopes else scopes[0] if scopes else None


def _one_scope_each(found: list[tuple[int, JudgeScope]], scope: str | None) -> list[tuple[int, JudgeScope]]:
    """Return one scope of each judge: the one that is named, else its answer, else what it looks at first."""
    if scope is not None:
        return [(at, one) for at, one in found if one.scope == scope]
    chosen: dict[str, tuple[int, JudgeScope]] = {}
    for at, one in found:
        if one.judge not in chosen or one.scope == "answer":
            chosen[one.judge] = (at, one)
    return list(chosen.values())


def _refuse(place: MatrixPlace, axes: set[str]) -> None:
    if place.rows == place.columns:
        raise SpecError(f"rows and columns are both `{place.rows}`", hint="choose another axis for one of them")
    refused = {"gap": {"scope"}, "disagreement": {"judge"}}.get(place.measure, set())
    if place.measure not in OF_VERDICTS:
        refused = set(VERDICT_AXES)
    for axis in sorted(axes & refused):
        raise SpecError(
            f"`{place.measure}` is not told apart by {axis}",
            hint=f"choose another axis than `{axis}`, or another measure",
        )


def _known(what: str, name: str | None, known: Iterable[str]) -> None:
    names = set(known)
    if name is not None and name not in names:
        raise MissingError(f"no {what} `{name}` looks at this slice", hint=known_names_hint(name, names))
