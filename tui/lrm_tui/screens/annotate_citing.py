"""The passages that a label rests on: marked with the text cursor, in the part that is labelled."""

from __future__ import annotations

from lrm_tui.panes import Pane
from lrm_tui.screens.annotate_labelling import Labelling
from lrm_tui.screens.annotate_state import Passage, Scope
from lrm_tui.screens.trace_state import Part
from lrm_tui.widgets.text_view import TextView

_START = 60
"""Characters of a passage in the panel."""


class Citing(Labelling):
    """The part of labelling that marks passages."""

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


def _cited_part(part: str) -> Scope:
    return "thinking" if part == "thinking" else "answer"
