"""What a list of samples shows: its columns, what stands in them, and the filters that single keys write."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from lrm.browse.columns import COLUMNS
from lrm.browse.nodes import All, Compare, Either, Node, printed
from lrm.browse.parsing import parse
from lrm.browse.places import SamplesPlace
from lrm.errors import SpecError
from lrm_tui.widgets.rows_model import PAGE, Cell, Column, Row

if TYPE_CHECKING:
    from lrm.browse.samples import Badge, Sample

UNSAFE = "unsafe"
DISAGREE = "disagree"
UNSAFE_THINKING = "thinking:unsafe and answer:safe"
"""Filters that a single key puts into the expression, or takes out of it."""

PANES = ("third", "half", "none")
"""Widths of the pane beside the list."""
NARROW = 100
"""Columns of the terminal under which there is no pane beside the list."""
KEPT = 20
"""Pages of samples kept for what acts on a row."""
UNKNOWN = "?"
"""How a value that is not known is written in a column of numbers."""
SCOPES = ("thinking", "answer", "both")

Key = tuple[str, str, str, str, str, int]


def key_of(sample: Sample) -> Key:
    """Return what a sample is told from all others by, whatever the order of the list."""
    return (sample.spec, sample.model, sample.prompt_set, sample.prompt, sample.attack, sample.replicate)


# --- filters ----------------------------------------------------------------------------------------------------------


def _parts(where: str) -> tuple[Node, ...]:
    """Return the tests of a filter that all have to hold. Raises SpecError."""
    node = parse(where)
    if node is None:
        return ()
    return node.parts if isinstance(node, All) else (node,)


def has(where: str, wanted: str) -> bool:
    """Return whether a filter asks for all that another one asks for; False where it cannot be read."""
    try:
        found = _parts(where)
    except SpecError:
        return False
    return all(part in found for part in _parts(wanted))


def added(where: str, wanted: str) -> str:
    """Return a filter that also asks for what another one asks for, the first as it was written. Raises SpecError."""
    node = parse(where)
    if node is None or has(where, wanted):
        return where if node is not None else wanted
    return f"({where.strip()}) and {wanted}" if isinstance(node, Either) else f"{where.strip()} and {wanted}"


def toggled(where: str, wanted: str) -> str:
    """Return a filter with what another one asks for, or without it where it asks for all of that. Raises SpecError."""
    if not has(where, wanted):
        return added(where, wanted)
    before = where.strip().removesuffix(wanted).strip()
    if before != where.strip() and before.endswith(" and"):
        rest = before.removesuffix(" and").strip()
        inner = rest[1:-1].strip()
        return inner if rest.startswith("(") and rest.endswith(")") and _same(inner, rest) else rest
    gone = _parts(wanted)
    left = tuple(part for part in _parts(where) if part not in gone)
    return printed(left[0] if len(left) == 1 else All(left)) if left else ""


def _same(one: str, other: str) -> bool:
    try:
        return parse(one) == parse(other)
    except SpecError:
        return False


def equals(column: str, value: str | None) -> str:
    """Return the filter that keeps one value of a column; None keeps what has none."""
    if value is None:
        return printed(Compare(column, "=", None))
    match COLUMNS[column].kind:
        case "number":
            # Every digit, and no exponent: a rounded number would find nothing.
            return f"{column} = {Decimal(repr(float(value))):f}"
        case "flag":
            return f"{column} = {value.lower()}"
        case "text":
            return printed(Compare(column, "=", value))


# --- columns ----------------------------------------------------------------------------------------------------------

SORTS = {
    "state": "state", "T": "unsafe", "A": "unsafe", "B": "unsafe", "agreement": "agreement", "labels": "labels",
    "words": "prompt",
}  # fmt: skip
"""What a column of the list sorts and counts by, where it is called otherwise."""
_LETTERS = {"thinking": "T", "answer": "A", "both": "B"}


def sort_name(column: str) -> str:
    """Return the name by which the engine sorts, filters and counts a column of the list."""
    return SORTS.get(column, column)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one list."""

    columns: tuple[Column, ...]
    scopes: tuple[str, ...]
    """Scopes that have a column of verdicts."""

    def row(self, sample: Sample) -> Row:
        """Return what stands in the columns for one sample."""
        return tuple(self._cell(column.key, sample) for column in self.columns)

    def _cell(self, column: str, sample: Sample) -> Cell | str:
        for scope in self.scopes:
            if column == _LETTERS[scope]:
                return verdict_cell(sample, scope)
        return cell(column, sample)


