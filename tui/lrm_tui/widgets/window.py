"""Which entries of a long axis are seen, without a screen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an axis that is seen: entries that scroll, and a total after them."""

    count: int
    """Entries, the total not among them; it has the index `count`."""
    fit: int
    """How many entries there is room for, beside a pinned total."""
    first: int
    """The first one that is seen."""
    pinned: bool
    """Whether the total always stands after the entries that are seen; otherwise it scrolls with them."""

    @property
    def scrolled(self) -> int:
        """How many entries scroll."""
        return self.count if self.pinned else self.count + 1

    @property
    def last_first(self) -> int:
        """The largest first entry: the view then ends with the last one."""
        return max(self.scrolled - self.fit, 0)

    @property
    def end(self) -> int:
        """The one after the last entry that is seen."""
        return min(self.first + self.fit, self.scrolled)

    @property
    def seen(self) -> tuple[int, ...]:
        """The indexes that are seen, in order."""
        return (*range(self.first, self.end), *((self.count,) if self.pinned else ()))

    def index(self, slot: int) -> int | None:
        """Return what is seen in a slot, counted from the first one seen; None beyond the last."""
        if slot < 0 or slot > self.end - self.first or (slot == self.end - self.first and not self.pinned):
            return None
        return self.first + slot if slot < self.end - self.first else self.count

    def slot(self, index: int) -> int | None:
        """Return where an index is seen; None where it is not."""
        if self.first <= index < self.end:
            return index - self.first
        return self.end - self.first if self.pinned and index == self.count else None

    def first_for(self, index: int) -> int:
        """Return the first entry with which an index is seen, as near to the present one as can be."""
        if self.pinned and index >= self.count:
            return min(self.first, self.last_first)
        return min(max(min(self.first, index), index - max(self.fit, 1) + 1, 0), self.last_first)
