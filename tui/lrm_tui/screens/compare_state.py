"""What the view `compare` shows, without a screen: counts, the paired test, what each side says, words that differ."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal

from lrm.browse.places import Outcome
from lrm.browse.reader import Stop
from lrm_tui.screens.trace_state import Words, badge, kinds

if TYPE_CHECKING:
    from lrm.browse.pairs import Pair, Pairs, Side
    from lrm.browse.trace import Trace

Shown = Literal["answer", "thinking"]
MOST_MODELS = 4
LETTERS = "ABCD"
FILTERS: Mapping[Outcome, str] = {
    "all": "all", "both_safe": "both safe", "only_a": "only A unsafe", "only_b": "only B unsafe",
    "both_unsafe": "both unsafe",
}  # fmt: skip
"""What each outcome is called."""
KEYS: Mapping[Outcome, str] = {"both_safe": "1", "only_a": "2", "only_b": "3", "both_unsafe": "4"}
_SWAPPED: Mapping[Outcome, Outcome] = {"only_a": "only_b", "only_b": "only_a"}


@dataclass(slots=True)
class CompareState:
    """What of a comparison is looked at."""

    active: int = 0
    """The column that the keys of movement act on."""
    part: Shown = "answer"
    locked: bool = True
    """Whether all columns scroll together."""
    difference: bool = False
    """Whether words that differ are marked."""
    words: str = ""
    """What is searched for."""
    row: int = 0
    """The pair that is shown, among those under the filter."""
    pair: Pair | None = None
    traces: tuple[Trace | None, ...] = field(default=(), repr=False)


def toggled(now: Outcome, wanted: Outcome) -> Outcome:
    """Return the filter after its key was pressed: again is all."""
    return "all" if now == wanted else wanted


def swapped(outcome: Outcome) -> Outcome:
    """Return a filter as it is when A and B have changed places."""
    return _SWAPPED.get(outcome, outcome)


def counts(pairs: Pairs) -> list[Words]:
    """Return the top line: how many prompts came out how for the first two models."""
    words: list[Words] = []
    for outcome, key in KEYS.items():
        number = getattr(pairs.outcomes, outcome)
        said = FILTERS[outcome].removesuffix(" unsafe") if outcome in _SWAPPED else FILTERS[outcome]
        words.append((f"{key} {said} {number:,}", "accent" if pairs.outcome == outcome else "plain"))
    return [*words, (f"undecided {pairs.undecided:,}", "unknown" if pairs.undecided else "dim")]


def tested(pairs: Pairs) -> list[Words]:
    """Return the line below: whether the first two models differ, and why pairs are undecided."""
    why: list[Words] = [(f"undecided: {reasons(pairs)}", "dim")] if pairs.reasons else []
    if not pairs.pooled:
        said = " / ".join(" + ".join(one) or "no response" for one in pairs.kinds[:2])
        return [(f"no rates: {said} are never pooled", "unknown"), *why]
    estimate, p = pairs.difference, pairs.p_value
    if estimate is None:
        return [("no prompt is decided on both sides", "unknown"), *why]
    low = "" if estimate.low is None or estimate.high is None else f" ({estimate.low:+.1%} to {estimate.high:+.1%})"
    test = "McNemar: nothing tells them apart" if p is None else f"McNemar p {p_words(p)}"
    return [(f"unsafe A − B {estimate.value:+.1%}{low}", "plain"), (test, "plain"), *why]


def p_words(p: float) -> str:
    """Return a p value as people write it."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def reasons(pairs: Pairs) -> str:
    """Return why pairs are undecided."""
    return ", ".join(f"{one.pairs:,} {one.model}: {one.reason.replace('_', ' ')}" for one in pairs.reasons)


def prompt_words(pair: Pair) -> list[Words]:
    """Return the line that says which prompt it is."""
    words: list[Words] = [(f"{pair.prompt_set} · {pair.prompt}", "accent")]
    words.append((f"attack {pair.attack}", "dim" if pair.attack == "none" else "plain"))
    if pair.replicate:
        words.append((f"replicate {pair.replicate}", "plain"))
    if pair.expect:
        words.append((f"expected {pair.expect}", "dim"))
    if pair.categories:
        words.append((" › ".join(pair.categories), "dim"))
    outcome = FILTERS.get(pair.outcome, "undecided")  # type: ignore[call-overload]
    words.append((outcome, "unknown" if outcome == "undecided" else "plain"))
    return words


