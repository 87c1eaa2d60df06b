"""Rows of the matrix found by their words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from lrm_tui.base import View

if TYPE_CHECKING:
    from lrm_tui.screens.matrix_state import MatrixState
    from lrm_tui.widgets.grid_view import GridView


class Finding(View):
    """The part of the matrix that goes to the rows with some words."""

    state: MatrixState | None
    """What is shown."""
    grid: GridView
    """Where it is shown."""

    def action_find(self) -> None:
        """Jump to a row by its words."""
        if self.state is None:
            return
        from lrm_tui.dialogs import Ask

        def answered(words: object) -> None:
            if isinstance(words, str) and self.state is not None:
                self.state = replace(self.state, words=words.strip())
                self._jump(0)

        self.app.push_screen(
            Ask("row with these words", self.state.words, hint="n and N go on, Esc forgets them"), answered
        )

    def action_next_match(self) -> None:
        """Go to the next row that matches."""
        self._jump(1)

    def action_previous_match(self) -> None:
        """Go to the row before that matches."""
        self._jump(-1)

    def _jump(self, by: int) -> None:
        if self.state is None or not self.state.words:
            return
        order = self.state.row_order
        places = [order.index(n) for n in self.state.matches()]
        if not places:
            self.lrm.tell(f"no row has: {self.state.words}")
        else:
            here = self.grid.row
            later = [at for at in places if at > here or (by == 0 and at == here)]
            before = [at for at in places if at < here]
            to = (before[-1] if before else places[-1]) if by < 0 else (later[0] if later else places[0])
            self.grid.jump(to, self.grid.column)
        self.say()
