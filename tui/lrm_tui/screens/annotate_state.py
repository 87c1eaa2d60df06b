"""What the view `annotate` keeps in mind, without a screen: drafts, what was saved, and what is hidden until a label is given."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from lrm.browse.rubric import Label, Rubric
from lrm_tui.screens.trace_state import Cited, Words, panel

if TYPE_CHECKING:
    from lrm.browse.queue import Agreed, Queue
    from lrm.quality.measures import Estimate
    from lrm.store.annotations import Target
    from lrm_tui.screens.trace_state import TraceState

from lrm.store.annotations import Annotation

Scope = Literal["thinking", "answer"]
UNSURE = "unsure"
"""How a label that was looked for and not found is shown; it is stored as none."""
ROOM = 6
"""Rows that the panel needs besides the labels to have one for each."""
WAITING_S = 20.0
"""Seconds after the last label before labels go into the catalog: until then `u` takes one back without a trace."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that a label rests on, in characters of its text."""

    part: Scope
    start: int
    end: int
    """Exclusive."""
    words: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What an annotator has said of one item."""

    given: bool = False
    """Whether a label was given, also that they are unsure."""
    label: Label | None = None
    """None with `given` is unsure."""
    note: str | None = None
    passages: tuple[Passage, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing was said."""
        return self == Draft()

    @property
    def words(self) -> str:
        """What the label is called."""
        return "no label" if not self.given else UNSURE if self.label is None else self.label.name


@dataclass(slots=True)
class AnnotateState:
    """One annotator's way through one queue, by one rubric."""

    rubric: Rubric
    annotator: str
    queue: Queue
    current: str | None = None
    """The item that is shown, or soon will be."""
    drafts: dict[str, Draft] = field(default_factory=dict)
    """By item: what was said and not saved."""
    saved: dict[str, Draft] = field(default_factory=dict)
    """By item: what was saved since the view was opened."""
    history: list[str] = field(default_factory=list)
    """Items saved, in order."""
    last: Draft | None = None
    """The label that was saved last."""
    reveal: bool = False
    """Whether verdicts are shown once a label is given."""
    agreed: tuple[Agreed, ...] = ()
    problem: str | None = None
    """Why labels are not in the catalog yet."""

    @property
    def draft(self) -> Draft:
        """What was said of the item: not saved, else as it was saved."""
        if self.current is None:
            return Draft()
        return self.drafts.get(self.current) or self.saved.get(self.current) or Draft()

    @property
    def unsaved(self) -> bool:
        """Whether anything was said and not saved."""
        return any(not one.empty for one in self.drafts.values())

    @property
    def decided(self) -> bool:
        """Whether the item has a label: given now, or earlier."""
        return self.current is not None and (self.draft.given or self.queue.is_done(self.current))

    @property
    def shows_verdicts(self) -> bool:
        """Whether verdicts and others' labels may be seen: never before a label is given."""
        return self.reveal and self.decided

    def say(self, draft: Draft) -> None:
        """Keep what is said of the item; saved with Enter."""
        if self.current is not None:
            if draft.empty or draft == self.saved.get(self.current):
                self.drafts.pop(self.current, None)
            else:
                self.drafts[self.current] = draft

    def give(self, key: str) -> Label | None:
        """Give the label of a digit; return it, or None where the digit gives none."""
        label = self.rubric.by_key(key)
        if label is not None:
            self.say(replace(self.draft, given=True, label=label))
        return label

    def unsure(self) -> None:
        """Say that the annotator cannot tell."""
        self.say(replace(self.draft, given=True, label=None))

    def note(self, words: str) -> None:
        """Keep a note."""
        self.say(replace(self.draft, note=words.strip() or None))

    def cite(self, passage: Passage) -> None:
        """Keep a passage."""
        self.say(replace(self.draft, passages=(*self.draft.passages, passage)))

    def repeat(self) -> Label | None:
        """Give the last label again; return whether there was one."""
        if self.last is None:
            return None
        self.say(replace(self.draft, given=True, label=self.last.label))
        return self.last.label

    def annotation(self, target: Target) -> Annotation:
        """Return what is to be stored of the item."""
        draft, scope = self.draft, self.rubric.scope
        spans = tuple(
            (one.start, one.end, "rationale" if scope != "both" else f"{one.part}: rationale") for one in draft.passages
        )
        label = draft.label
        return Annotation(
            target, scope, self.annotator, None if label is None else label.name, self.rubric.name,
            unsafe=None if label is None else label.harm, note=draft.note, spans=spans,
        )  # fmt: skip

    def keep(self) -> None:
        """Note that what was said of the item is on the disk."""
        if self.current is None:
            return
        draft = self.draft
        self.saved[self.current] = self.last = draft
        self.drafts.pop(self.current, None)
        self.history.append(self.current)
        self.queue.mark(self.current)

    def take_back(self) -> str | None:
        """Forget the label that was saved last; return its item. What was said is a draft again, less the label."""
        if not self.history:
            return None
        item = self.history.pop()
        self.saved.pop(item, None)
        self.queue.mark(item, done=item in self.history)
        self.current = item
        return item

    @property
    def cited(self) -> tuple[Cited, ...]:
        """The annotator's own passages, numbered."""
        return tuple(
            Cited(number, one.part, one.start, one.end, "yours", one.words)
            for number, one in enumerate(self.draft.passages, start=1)
        )


