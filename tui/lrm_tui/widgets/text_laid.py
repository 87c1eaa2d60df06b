"""A long text that is laid out in short pieces of work, and scrolled."""

from __future__ import annotations

from typing import Literal

from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView

from lrm import clock
from lrm_tui.widgets.text_layout import Layout

AT_ONCE_S = 0.004
"""Seconds of layout between two turns of the event loop."""
STEP = 500
"""Characters laid out between two looks at the clock."""
WHEEL = 3
"""Rows that one notch of the wheel scrolls by."""
ASIDE = 8
"""Cells that one step to the side scrolls by."""


class LaidText(ScrollView, can_focus=False):
    """One text in rows, without what is drawn of it.

    What is at the top is there at once; a jump is made as soon as its target is laid out.
    """

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    LaidText { height: 1fr; scrollbar-size: 1 1; scrollbar-gutter: stable; overflow-x: auto; overflow-y: auto; }
    """

    def __init__(self, text: str, *, title: str, most: int, id: str | None, classes: str | None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.content = text
        """The original."""
        self.heading = title
        """What the line above the text says; no line where it is empty."""
        self.raw = False
        """Whether lines are left as they are, with line ends, tabs and selectors visible."""
        self.folded: int | None = None
        """How many rows are shown; None is all."""
        self._most = most
        self._layout = Layout(text, 80, most=most)
        self._laid_width = 0
        self._goal: tuple[Literal["top", "see", "end"], int, int] | None = None
        self._waiting = False
        self._told = 0
        self._following: tuple[LaidText, bool] | None = None
        self.followers: list[LaidText] = []
        """The views that scroll as this one does."""
        self.led = False
        """Whether it is just being scrolled by one that it follows."""

    def numbers(self) -> list[tuple[int, str]]:
        """Return words of ours to show in front of characters, by their offsets, in ascending order."""
        return []

    # What it shows

    @property
    def laid_out(self) -> bool:
        """Whether every row that can be shown has its place."""
        return self._layout.done and self._goal is None

    @property
    def hidden(self) -> int:
        """How many characters are not shown, because there are too many."""
        return len(self.content) - self._layout.end

    @property
    def top_offset(self) -> int:
        """The first character in sight."""
        if self._goal is not None and self._goal[0] == "top":
            return self._goal[1]
        row = min(self.scroll_offset.y, self._layout.height - 1)
        return self._layout.bounds(row)[0]

    @property
    def rows(self) -> int:
        """Rows of text that there are so far, folded ones left out."""
        height = self._layout.height
        return height if self.folded is None else min(height, max(self.folded, 0))

    @property
    def _above(self) -> int:
        return 1 if self.heading else 0

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width if self._has_size else 0

    @property
    def _height(self) -> int:
        return max(self.scrollable_content_region.height - self._above, 1) if self._has_size else 1

    @property
    def _has_size(self) -> bool:
        return self.is_mounted and self.size.width > 0

    def _refresh_lines(self, y: int, lines: int) -> None:
        self.refresh(Region(0, y, self._width, lines))

    def _scroll(self, x: int | None = None, y: int | None = None) -> None:
        if self._has_size:
            self.scroll_to(x=x, y=y, animate=False, force=True)

    def _note(self) -> str:
        """Return what the last line says of what is not shown."""
        more = self._layout.height - self.rows
        if more:
            return f"… {more:,} rows more, folded" if self._layout.done else "… more rows, folded"
        if self.hidden and self._layout.done:
            return f"… {self.hidden:,} characters more: O opens it"
        return ""

    # Scrolling

    def scroll_lines(self, by: int) -> None:
        """Scroll by rows."""
        if by:
            self._goal = None
            self._scroll(y=self.scroll_offset.y + by)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseScrollDown | events.MouseScrollUp, direction: int) -> None:
        event.stop()
        event.prevent_default()
        if event.ctrl or event.shift:
            self._scroll(x=self.scroll_offset.x + direction * ASIDE)
        else:
            self.scroll_lines(direction * WHEEL)

    # Two texts side by side

    def follow(self, other: LaidText, *, by_line: bool = False) -> None:
        """Scroll as another view does, by rows or in proportion; both may follow each other."""
        self.unfollow()
        self._following = (other, by_line)
        other.followers.append(self)
        self.led_by(other)

    def unfollow(self) -> None:
        """Scroll by itself again."""
        if self._following is not None:
            self._following[0].followers.remove(self)
            self._following = None

    def led_by(self, other: LaidText) -> None:
        """Scroll to where another view is."""
        if self._following is None or other.led:
            return
        whole = other.max_scroll_y
        part = other.scroll_y if self._following[1] or not whole else other.scroll_y / whole * self.max_scroll_y
        self.led = True
        self._goal = None
        self._scroll(y=round(part))
        self.led = False

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Take those along that follow."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            for follower in tuple(self.followers):
                follower.led_by(self)

    # Laying out

    def _begin(self, at: int) -> None:
        self._goal = ("top", at, at) if at else None
        self._renew()

    def _renew(self) -> None:
        """Begin to lay out; before there is a size, only note what of."""
        width = self._width
        self._layout = Layout(self.content, None if self.raw else width or 80, self.numbers(), most=self._most)
        self._laid_width = width
        self._told = 0
        if width:
            self._work()
            self.refresh()

    def on_resize(self) -> None:
        """Wrap for another width, staying where the text is."""
        if self._laid_width and (self.raw or self._width == self._laid_width):
            self._sized()
            self.refresh()
            return
        if self._laid_width and self._goal is None and self.top_offset:
            self._goal = ("top", self.top_offset, 0)
        self._renew()

    def on_unmount(self) -> None:
        """Take leave of those that it scrolls with."""
        self.unfollow()
        for follower in tuple(self.followers):
            follower.unfollow()

    def _work(self) -> None:
        layout = self._layout
        until = clock.monotonic() + AT_ONCE_S
        while not layout.done:
            layout.advance(STEP)
            if clock.monotonic() >= until:
                break
        # Another size has the whole screen laid out and drawn: told seldom, as what is there is drawn from the layout itself.
        if layout.done or layout.laid >= 2 * self._told:
            self._told = layout.laid
            short = self.virtual_size.height <= self.scroll_offset.y + self.size.height
            self._sized()
            if short:
                self.refresh()
        if self._goal is not None:
            self._reach(*self._goal)
        if not layout.done and not self._waiting:
            self._waiting = True
            self.set_timer(0.001, self._go_on)

    def _go_on(self) -> None:
        self._waiting = False
        self._work()

    def _sized(self) -> None:
        width = self._width
        widest = max(self._layout.widest, width) if self.raw else width
        height = self.rows + (1 if self._note() else 0)
        self.virtual_size = Size(widest, height + self._above)

    def _reach(self, kind: Literal["top", "see", "end"], offset: int, last: int = 0) -> None:
        """Scroll to a character, or have it done when it is laid out; `last` is another one to be seen too."""
        found = self._layout.place(offset)
        until = self._layout.place(last) if kind == "see" else found
        if found is None or until is None or not self._has_size or (kind == "end" and not self._layout.done):
            self._goal = (kind, offset, last)
            return
        self._goal = None
        self._sized()
        match kind:
            case "top":
                self._scroll(y=found[0])
            case "end":
                self._scroll(y=self.max_scroll_y)
            case "see":
                self._see(found, until)

    def _see(self, found: tuple[int, int], until: tuple[int, int]) -> None:
        row, column = found
        first, height = self.scroll_offset.y, self._height
        if row < first or until[0] >= first + height:
            # A step over the edge scrolls by a step; a jump leaves a third of the height before its target.
            step = row - height // 3
            if row == until[0] == first + height:
                step = first + 1
            elif row == first - 1:
                step = row
            self._scroll(y=max(step, 0))
        left, width = self.scroll_offset.x, self._width
        if self.raw and (column < left or (until[1] if until[0] == row else column) >= left + width):
            self._scroll(x=max(column - width // 3, 0))
