"""How the matrix writes a figure: text, shade and marks of a cell, and everything about it in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lrm.browse.places import Measure
from lrm_tui.widgets.grid_model import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lrm.browse.figures import Figure

FEW = 30
"""Below so many counted cells a figure is shown dim: its interval is wide."""
RUNNING: Mark = "▒"
ERRORS: Mark = "!"
MISSING: Mark = "·"
STALE: Mark = "~"
POOLED: Mark = "≠"
NOT_PLANNED: Mark = "—"
UNKNOWN = "?"
"""What stands where nothing that was left could be counted: all unparsed, without text, blocked …"""
Unit = Literal["rate", "points", "score", "count", "seconds", "dollars"]


@dataclass(frozen=True, slots=True)
class Said:
    """What a measure is, in words."""

    name: str
    """As headings call it."""
    unit: Unit
    help: str
    """One line for whoever chooses a measure."""
    judged: bool = True
    """Whether it rests on verdicts, so that judge and scope say something."""


SAID: dict[Measure, Said] = {
    "unsafe": Said("unsafe rate", "rate", "share called unsafe, where harm was judged"),
    "refusal": Said("refusal rate", "rate", "share refused, fully or in part"),
    "over_refusal": Said("over-refusal rate", "rate", "share of harmless prompts that are refused"),
    "harm": Said("mean harm", "score", "mean score of harm: 0 none, 1 most"),
    "gap": Said("thinking-answer gap", "points", "unsafe thinking less unsafe answers, paired"),
    "disagreement": Said("judge disagreement", "rate", "share on which judges do not say the same"),
    "coverage": Said("coverage", "rate", "share of planned cells that have a response", judged=False),
    "tokens": Said("output tokens", "count", "mean per response, thinking among them", judged=False),
    "thinking_tokens": Said("thinking tokens", "count", "mean per response, where they are counted", judged=False),
    "seconds": Said("seconds", "seconds", "mean time that a response took", judged=False),
    "cost": Said("cost", "dollars", "sum of what the responses cost", judged=False),
}

_LEFT_OUT = {
    "no_text": "without text", "judge_blocked": "blocked at the judge", "judge_failed": "failed at the judge",
    "not_judged": "not judged", "not_looked_at": "not for this judge", "not_measured": "not measured",
    "not_paired": "without its pair", "fewer_than_two": "with fewer than two judges",
}  # fmt: skip


def unit_of(measure: Measure, *, difference: bool) -> Unit:
    """Return how values of a measure are written; a difference of rates is in points."""
    unit = SAID[measure].unit
    return "points" if difference and unit == "rate" else unit


def amount(value: float, unit: Unit, *, difference: bool = False, exact: bool = False) -> str:
    """Return a value as text: in as few signs as a cell has, or `exact` for a status line.

    A rate that is above 0 % is never written 0 %, nor one below 100 % as 100 %.
    """
    plus = "+" if difference and value > 0 else ""
    match unit:
        case "rate":
            return _percent(value, exact=exact)
        case "points":
            return f"{100 * value:+.1f} points" if exact else _points(value)
        case "score":
            return f"{plus}{value:.3f}" if exact else f"{plus}{value:.2f}"
        case "count":
            return plus + (f"{value:,.1f}" if exact else short(value))
        case "seconds":
            return f"{plus}{value:.2f} s" if exact else f"{plus}{_seconds(value)}"
        case "dollars":
            return _dollars(value, plus, exact=exact)


def _percent(value: float, *, exact: bool) -> str:
    if exact:
        return f"{100 * value:.1f} %"
    if 0 < value < 0.005:
        return "<1%"
    if 0.995 <= value < 1:
        return ">99%"
    return f"{100 * value:.0f}%"


def _points(value: float) -> str:
    rounded = round(100 * value)
    if rounded == 0:
        return "0" if value == 0 else "+0" if value > 0 else "-0"
    return f"{rounded:+d}"


def short(value: float) -> str:
    """Return a number in about four signs: 17, 1.2k, 340k, 5.6M."""
    size = abs(value)
    for least, by, suffix in ((999_500_000, 1e9, "G"), (999_500, 1e6, "M"), (999.5, 1e3, "k")):
        if size >= least:
            scaled = value / by
            return f"{scaled:.1f}{suffix}" if abs(scaled) < 9.95 else f"{scaled:.0f}{suffix}"
    return f"{value:.0f}" if size >= 10 or value == int(value) else f"{value:.1f}"


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= 5_400:
        return f"{value / 3600:.1f}h"
    if size >= 90:
        return f"{value / 60:.1f}m"
    return f"{value:.0f}s" if size >= 9.95 else f"{value:.1f}s"


def _dollars(value: float, plus: str, *, exact: bool) -> str:
    sign, size = ("-" if value < 0 else plus), abs(value)
    if exact:
        return f"{sign}${size:,.4f}"
    if 0 < size < 0.005:
        return f"{sign}<1¢"
    return f"{sign}${size:.2f}" if size < 999.5 else f"{sign}${short(size)}"


def cell_text(figure: Figure, measure: Measure, *, difference: bool, interval: bool) -> str:
    """Return what a cell says: its value, with the bounds of the 95 % interval where they are wanted; no marks."""
    if figure.value is None:
        return ""
    unit = unit_of(measure, difference=difference)
    text = amount(figure.value, unit, difference=difference)
    if interval and figure.low is not None and figure.high is not None:
        low, high = (_bare(amount(one, unit, difference=difference), unit) for one in (figure.low, figure.high))
        text += f" [{low},{high}]" if unit == "points" or difference else f" {low}-{high}"
    return text


def _bare(text: str, unit: Unit) -> str:
    return text.removesuffix("%") if unit == "rate" else text


def mark(figure: Figure) -> Mark:
    """Return the one sign that says what is wrong with a cell, the most urgent first; empty where nothing is.

    What is missing only because a declaration changed is stale.
    """
    wrongs: tuple[tuple[object, Mark], ...] = (
        (not figure.pooled, POOLED),
        (figure.running, RUNNING),
        (figure.failed, ERRORS),
        (figure.stale and figure.stale == figure.missing, STALE),
        (figure.missing, MISSING),
    )
    for wrong, sign in wrongs:
        if wrong:
            return sign
    return ""


def shade(value: float, measure: Measure, *, difference: bool, largest: float) -> float:
    """Return how dark a cell is, from 0 to 1: dark is worse; of what diverges from -1 (less) to 1 (more).

    `largest` is the greatest size among the cells shown: what has no bounds of its own is measured by it.
    """
    unit = unit_of(measure, difference=difference)
    if diverges(measure, difference=difference):
        found = value / largest if largest else 0.0
        return min(max(-found if measure == "coverage" else found, -1.0), 1.0)
    if measure == "coverage":
        found = 1 - value
    elif unit in ("rate", "score"):
        found = value
    else:
        found = value / largest if largest else 0.0
    return min(max(found, 0.0), 1.0)


def diverges(measure: Measure, *, difference: bool) -> bool:
    """Return whether values of a measure go both ways from nothing."""
    return difference or SAID[measure].unit == "points"


_LETTERS = {"simulated": "s", "imported": "i", "summary": "Σ"}


def letters(kinds: Iterable[str]) -> str:
    """Return the letters that stand beside a figure of such kinds: `s` simulated, `i` imported, `Σ` summaries only."""
    found = {word for kind in kinds for word in _words(kind)}
    return "".join(letter for word, letter in _LETTERS.items() if word in found)


def _words(kind: str) -> list[str]:
    return kind.replace("+", " ").replace(",", " ").split()


def note(kinds: Iterable[str]) -> str:
    """Return what has to be said wherever a number of such cells is shown; nothing where they are plain ones of a run."""
    found = {word for kind in kinds for word in _words(kind)}
    said = {"simulated": "simulated", "imported": "imported", "summary": "summaries of thinking only"}
    return ", ".join(words for word, words in said.items() if word in found)


def sentence(
    figure: Figure | None, measure: Measure, *, names: str, difference: bool, paired: bool, against: str | None = None
) -> str:
    """Return everything about a figure: what it is of, value, n, interval, what was left out, missing, failed, kinds."""
    if figure is None:
        return f"{names}: not planned"
    parts = [*_value_parts(figure, measure, difference=difference, paired=paired, against=against)]
    left_out = [f"{count:,} {_LEFT_OUT.get(what, what.replace('_', ' '))}" for what, count in figure.left_out if count]
    if left_out:
        parts.append("left out: " + ", ".join(left_out))
    states = [
        f"{count:,} {word}"
        for word, count in (
            ("running", figure.running), ("failed", figure.failed), ("missing", figure.missing),
            ("blocked", figure.blocked), ("stale", figure.stale),
        )
        if count
    ]  # fmt: skip
    if states:
        parts.append(", ".join(states))
    said = note(figure.kinds)
    if said and figure.pooled:
        parts.append(said)
    return f"{names}: " + " · ".join(parts)


def _value_parts(
    figure: Figure, measure: Measure, *, difference: bool, paired: bool, against: str | None
) -> Iterable[str]:
    if not figure.pooled:
        yield f"≠ not pooled: {', '.join(figure.kinds)} (filter the axis `origin` or `visibility`)"
        yield f"{figure.cells:,} cells"
        return
    if figure.value is None:
        yield "no figure" if figure.cells else "nothing planned"
        yield f"n = 0 of {figure.cells:,}"
        return
    unit = unit_of(measure, difference=difference)
    over = f" over {against}" if against and difference else ""
    yield f"{amount(figure.value, unit, difference=difference, exact=True)}{over}"
    if difference and paired:
        yield f"paired by prompt, {figure.n:,} pairs"
    elif difference:
        yield f"not paired, n = {figure.n:,}"
    else:
        yield f"n = {figure.n:,} of {figure.cells:,}"
    if figure.low is not None and figure.high is not None:
        low, high = (amount(one, unit, difference=difference, exact=True) for one in (figure.low, figure.high))
        yield f"95 % {low} to {high}"
    if figure.n < FEW:
        yield f"fewer than {FEW}"
