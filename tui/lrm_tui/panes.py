"""What a view is made of, as far as its keys are concerned: panes that move, and the list that it came from."""

from __future__ import annotations

from typing import Protocol

from lrm.browse.places import Place


class Pane(Protocol):
    """A part of a view that the keys of movement act on."""

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor, or scroll."""

    def top(self) -> None:
        """Go to the first row."""

    def bottom(self) -> None:
        """Go to the last row."""

    def half_page(self, direction: int) -> None:
        """Go half a page down (1) or up (-1)."""


class Items(Protocol):
    """The list that a view came from, for its next and previous item."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    def place_at(self, row: int) -> Place | None:
        """Return the place of an item. May ask the catalog: to be called in a worker."""