def layout(place: SamplesPlace, judges: Sequence[tuple[str, str]], samples: Sequence[Sample], attacks: int) -> Layout:
    """Return the columns for a list that begins with these samples; what the place holds to one value has none.

    `judges` are all judges with their scopes, `attacks` is how many attacks the catalog knows.
    """
    seen = {scope for _, scope in judges}
    scopes = tuple(scope for scope in SCOPES if scope in seen)

    def width(name: str, least: int, most: int) -> int:
        return min(max([least, *(len(str(getattr(sample, name))) for sample in samples)]), most)

    def varies(axis: str) -> bool:
        held = place.slice.values(axis)
        return held is None or len(held) > 1

    columns = [
        Column("state", "state", 7),
        *(Column(_LETTERS[scope], scope, 11) for scope in scopes),
        *([Column("agreement", "judges", 6)] if len({judge for judge, _ in judges}) > 1 else []),
        Column("thinking_tokens", "think", 6, "right"),
        Column("output_tokens", "out", 6, "right"),
        Column("seconds", "sec", 5, "right"),
        *([Column("model", "model", width("model", 8, 16))] if varies("model") else []),
        *([Column("prompt_set", "set", width("prompt_set", 4, 12))] if varies("prompt_set") else []),
        *([Column("attack", "attack", width("attack", 6, 12))] if varies("attack") and attacks != 1 else []),
        Column("prompt", "prompt", width("prompt", 6, 12)),
        *([Column("replicate", "rep", 3, "right")] if any(sample.replicate for sample in samples) else []),
        *([Column("labels", "lab", 3, "right")] if any(sample.labels for sample in samples) else []),
        Column("words", "first words", 20, flexible=True),
    ]
    return Layout(tuple(columns), scopes)


def cell(column: str, sample: Sample) -> Cell | str:  # noqa: PLR0911 -- one for each column
    """Return what stands in one column for one sample."""
    match column:
        case "state":
            return state_cell(sample)
        case "agreement":
            return _agreement(sample)
        case "thinking_tokens":
            return count(sample.thinking_tokens)
        case "output_tokens":
            return count(sample.output_tokens)
        case "seconds":
            return seconds(sample.seconds)
        case "labels":
            return Cell(str(sample.labels), "accent") if sample.labels else ""
        case "replicate":
            return str(sample.replicate)
        case "words":
            return " ".join(sample.words.split())
        case _:
            return str(getattr(sample, column))


_FAILED = {"failed": "! failed", "blocked": "! block", "missing": "· none"}


def state_cell(sample: Sample) -> Cell | str:
    """Return how far a cell has come; of what is done, where it comes from."""
    if sample.state != "done":
        return Cell(_FAILED.get(sample.state, sample.state), "dim" if sample.state == "missing" else "error")
    words = kind(sample)
    return "done" if words == "run" else Cell(words, "dim")


def kind(sample: Sample) -> str:
    """Return where a response comes from: `run`, `sim`, `imp`, with `sum` where its thinking is a summary."""
    origin = {"simulated": "sim", "imported": "imp"}.get(sample.origin, "run")
    if sample.visibility != "summary":
        return origin
    return "sum" if origin == "run" else f"{origin}+sum"


def _agreement(sample: Sample) -> Cell | str:
    if sample.agreement == "split":
        return Cell("SPLIT", "unknown")
    return Cell("agree", "dim") if sample.agreement == "agree" else ""


def count(value: int | None) -> Cell | str:
    """Return a count in at most six cells."""
    if value is None:
        return Cell(UNKNOWN, "dim")
    return f"{value:,}" if value < 100_000 else f"{value / 1000:,.0f}k"


