"""In which order samples are listed, and which of them: sorting, filters, and the values of a column."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from lrm.browse.reader import Stop
from lrm.errors import LrmError
from lrm_tui.dialogs import Ask
from lrm_tui.screens import frequencies
from lrm_tui.screens.samples_listing import Listing
from lrm_tui.screens.samples_state import DISAGREE, UNSAFE, UNSAFE_THINKING, added, equals, sort_name, toggled
from lrm_tui.widgets.rows_view import RowsView

if TYPE_CHECKING:
    from lrm.browse.samples import Frequency


class Narrowing(Listing):
    """The part of the list that orders and filters it."""

    def action_sort(self) -> None:
        """Sort by the column under the cursor, smallest first."""
        self._sort("")

    def action_sort_down(self) -> None:
        """Sort by the column under the cursor, largest first."""
        self._sort("-")

    def _sort(self, sign: str) -> None:
        column = self.rows.column_key
        if column is not None:
            wanted = sign + sort_name(column)
            self._go(replace(self.listed, sort="" if self.listed.sort == wanted else wanted))

    def on_rows_view_head_clicked(self, message: RowsView.HeadClicked) -> None:
        """Sort by a column: smallest first, then largest first, then as before."""
        message.stop()
        name = sort_name(message.column.key)
        after = {name: f"-{name}", f"-{name}": ""}
        self._go(replace(self.listed, sort=after.get(self.listed.sort, name)))

    def action_unsafe(self) -> None:
        """Only what a judge calls unsafe; again for all."""
        self._toggle(UNSAFE)

    def action_disagree(self) -> None:
        """Only what judges disagree on; again for all."""
        self._toggle(DISAGREE)

    def action_thinking_only(self) -> None:
        """Only what thinks unsafely and answers safely; again for all."""
        self._toggle(UNSAFE_THINKING)

    def _toggle(self, wanted: str) -> None:
        try:
            where = toggled(self.listed.where, wanted)
        except LrmError as error:
            self.lrm.tell(str(error), bad=True)
            return
        self._go(replace(self.listed, where=where))

    def action_filter(self) -> None:
        """Ask which samples."""
        from lrm.browse.filters import FIELDS

        hint = (
            'e.g. unsafe and seconds > 3 · model ~ r1 · thinking_tokens > 2k · "words of the prompt" · not (a or b)\n'
            f"{' '.join(FIELDS)}\nEmpty lists all. Enter takes it, Esc leaves it as it is."
        )

        def chosen(answer: object) -> None:
            if isinstance(answer, str):
                self._go(replace(self.listed, where=answer.strip()))

        self.app.push_screen(Ask("which samples", self.listed.where, hint=hint, check=wrong), chosen)

    def action_frequencies(self) -> None:
        """Count the values of the column under the cursor."""
        column = self.rows.column_key
        if column is None:
            return
        name = sort_name(column)
        place = self.listed

        def count(stop: Stop) -> tuple[Frequency, ...]:
            from lrm.browse.samples import frequencies as counted

            return tuple(counted(self.lrm.reader, place, name, stop))

        self.ask("frequencies", count, lambda found: frequencies.ask(self, name, found, partial(self._keep, name)))

    def _keep(self, column: str, value: str | None) -> None:
        self._go(replace(self.listed, where=added(self.listed.where, equals(column, value))))


def wrong(text: str) -> str | None:
    """Return what is wrong with a filter; None where nothing is."""
    from lrm.browse.filters import compiled

    try:
        compiled(text)
    except LrmError as error:
        return str(error)
    return None
