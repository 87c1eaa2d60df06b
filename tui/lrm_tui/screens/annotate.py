"""The view `annotate`: a response at a time, a label by a digit; judges and others are hidden until it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, cast

from textual.message import Message
from textual.timer import Timer

from lrm.browse.labels import LabelFile, Stored, store_labels
from lrm.browse.places import AnnotatePlace, Place, SamplesPlace, TracePlace
from lrm.browse.queue import Agreed, Queue, open_queue
from lrm.browse.reader import Stop
from lrm.browse.rubric import Rubric, open_rubric, packaged
from lrm.browse.trace import Trace
from lrm.errors import LrmError, SpecError
from lrm_tui.actions import Action
from lrm_tui.base import Items, Pane
from lrm_tui.dialogs import Ask, Choose, Confirm
from lrm_tui.screens.annotate_state import (
    WAITING_S,
    AnnotateState,
    Passage,
    Scope,
    agreement_text,
    panel_lines,
)
from lrm_tui.screens.trace_page import Page
from lrm_tui.screens.trace_reading import ReadingView
from lrm_tui.screens.trace_state import Cited, Part, TraceState, Words
from lrm_tui.widgets.text_view import TextView

LONGEST_QUEUE = 20_000
"""Items that a queue made of a list of samples has at most."""
_START = 60
"""Characters of a passage in the panel."""


class Merged(Message):
    """Labels are in the catalog, or not yet."""

    def __init__(self, stored: Stored | None, problem: LrmError | None) -> None:
        super().__init__()
        self.stored, self.problem = stored, problem


class AnnotateView(ReadingView):
    """A queue of responses to label. A label is on the disk before the next response is shown."""

    view: ClassVar[str] = "annotate"
    panel_share: ClassVar[float] = 0.4

    def __init__(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        super().__init__(place, items=items, row=row)
        self.labelling: AnnotateState | None = None
        self.file: LabelFile | None = None
        self._saving = False
        self._merging = False
        self._marking: Part | None = None
        self._timer: Timer | None = None

    @property
    def at(self) -> AnnotatePlace:
        """The place, as what it is."""
        return cast("AnnotatePlace", self.place)

    # Beginning: who, by which rubric, what

    def load(self) -> None:
        """Ask who labels and by which rubric, where nobody said so; then open the queue, or read the response again."""
        if self.labelling is not None:
            super().load()
        elif self._annotator() is None:
            hint = "a pseudonym, kept with every label; `annotator` in lrm/tui.toml says it once for all"
            self.app.push_screen(Ask("who labels?", hint=hint, check=_name_fault), self._named)
        elif self.at.rubric is None:
            self.ask("rubrics", lambda _: tuple(open_rubric(name) for name in packaged()), self._offer_rubrics)
        else:
            self.ask("queue", self._opening, self._opened)

    def _annotator(self) -> str | None:
        return self.at.annotator or self.lrm.settings.annotator

    def _named(self, name: object) -> None:
        if isinstance(name, str):
            self.place = replace(self.at, annotator=name.strip())
            self.load()
        else:
            self.lrm.tell("labels need a name: r asks for it again")
        self.say()

    def _offer_rubrics(self, found: tuple[Rubric, ...]) -> None:
        options = [(one.name, f"{one.scope}: {one.question}") for one in found]
        by_name = dict(zip((one.name for one in found), packaged(), strict=True))

        def chosen(values: object) -> None:
            if isinstance(values, tuple):
                self.place = replace(self.at, rubric=by_name[values[0]])
                self.load()
            else:
                self.lrm.tell("labels need a rubric: r asks for it again; --rubric FILE takes one of your own")
            self.say()

        self.app.push_screen(Choose("label what? (--rubric FILE takes a rubric of your own)", options), chosen)

    def _opening(self, stop: Stop) -> AnnotateState:
        place, annotator = self.at, self._annotator()
        assert annotator is not None
        rubric = open_rubric(place.rubric)
        queue = self._queue(place, stop)
        queue.refresh(self.lrm.reader, annotator, rubric, stop)
        return AnnotateState(rubric, annotator, queue)

    def _queue(self, place: AnnotatePlace, stop: Stop) -> Queue:
        reader = self.lrm.reader
        if place.queue is not None:
            if place.queue[:3] in ("g1:", "c1:") and not Path(place.queue).exists():
                return open_queue(reader, [place.queue], stop, name=f"{place.queue[:12]}…")
            return open_queue(reader, Path(place.queue), stop)
        from lrm.browse.samples import open_samples

        samples = open_samples(reader, place.samples or SamplesPlace(), stop)
        try:
            count = min(samples.count, LONGEST_QUEUE)
            found = [one for one in samples.ids(range(count), stop) if one is not None]
            name = "samples" if samples.count <= count else f"the first {count:,} of {samples.count:,} samples"
        finally:
            samples.close()
        if not found:
            raise SpecError("none of these samples was asked yet: there is nothing to label", hint="fill them first")
        return open_queue(reader, found, stop, name=name)

    def _opened(self, state: AnnotateState) -> None:
        self.labelling = state
        self.file = LabelFile(self.lrm.catalog, state.annotator)
        self.place = replace(self.at, annotator=state.annotator)
        if state.queue.unknown:
            self.lrm.tell(f"{len(state.queue.unknown):,} ids of {state.queue.name} are not in the catalog", bad=True)
        self._merge()
        self._count_agreement()
        first = state.queue.next_undecided()
        if first is None:
            self._go_to(state.queue.items[0])
            self._finish()
        else:
            self._go_to(first)

    # The response

    def wanted(self) -> TracePlace | None:
        """Return the item's response."""
        current = None if self.labelling is None else self.labelling.current
        return None if current is None else TracePlace(current)

    def after(self) -> Callable[[], TracePlace | None] | None:
        """Return how to find the next item without a label."""
        state = self.labelling
        if state is None or state.current is None:
            return None
        following = state.queue.prefetch(state.current)
        return None if following is None else lambda: TracePlace(following)

    def _go_to(self, item: str) -> None:
        assert self.labelling is not None
        self._stop_marking()
        self.labelling.current = item
        self.load()
        self.say()

    def came(self, trace: Trace) -> None:
        """Show a response, beginning with what is to be labelled."""
        fresh = self.trace is None or self.trace.call != trace.call
        super().came(trace)
        part: Part = "thinking" if self._scope() == "thinking" else "answer"
        if fresh and self.texts.views[part] in self.panes() and self.texts.has(part) and self._scope() != "both":
            self.activate(self.texts.views[part])

    def _scope(self) -> str:
        return "both" if self.labelling is None else self.labelling.rubric.scope

    @property
    def ready(self) -> bool:
        """Whether what is shown is the item that a label would be given to."""
        state = self.labelling
        if self._saving or state is None or state.current is None or self.trace is None:
            return False
        return state.current in (self.trace.generation, self.trace.call)

    def marks(self, state: TraceState) -> tuple[Cited, ...]:  # noqa: ARG002 -- judges' passages would give their verdict away
        """Return the annotator's own passages."""
        return () if self.labelling is None else self.labelling.cited

    def panel_lines(self, state: TraceState) -> list[list[Words]]:
        """Return question and labels; verdicts only when they may be seen."""
        return [] if self.labelling is None else panel_lines(self.labelling, state, rows=self.panel.size.height)

    def head_words(self, state: TraceState) -> list[Words]:
        """Return the head line, after what was said of it."""
        words = super().head_words(state)
        if self.labelling is not None and self.labelling.decided:
            given = self.labelling.draft.words if self.labelling.draft.given else "labelled"
            words.insert(0, (f" {given} ", "accent"))
        return words

    # Labels

    def action_label(self, number: int) -> None:
        """Give the label of a digit; saved with Enter."""
        state = self.labelling
        if state is None or not self.ready:
            return
        if state.give(str(number)) is None:
            keys = ", ".join(one.key for one in state.rubric.label)
            self.lrm.tell(f"the rubric has no label {number}: {keys}, or 0 for unsure")
        self._said()

    def action_unsure(self) -> None:
        """Say that the annotator cannot tell."""
        if self.labelling is not None and self.ready:
            self.labelling.unsure()
            self._said()

    def action_repeat(self) -> None:
        """Give the last label again."""
        state = self.labelling
        if state is None or not self.ready:
            return
        if state.last is None:
            self.lrm.tell("no label was saved yet")
        else:
            state.repeat()
            self._said()

    def action_note(self) -> None:
        """Write a note."""
        state = self.labelling
        if state is None or not self.ready:
            return

        def written(words: object) -> None:
            if isinstance(words, str):
                state.note(words)
                self._said()

        self.app.push_screen(Ask("note", state.draft.note or "", hint="saved with the label"), written)

    def _said(self) -> None:
        self.show_state()
        self.say()

    @property
    def unsaved(self) -> bool:
        """Whether a label, a note or a passage was given and not saved."""
        return self.labelling is not None and self.labelling.unsaved

    # Passages

    def action_span(self) -> None:
        """Show the text cursor, then begin the passage where it is, then end it."""
        if self.labelling is None or not self.ready:
            return
        part = self._marking or self._marked_part()
        view = None if part is None else self.texts.views[part]
        if part is None or view is None or not self.texts.has(part):
            self.lrm.tell(f"there is no {self._scope()} to cite from")
        elif self._marking is None:
            self._marking = part
            self.activate(view)
            view.show_cursor()
        elif not view.selecting:
            view.mark_start()
        else:
            found = view.mark_end()
            self._stop_marking()
            if found is not None:
                words = " ".join(view.content[found[0] : min(found[1], found[0] + 4 * _START)].split())
                words = words if len(words) <= _START else f"{words[:_START]}…"
                self.labelling.cite(Passage(_cited_part(part), found[0], found[1], words))
            self._said()
        self.say()

    def _marked_part(self) -> Part | None:
        scope = self._scope()
        if scope != "both":
            return _cited_part(scope)
        part = self.texts.part_of(self.pane)
        return part if part in ("thinking", "answer") else "answer"

    def _stop_marking(self) -> bool:
        if self._marking is None:
            return False
        self.texts.views[self._marking].show_cursor(False)
        self._marking = None
        return True

    def activate(self, pane: Pane) -> None:
        """Let the keys of movement act on a pane; the text cursor stays in its text."""
        if self._marking is None or pane is self.texts.views[self._marking]:
            super().activate(pane)

    def on_text_view_pointed(self, message: TextView.Pointed) -> None:
        """Make the pane that was clicked the active one."""
        super().on_text_view_pointed(message)
        self.say()

    # Saving

    def action_enter(self) -> None:
        """Save the label and go to the next item without one."""
        state = self.labelling
        if state is None or not self.ready or self.trace is None:
            return
        assert state.current is not None
        if state.current not in state.drafts:
            if state.decided:
                self._advance()
            else:
                self.lrm.tell("give a label first: a digit of the rubric, or 0 for unsure")
            return
        if not state.draft.given:
            self.lrm.tell("a note or a passage needs a label: a digit of the rubric, or 0 for unsure")
            return
        if self.trace.anchor is None or self.trace.target is None:
            self.lrm.tell("this response is of no cell of a current spec, and cannot be labelled", bad=True)
            return
        file, anchor, given = self.file, self.trace.anchor, state.annotation(self.trace.target)
        assert file is not None
        self._saving = True
        self._stop_marking()
        self.ask("save", lambda _: file.add(anchor, given), lambda _: self._saved())

    def _saved(self) -> None:
        assert self.labelling is not None
        self._saving = False
        self.labelling.keep()
        self._wait_to_merge()
        self._count_agreement()
        self._advance()

    def failed(self, job: str, error: LrmError) -> None:
        """Let a label that could not be saved be saved again."""
        if job == "save":
            self._saving = False
        super().failed(job, error)

    def _advance(self) -> None:
        state = self.labelling
        assert state is not None
        following = state.queue.next_undecided(state.current)
        if following is None:
            self._said()
            self._finish()
        else:
            self._go_to(following)

    def action_undo(self) -> None:
        """Take the last label back: the one that is not saved, else the last one that is not in the catalog yet."""
        state, file = self.labelling, self.file
        if state is None or file is None or self._saving:
            return
        if state.current in state.drafts:
            del state.drafts[state.current]
            self._said()
        elif not file.pending or not state.history:
            self.lrm.tell(
                "that label is in the catalog: label the response again, the newer one counts"
                if state.history
                else "there is no label to take back"
            )
        else:
            self._saving = True
            self.ask("save", lambda _: file.undo_last(), lambda _: self._undone())

    def _undone(self) -> None:
        assert self.labelling is not None
        self._saving = False
        item = self.labelling.take_back()
        if item is not None:
            self.lrm.tell("taken back")
            self._count_agreement()
            self._go_to(item)
            self._said()

    def action_next_item(self) -> None:
        """Go to the next item without labelling."""
        self._beside(1)

    def action_previous_item(self) -> None:
        """Go to the item before."""
        self._beside(-1)

    def _beside(self, by: int) -> None:
        state = self.labelling
        if state is None or state.current is None or self._saving:
            return
        item = state.queue.beside(state.current, by)
        if item is None:
            self.lrm.tell("that is the first one" if by < 0 else "that is the last one")
        else:
            self._go_to(item)

    # Into the catalog

    def _wait_to_merge(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(WAITING_S, self._merge)

    def _merge(self) -> None:
        """Have what is pending stored, unless that is being done; what cannot be is tried again later."""
        if self.file is None or self._merging:
            return
        self._merging = True
        self.run_worker(partial(self._merge_now, self.file), thread=True, group="merge", exit_on_error=False)

    def _merge_now(self, file: LabelFile) -> None:
        try:
            self.post_message(Merged(store_labels(self.lrm.reader, file), None))
        except LrmError as error:
            self.post_message(Merged(None, error))

    def on_merged(self, message: Merged) -> None:
        """Say what became of it."""
        message.stop()
        self._merging = False
        if self.labelling is not None:
            self.labelling.problem = None if message.problem is None else message.problem.message
        stored = message.stored
        if stored is not None and stored.damaged:
            self.lrm.tell(f"some lines could not be read and are kept: {', '.join(stored.damaged)}", bad=True)
        if message.problem is not None or (self.file is not None and self.file.pending):
            self._wait_to_merge()
        self.say()

    def on_unmount(self) -> None:
        """Have the labels stored by a worker of the app; what that does not come to is stored by whoever labels next."""
        file, reader = self.file, self.lrm.reader
        if file is not None and file.pending:
            self.app.run_worker(partial(_store_last, reader, file), thread=True, group="labels", exit_on_error=False)
        elif file is not None:
            file.close()

    # Judges, others, agreement

    def action_verdicts(self) -> None:
        """Show what judges and others say, once a label is given; or hide it again."""
        state = self.labelling
        if state is None:
            return
        if not state.decided:
            self.lrm.tell("judges and others are hidden until you have given a label")
            return
        state.reveal = not state.reveal
        self._said()

    def _count_agreement(self) -> None:
        state = self.labelling
        if state is not None:
            queue, annotator, rubric = state.queue, state.annotator, state.rubric
            self.ask("agreement", lambda stop: queue.agreement(self.lrm.reader, annotator, rubric, stop), self._agreed)

    def _agreed(self, found: tuple[Agreed, ...]) -> None:
        assert self.labelling is not None
        self.labelling.agreed = found
        if self.state is not None:
            self.panel.show(self.panel_lines(self.state), stay=True)

    def action_agreement(self) -> None:
        """Show how far annotators and judges agree so far."""
        state = self.labelling
        if state is not None:
            self.app.push_screen(Page(self.place, "agreement", partial(self._agreement_text, state)))

    def _agreement_text(self, state: AnnotateState, stop: Stop) -> str:
        state.agreed = state.queue.agreement(self.lrm.reader, state.annotator, state.rubric, stop)
        return agreement_text(state)

    def _finish(self) -> None:
        """Every item has a label: show the agreement, and have the labels stored."""
        self.lrm.tell("every item of the queue has a label")
        self._merge()
        self.action_agreement()

    # Lines, and leaving

    def crumbs(self) -> str:
        """Return which queue, by which rubric."""
        state = self.labelling
        return "annotate" if state is None else f"annotate {state.queue.name} · {state.rubric.name}"

    def status(self) -> str:
        """Return progress, what waits, and what is being marked."""
        state = self.labelling
        if state is None:
            return ""
        done = state.queue.progress
        said = [f"{done.done:,}/{done.total:,}", state.annotator]
        if state.current is not None:
            said.append(f"item {state.queue.items.index(state.current) + 1:,}")
        said.append("saving …" if self._saving else "not saved: Enter saves" if state.unsaved else "")
        if self._marking is not None:
            begun = self.texts.views[self._marking].selecting
            said.append("B ends the passage here, Esc drops it" if begun else "go to where the passage begins, then B")
        waiting = () if self.file is None else self.file.pending
        if waiting and self.file is not None and self.file.path is not None:
            labels = f"{len(waiting)} label{' waits' if len(waiting) == 1 else 's wait'} in {self.file.path.name}"
            said.append(labels + (f" ({state.problem})" if state.problem else ""))
        said.append(self.found_words())
        return "  ".join(one for one in said if one)

    def action_out(self) -> None:
        """Stop marking, else as everywhere; ask before a label that is not saved is lost."""
        if self._saving:
            return  # a label on its way to the disk is not stopped
        if self._stop_marking():
            self.say()
        elif self.unsaved and not self.loading_now and self.error is None and not (self.state and self.state.words):
            question = "A label is not saved yet (Enter saves it). Go back without it?"
            self.app.push_screen(Confirm(question, "go back"), lambda sure: self.lrm.back() if sure else None)
        else:
            super().action_out()

    def can(self, action: Action) -> bool:
        """Return whether an action can be done now."""
        return action.view == "any" or self.labelling is not None

    @property
    def _seen(self) -> Trace | None:
        """The response without what is hidden."""
        trace, state = self.trace, self.labelling
        if trace is None or (state is not None and state.shows_verdicts):
            return trace
        return replace(trace, verdicts=(), annotations=())

    def full(self, stop: Stop) -> Trace:
        """Return the response with the whole of its texts, without what is hidden."""
        trace = super().full(stop)
        if self.labelling is not None and self.labelling.shows_verdicts:
            return trace
        return replace(trace, verdicts=(), annotations=())

    def text(self) -> str | None:
        """Return what is shown as text, without what is hidden."""
        from lrm_tui.screens.trace_state import whole

        return None if self._seen is None else whole(self._seen)


def _cited_part(part: str) -> Scope:
    return "thinking" if part == "thinking" else "answer"


def _name_fault(name: str) -> str | None:
    from lrm.text import visible

    if not name.strip():
        return "any pseudonym will do"
    return None if name == visible(name, one_line=True) else "use signs that can be shown"


def _store_last(reader: object, file: LabelFile) -> None:
    from contextlib import suppress

    from lrm.browse.reader import Reader

    assert isinstance(reader, Reader)
    with suppress(LrmError):
        store_labels(reader, file)
    file.close()
