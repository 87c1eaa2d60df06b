"""What every part of the view `annotate` stands on: the queue and its state, and the labels that are given."""

from __future__ import annotations

from typing import cast

from textual.timer import Timer

from lrm.browse.labels import LabelFile
from lrm.browse.places import AnnotatePlace, Place
from lrm_tui.dialogs import Ask
from lrm_tui.panes import Items
from lrm_tui.screens.annotate_state import AnnotateState
from lrm_tui.screens.trace_reading import ReadingView
from lrm_tui.screens.trace_state import Part


class Labelling(ReadingView):
    """A response of a queue, and what its annotator says of it before it is saved."""

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

    def _scope(self) -> str:
        return "both" if self.labelling is None else self.labelling.rubric.scope

    @property
    def ready(self) -> bool:
        """Whether what is shown is the item that a label would be given to."""
        state = self.labelling
        if self._saving or state is None or state.current is None or self.trace is None:
            return False
        return state.current in (self.trace.generation, self.trace.call)

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
