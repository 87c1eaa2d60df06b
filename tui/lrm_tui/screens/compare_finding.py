"""What is marked in the texts side by side: the words that differ, and the words that are searched for."""

from __future__ import annotations

from lrm.browse.pairs import Pair
from lrm.browse.reader import Stop
from lrm_tui.dialogs import Ask
from lrm_tui.screens.compare_columns import Comparing
from lrm_tui.screens.compare_state import Parts, differences
from lrm_tui.screens.trace_state import part_text
from lrm_tui.widgets.text_view import TextView


class Finding(Comparing):
    """The part of the comparison that marks differences and matches."""

    def action_difference(self) -> None:
        """Mark the words that differ, or mark nothing."""
        self.state.difference = not self.state.difference
        self._mark_differences()
        self.say()

    def _mark_differences(self) -> None:
        views = [column.shown for column in self.columns]
        if not self.state.difference:
            for view in views:
                view.show_difference(())
            return
        texts = [None if trace is None else part_text(trace, self.state.part) for trace in self.state.traces]
        if len(texts) < 2 or sum(text is not None for text in texts) < 2:
            return
        shown = (self.state.pair, self.state.part)
        self.ask("difference", lambda stop: marked(texts, stop), lambda found: self._marked(shown, found))

    def _marked(self, shown: tuple[Pair | None, str], found: list[Parts]) -> None:
        if shown == (self.state.pair, self.state.part) and self.state.difference:
            for column, parts in zip(self.columns, found, strict=False):
                column.shown.show_difference(parts)

    def action_find(self) -> None:
        """Ask for words, and mark them in all columns."""
        self.app.push_screen(Ask(f"find in each {self.state.part}", self.state.words), self._asked)

    def _asked(self, words: object) -> None:
        if isinstance(words, str):
            self.state.words = words
            if not self._find(words) and words:
                self.lrm.tell(f"“{words}” is in none of the columns")
            self.say()

    def _find(self, words: str) -> int:
        return sum(column.shown.find(words) for column in self.columns if not column.shown.has_class("-why"))

    def action_next_match(self) -> None:
        """Go to the next match in the column."""
        self._match(1)

    def action_previous_match(self) -> None:
        """Go to the match before."""
        self._match(-1)

    def _match(self, by: int) -> None:
        if isinstance(self.pane, TextView) and self.pane.next_match(by) is None:
            self.lrm.tell("there is no match in this column: / searches")


def marked(texts: list[str | None], stop: Stop) -> list[Parts]:
    """Return what differs in each text: from the first in the others, from the second in the first."""
    first = texts[0]
    found: list[Parts] = [[] for _ in texts]
    if first is None:
        return found
    for at, text in enumerate(texts[1:], start=1):
        if text is not None:
            mine, found[at] = differences(first, text, stop)
            found[0] = found[0] or mine
    return found
