"""What every part of the view `samples` stands on: what is listed, the list itself, and what was kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lrm.browse.places import Place, SamplesPlace
from lrm_tui.base import View
from lrm_tui.screens.samples_state import Held
from lrm_tui.widgets.rows_view import RowsView

if TYPE_CHECKING:
    from lrm.browse.samples import Sample, Samples


class Listing(View):
    """A list of samples with a cursor. Whatever narrows or orders it becomes another place."""

    def __init__(self, place: Place, **given: object) -> None:
        """List the samples of a place."""
        super().__init__(place, **given)  # type: ignore[arg-type]
        self.samples: Samples | None = None
        """What is shown; None before it is there."""
        self.held = Held()
        """Pages, marks and words to find."""

    @property
    def listed(self) -> SamplesPlace:
        """What is listed."""
        return cast("SamplesPlace", self.place)

    @property
    def rows(self) -> RowsView:
        """The list."""
        return self.query_one("#list", RowsView)

    def _now(self) -> Sample | None:
        """Return the sample under the cursor; None where there is none, or it is not there yet."""
        return self.held.at(self.rows.row)

    def _go(self, place: SamplesPlace) -> None:
        self.place = place
        self.load()
        self.say()
