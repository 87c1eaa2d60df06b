"""The view `annotate`: a response at a time, a label by a digit; judges and others are hidden until it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from lrm.browse.labels import LabelFile
from lrm.browse.places import AnnotatePlace, SamplesPlace, TracePlace
from lrm.browse.queue import Queue, open_queue
from lrm.browse.reader import Stop
from lrm.browse.rubric import Rubric, open_rubric, packaged
from lrm.browse.trace import Trace
from lrm.errors import LrmError, SpecError
from lrm_tui.actions import Action
from lrm_tui.dialogs import Ask, Choose, Confirm
from lrm_tui.screens.annotate_agreeing import Agreeing
from lrm_tui.screens.annotate_citing import Citing
from lrm_tui.screens.annotate_state import AnnotateState, panel_lines
from lrm_tui.screens.annotate_storing import Storing
from lrm_tui.screens.trace_state import Cited, Part, TraceState, Words

LONGEST_QUEUE = 20_000
"""Items that a queue made of a list of samples has at most."""


class AnnotateView(Citing, Storing, Agreeing):
    """A queue of responses to label. A label is on the disk before the next response is shown."""

    view: ClassVar[str] = "annotate"
    panel_share: ClassVar[float] = 0.4

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


def _name_fault(name: str) -> str | None:
    from lrm.text import visible

    if not name.strip():
        return "any pseudonym will do"
    return None if name == visible(name, one_line=True) else "use signs that can be shown"
