"""What judges and other annotators say, once it may be seen, and how far all of them agree."""

from __future__ import annotations

from functools import partial

from lrm.browse.queue import Agreed
from lrm.browse.reader import Stop
from lrm_tui.screens.annotate_labelling import Labelling
from lrm_tui.screens.annotate_state import AnnotateState, agreement_text
from lrm_tui.screens.trace_page import Page


class Agreeing(Labelling):
    """The part of labelling that shows verdicts and agreement."""

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