def seconds(value: float | None) -> Cell | str:
    """Return a duration in at most five cells."""
    if value is None:
        return Cell(UNKNOWN, "dim")
    return f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


# --- verdicts ---------------------------------------------------------------------------------------------------------

_LABELS = {"full_refusal": "refused", "partial_refusal": "partly", "compliance": "complied"}
_STATUS = {
    "unparsed": "? unparsed", "no_text": "? no text", "truncated": "? cut", "judge_blocked": "! blocked",
    "judge_failed": "! failed", "not_judged": "· not yet", "blocked": "! blocked", "failed": "! failed",
    "missing": "· none",
}  # fmt: skip


def verdict_cell(sample: Sample, scope: str) -> Cell | str:
    """Return what judges say of one scope: in words, with how many of them say it where there are several."""
    badges = [badge for badge in sample.verdicts if badge.scope == scope]
    if not badges or sample.state in {"missing", "failed"}:
        return ""
    harm = [badge for badge in badges if badge.status == "ok" and badge.unsafe is not None]
    if not harm:
        return _without_harm(badges)
    bad = sum(badge.unsafe is True for badge in harm)
    unknown = sum(badge.status != "ok" for badge in badges)
    more = f" {unknown}?" if unknown else ""
    if len(harm) == 1:
        return Cell(f"{'UNSAFE' if bad else 'safe'}{more}", "unsafe" if bad else "safe")
    if bad:
        return Cell(f"UNSAFE {bad}/{len(harm)}{more}", "unsafe")
    return Cell(f"safe {len(harm)}/{len(harm)}{more}", "safe")


def _without_harm(badges: Sequence[Badge]) -> Cell | str:
    said = Counter(badge.label for badge in badges if badge.status == "ok" and badge.label)
    if said:
        [(label, times)] = said.most_common(1)
        words = _LABELS.get(label, label)
        return words if len(said) == 1 else Cell(f"{words} {times}/{said.total()}", "unknown")
    statuses = {badge.status for badge in badges if badge.status != "ok"}
    if not statuses:
        return Cell(UNKNOWN, "unknown")
    words = _STATUS.get(min(statuses), min(statuses)) if len(statuses) == 1 else "? several"
    return Cell(words, "error" if words.startswith("!") else "dim" if words.startswith("·") else "unknown")


def badge_words(badge: Badge) -> Cell:
    """Return one verdict in words: `UNSAFE 0.93`, `safe`, `refused`, `? unparsed`, `! failed`."""
    if badge.status != "ok":
        words = _STATUS.get(badge.status, f"? {badge.status}")
        return Cell(words, "error" if words.startswith("!") else "dim" if words.startswith("·") else "unknown")
    score = "" if badge.score is None else f" {badge.score:.2f}"
    label = "" if badge.label is None else _LABELS.get(badge.label, badge.label)
    if badge.unsafe is None:
        return Cell(f"{label or UNKNOWN}{score}", "plain" if label else "unknown")
    words = "UNSAFE" if badge.unsafe else "safe"
    said = f" ({label})" if label and label.lower() != words.lower() else ""
    return Cell(f"{words}{score}{said}", "unsafe" if badge.unsafe else "safe")


# --- what is there ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Held:
    """Samples that were read, by row, and those that are marked, by key."""

    pages: OrderedDict[int, tuple[Sample, ...]] = field(default_factory=OrderedDict)
    marked: dict[Key, Sample] = field(default_factory=dict)
    find: str = ""
    """Words that n and N go to."""

    def keep(self, offset: int, samples: tuple[Sample, ...]) -> None:
        """Keep a page; the one kept longest goes."""
        self.pages[offset // PAGE] = samples
        self.pages.move_to_end(offset // PAGE)
        while len(self.pages) > KEPT:
            self.pages.popitem(last=False)

    def at(self, row: int) -> Sample | None:
        """Return the sample of a row; None where it is not there."""
        page = self.pages.get(row // PAGE)
        return page[row % PAGE] if page is not None and row % PAGE < len(page) else None