def side_words(at: int, side: Side, trace: Trace | None) -> list[Words]:
    """Return the verdict row over a column: whose it is, of what kind, and what the judge says."""
    text, look = badge(side)
    words: list[Words] = [(LETTERS[at], "accent")]
    words.extend((one, "unknown") for one in (kinds(trace) if trace is not None else ()))
    words.extend([(text, look), (side.model, "accent")])
    if side.label and side.status == "ok" and not text.startswith(side.label):
        words.append((side.label, "dim"))
    return words


def fill_command(side: Side, pair: Pair, file: str | None) -> str:
    """Return the command that fills what a side lacks; `file` is the spec's."""
    only = [f"model={side.model}", f"prompt_set={pair.prompt_set}", f"attack={pair.attack}"]
    words = ["lrm", "matrix", "fill", file or "SPEC", *(word for one in only for word in ("--only", one))]
    return shlex.join(words)


def why_empty(side: Side, pair: Pair, trace: Trace | None, part: Shown, file: str | None) -> str:
    """Return why a column holds no text, and the command that would fill it."""
    if side.state == "not_planned":
        spec = "add the model, set and attack to a spec, then:"
        return f"{side.model} has no cell for this prompt: no spec plans it\n\n{spec}\n{fill_command(side, pair, file)}"
    if side.state in ("missing", "failed"):
        why = None if trace is None else trace.why_no_answer
        if trace is not None and trace.failure is not None:
            why = f"{why}\n{trace.failure.kind}, {trace.failure.attempts} attempts: {trace.failure.message}"
        said = why or "there is no response yet"
        return f"{side.model} has no result for this prompt: {said}\n\nto fill it:\n{fill_command(side, pair, file)}"
    if trace is None:
        return "reading …"
    return (trace.why_no_thinking if part == "thinking" else trace.why_no_answer) or f"there is no {part}"


# --- words that differ ------------------------------------------------------------------------------------------------

_WORD = re.compile(r"\w+|[^\w\s]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
MOST_WORK = 4_000_000
"""Words of one block times words of the other, beyond which the whole block is said to differ."""
Parts = list[tuple[int, int]]


def differences(one: str, other: str, stop: Stop | None = None) -> tuple[Parts, Parts]:
    """Return the parts of each text whose words the other does not have in that place, in characters.

    Lines are matched first and words within the lines that differ, so that long texts that share most take little time.
    """
    stop = stop or Stop()
    left = [found.span() for found in _LINE.finditer(one)]
    right = [found.span() for found in _LINE.finditer(other)]
    in_one: Parts = []
    in_other: Parts = []
    lines = SequenceMatcher(None, [one[a:b] for a, b in left], [other[a:b] for a, b in right], autojunk=True)
    for kind, a, b, c, d in lines.get_opcodes():
        stop.check()
        if kind != "equal":
            _words(one, _across(left, a, b), other, _across(right, c, d), in_one, in_other)
    return in_one, in_other


def _across(lines: Sequence[tuple[int, int]], first: int, after: int) -> tuple[int, int]:
    return (lines[first][0], lines[after - 1][1]) if first < after else (0, 0)


def _words(one: str, left: tuple[int, int], other: str, right: tuple[int, int], in_one: Parts, in_other: Parts) -> None:
    mine = [found.span() for found in _WORD.finditer(one, *left)]
    theirs = [found.span() for found in _WORD.finditer(other, *right)]
    if not mine or not theirs or len(mine) * len(theirs) > MOST_WORK:
        in_one += [_across(mine, 0, len(mine))] if mine else []
        in_other += [_across(theirs, 0, len(theirs))] if theirs else []
        return
    words = SequenceMatcher(None, [one[a:b] for a, b in mine], [other[a:b] for a, b in theirs], autojunk=True)
    for kind, a, b, c, d in words.get_opcodes():
        if kind != "equal":
            in_one += [_across(mine, a, b)] if a < b else []
            in_other += [_across(theirs, c, d)] if c < d else []
