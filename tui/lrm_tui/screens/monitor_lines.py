"""A page of styled lines, some of which can be chosen: what the monitor and the plan are drawn with."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lrm.text import visible

Style = Literal["plain", "head", "good", "bad", "warn", "dim", "bar", "rest", "key"]
STYLES: tuple[Style, ...] = ("head", "good", "bad", "warn", "dim", "bar", "rest", "key")
WHEEL = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text in one style."""

    text: str
    style: Style = "plain"


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line. With a key it can be chosen."""

    pieces: tuple[Piece, ...] = ()
    key: Hashable | None = None

    @property
    def text(self) -> str:
        """The line without its styles."""
        return "".join(piece.text for piece in self.pieces)


def line(*parts: str | Piece, key: Hashable | None = None) -> TextLine:
    """Return a line of texts and pieces."""
    return TextLine(tuple(Piece(part) if isinstance(part, str) else part for part in parts), key)


class LinesPane(ScrollView, can_focus=False):
    """Lines with a cursor on those that can be chosen. Only lines that changed are drawn again."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    LinesPane { height: 1fr; background: $background; color: $foreground; scrollbar-size: 1 1; padding: 0 1; }
    LinesPane > .lines--head { text-style: bold; color: $primary; }
    LinesPane > .lines--good { color: $success; }
    LinesPane > .lines--bad { color: $error; text-style: bold; }
    LinesPane > .lines--warn { color: $warning; }
    LinesPane > .lines--dim { color: $secondary; }
    LinesPane > .lines--bar { color: $primary; }
    LinesPane > .lines--rest { color: $panel; }
    LinesPane > .lines--key { color: $accent; text-style: bold; }
    LinesPane > .lines--cursor { background: $primary 30%; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"lines--cursor", *(f"lines--{style}" for style in STYLES)}

    class Chosen(Message):
        """A line was clicked twice."""

        def __init__(self, pane: LinesPane, key: Hashable) -> None:
            super().__init__()
            self.pane, self.key = pane, key

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 -- Textual's own word
        super().__init__(id=id)
        self.lines: tuple[TextLine, ...] = ()
        self.at: int | None = None
        """The cursor's line; None where none can be chosen."""
        self.drawn = 0
        """Lines drawn so far, for whoever counts."""

    @property
    def key(self) -> Hashable | None:
        """The key of the line under the cursor."""
        return None if self.at is None else self.lines[self.at].key

    def show(self, lines: Sequence[TextLine]) -> None:
        """Show lines in place of those before; the cursor stays on its key, or near where it was."""
        key, old = self.key, self.lines
        if tuple(lines) == old:
            return
        self.lines = tuple(lines)
        before = self.at
        self.at = self._at(key)
        if before != self.at and before is not None:
            self._refresh_line(before)
        size = Size(max((cell_len(one.text) for one in self.lines), default=0), len(self.lines))
        if size != self.virtual_size:
            self.virtual_size = size
        if len(old) != len(self.lines):
            self.refresh()
            return
        for n, (one, other) in enumerate(zip(self.lines, old, strict=True)):
            if one != other:
                self._refresh_line(n)
        if before != self.at and self.at is not None:
            self._refresh_line(self.at)

    def _at(self, key: Hashable | None) -> int | None:
        choosable = [n for n, one in enumerate(self.lines) if one.key is not None]
        if not choosable:
            return None
        same = next((n for n in choosable if self.lines[n].key == key), None)
        return same if same is not None else min(choosable, key=lambda n: abs(n - (self.at or 0)))

    def put(self, key: Hashable) -> None:
        """Put the cursor on a line by its key, where there is such a line."""
        for n, one in enumerate(self.lines):
            if one.key is not None and one.key == key:
                self._to(n)
                return

    # The keys of movement

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor over the lines that can be chosen, else scroll; sideways always scrolls."""
        if columns:
            self.scroll_relative(x=8 * columns, animate=False)
        if not rows:
            return
        later = [n for n, one in enumerate(self.lines) if one.key is not None and (n - (self.at or 0)) * rows > 0]
        if self.at is None:
            self.scroll_relative(y=rows, animate=False)
        elif later:
            self._to(sorted(later, key=lambda n: abs(n - (self.at or 0)))[min(abs(rows), len(later)) - 1])
        else:
            self.scroll_relative(y=rows, animate=False)  # to see what stands beyond the last one

    def top(self) -> None:
        """Go to the first line."""
        first = next((n for n, one in enumerate(self.lines) if one.key is not None), None)
        if first is not None:
            self._to(first)
        self.scroll_home(animate=False)

    def bottom(self) -> None:
        """Go to the last line."""
        last = next((n for n in reversed(range(len(self.lines))) if self.lines[n].key is not None), None)
        if last is not None:
            self._to(last)
        self.scroll_end(animate=False)

    def half_page(self, direction: int) -> None:
        """Go half a page."""
        self.move(direction * max(self.size.height // 2, 1), 0)

    def _to(self, n: int) -> None:
        before, self.at = self.at, n
        for one in (before, n):
            if one is not None:
                self._refresh_line(one)
        self.scroll_to_region(Region(self.scroll_offset.x, n, 1, 1), animate=False)

    def _refresh_line(self, n: int) -> None:
        y = n - self.scroll_offset.y
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    # Drawing

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen."""
        width, base = self.size.width, self.rich_style
        n = y + self.scroll_offset.y
        self.drawn += 1
        if n >= len(self.lines):
            return Strip.blank(width, base)
        # A partial style would lose the background's transparency, and what stands on it could not be read.
        whole = self.get_component_rich_style("lines--cursor")
        under = RichStyle(bgcolor=whole.bgcolor, bold=True) if n == self.at else RichStyle()
        pieces = [
            Segment(visible(piece.text, one_line=True), base + self._style(piece.style) + under)
            for piece in self.lines[n].pieces
        ]
        strip = Strip(pieces).extend_cell_length(self.scroll_offset.x + width, base + under)
        return strip.crop(self.scroll_offset.x, self.scroll_offset.x + width)

    def _style(self, style: Style) -> RichStyle:
        return RichStyle() if style == "plain" else self.get_component_rich_style(f"lines--{style}", partial=True)

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where it was clicked; twice chooses."""
        found = event.get_content_offset(self)
        n = self.scroll_offset.y + (found.y if found is not None else event.y)
        if not 0 <= n < len(self.lines) or (key := self.lines[n].key) is None:
            return
        self._to(n)
        if event.chain >= 2:
            self.post_message(self.Chosen(self, key))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll down."""
        event.stop()
        self.scroll_relative(y=WHEEL, animate=False)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll up."""
        event.stop()
        self.scroll_relative(y=-WHEEL, animate=False)