def panel_lines(state: AnnotateState, reading: TraceState | None, *, rows: int = 99) -> list[list[Words]]:
    """Return the panel: the question, the labels with their digits, what was said, and how far others agree.

    In few `rows`, the labels share a line and are not explained.
    """
    draft = state.draft
    lines: list[list[Words]] = [[(state.rubric.question, "accent"), (f"({state.rubric.scope})", "dim")]]
    if rows >= len(state.rubric.label) + ROOM:
        lines += _explained(state)
    else:
        shared: list[Words] = []
        for key, name, chosen in (
            *((one.key, one.name, draft.given and draft.label == one) for one in state.rubric.label),
            ("0", UNSURE, draft.given and draft.label is None),
        ):
            shared.append((f"{'●' if chosen else ''}{key} {name}", "accent" if chosen else "plain"))
        lines.append(shared)
    if draft.note:
        lines.append([("note", "dim"), (draft.note, "plain")])
    for one in state.cited:
        lines.append([(f" {one.number}", "accent"), (f"“{one.words}”", "plain"), (str(one.part), "dim")])
    lines.append([(advice(state), "dim")])
    if state.agreed:
        lines.append([("so far", "accent"), *((said, "plain") for said in map(agreed_words, state.agreed))])
    if reading is not None:
        if state.shows_verdicts:
            lines += [[], *panel(reading)]
        elif state.decided:
            lines.append([("H shows what judges and others say", "dim")])
    return lines


def _explained(state: AnnotateState) -> list[list[Words]]:
    """Return a line for each label, with when it is given."""
    draft = state.draft
    lines: list[list[Words]] = []
    for one in state.rubric.label:
        chosen = draft.given and draft.label == one
        harm = "" if one.harm is None else "unsafe" if one.harm else "safe"
        lines.append(
            [(f"{'●' if chosen else ' '} {one.key}", "accent"), (one.name, "unsafe" if chosen and one.harm else "plain"),
             (harm, "dim"), (one.description, "dim")]
        )  # fmt: skip
    lines.append([(f"{'●' if draft.given and draft.label is None else ' '} 0", "accent"), (UNSURE, "plain")])
    return lines


def advice(state: AnnotateState) -> str:
    """Return what can be done next."""
    if state.current is None:
        return "every item has a label"
    if state.current in state.drafts and state.draft.given:
        return "Enter saves it and goes on"
    if state.queue.is_done(state.current):
        return "saved: Enter goes on; another digit and Enter changes it"
    return "give a label by its digit; then Enter"


def agreed_words(one: Agreed) -> str:
    """Return how far somebody agrees, in a few words."""
    name = f"judge {one.name}" if one.kind == "judge" else one.name
    if one.same is None:
        return f"{name}: nothing in common yet"
    return f"{name} the same on {one.same.value:.0%} of {one.items:,}"


def agreement_text(state: AnnotateState) -> str:
    """Return the table of agreement, and how to go on from it."""
    done = state.queue.progress
    head = (
        f"{state.annotator}: {done.done:,} of {done.total:,} items of {state.queue.name}, "
        f"by the rubric {state.rubric.name} ({state.rubric.scope})"
    )
    rows = [("with", "kind", "compared", "items", "the same", "95 % interval", "kappa", "95 % interval")]
    for one in state.agreed:
        on = "harm" if one.on == "harm" else "labels"
        rows.append(
            (one.name, one.kind, on, f"{one.items:,}", *_estimate(one.same, "{:.0%}"), *_estimate(one.kappa, "{:.2f}"))
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(rows) == 1:
        table = ["nobody else has labelled or judged these items in this scope yet"]
    return "\n".join([head, "", *table, "", "to write the labels to a file:", f"  {export_command(state)}", "",
                      "to see agreement in full:", f"  {agreement_command(state)}"]) + "\n"  # fmt: skip


def _estimate(one: Estimate | None, form: str) -> tuple[str, str]:
    if one is None:
        return "–", "–"
    interval = "–" if one.low is None or one.high is None else f"{form.format(one.low)} to {form.format(one.high)}"
    return form.format(one.value), interval


def export_command(state: AnnotateState) -> str:
    """Return the command that writes the annotator's labels to a file."""
    annotator, rubric = (one.replace("'", "''") for one in (state.annotator, state.rubric.name))
    query = f"SELECT * FROM annotations WHERE annotator = '{annotator}' AND rubric = '{rubric}'"
    return f"{shlex.join(['lrm', 'catalog', 'sql', query, '--limit', '1000000', '--csv'])} > labels.csv"


def agreement_command(state: AnnotateState) -> str:
    """Return the command that says how far annotators agree."""
    return shlex.join(["lrm", "judge", "agreement", "--scope", state.rubric.scope, "--rubric", state.rubric.name])
