"""A long text on the screen: passages, matches and differences marked, nothing in it live."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.message import Message
from textual.strip import Strip

from lrm_tui.widgets.rows_model import clipped
from lrm_tui.widgets.text_laid import ASIDE, LaidText
from lrm_tui.widgets.text_layout import MOST, Piece
from lrm_tui.widgets.text_marks import SpanMark, Stretches, matches, matches_beyond, next_word, previous_word, word_end

__all__ = ["SpanMark", "TextView"]

_LAYERS = ("span", "difference", "match", "now", "selected", "cursor")
_GROUNDS = ("difference", "match", "selected")


class TextView(LaidText, can_focus=False):
    """One text, wrapped or raw. Offsets are always characters of the text as it was given to `show`.

    It is laid out in short pieces of work: what is at the top is there at once, a jump is made as soon as its target is laid
    out. `laid_out` says whether all is.
    """

    DEFAULT_CSS = """
    TextView { background: $background; color: $foreground; }
    TextView > .text--head { background: $panel; color: $foreground; text-style: bold; }
    TextView.-active > .text--head { color: $accent; }
    TextView > .text--note { color: $secondary; text-style: italic; }
    TextView > .text--span { text-style: underline; }
    TextView > .text--number { color: $accent; text-style: bold; }
    TextView > .text--difference { background: $warning 30%; }
    TextView > .text--match { background: $primary 40%; }
    TextView > .text--now { background: $accent; color: $background; text-style: bold; }
    TextView > .text--selected { background: $success 35%; }
    TextView > .text--cursor { text-style: reverse; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "text--head", "text--note", "text--number", *(f"text--{layer}" for layer in _LAYERS),
    }  # fmt: skip

    class Pointed(Message):
        """A character was clicked."""

        def __init__(self, view: TextView, offset: int) -> None:
            super().__init__()
            self.view, self.offset = view, offset

        @property
        def control(self) -> TextView:
            """The view."""
            return self.view

    def __init__(
        self,
        text: str = "",
        *,
        title: str = "",
        instead: str = "",
        most: int = MOST,
        id: str | None = None,  # noqa: A002 -- Textual's own word
        classes: str | None = None,
    ) -> None:
        """Show `text`, at most its first `most` characters, or `instead` where it is empty."""
        self._styles: dict[tuple[str, ...], RichStyle] = {}
        super().__init__(text, title=title, most=most, id=id, classes=classes)
        self.instead = instead
        self.spans: tuple[SpanMark, ...] = ()
        self.span: int | None = None
        """The number of the passage that was jumped to last."""
        self.cursor_offset: int | None = None
        """The character that the text cursor is on; None while there is no cursor."""
        self._cited = self._differing = self._found = Stretches(())
        self._words = ""
        self._count = 0
        self._match: int | None = None
        self._anchor: int | None = None
        self._by_word = True

    # What it shows

    def show(
        self, text: str | None, spans: Iterable[SpanMark] = (), *, title: str | None = None, instead: str | None = None
    ) -> None:
        """Show a text from its top, with passages marked; `instead` is said where there is none. Matches are forgotten."""
        self.content = text or ""
        self.spans = tuple(spans)
        self._cited = Stretches((span.start, span.end) for span in self.spans)
        self.span = None
        self.heading = self.heading if title is None else title
        self.instead = self.instead if instead is None else instead
        self._differing = self._found = Stretches(())
        self._words, self._match, self._anchor = "", None, None
        if self.cursor_offset is not None:
            self.cursor_offset = 0
        self._scroll(x=0, y=0)
        self._begin(0)

    def set_spans(self, spans: Iterable[SpanMark]) -> None:
        """Mark other passages, staying where the text is."""
        self.spans = tuple(spans)
        self._cited = Stretches((span.start, span.end) for span in self.spans)
        self.span = None
        self._begin(self.top_offset)

    def set_title(self, title: str) -> None:
        """Say something else in the line above the text; the line comes or goes with its words."""
        changed = bool(title) != bool(self.heading)
        self.heading = title
        if changed:
            self._sized()
            self.refresh()
        else:
            self._refresh_lines(0, 1)

    def set_raw(self, raw: bool) -> None:
        """Leave lines as they are, or wrap them again."""
        if raw != self.raw:
            at = self.top_offset
            self.raw = raw
            self._scroll(x=0)
            self._begin(at)

    def fold(self, rows: int | None) -> None:
        """Show so many rows only, and how many more there are; None shows all."""
        self.folded = rows
        self._sized()
        self.refresh()

    def show_difference(self, parts: Iterable[tuple[int, int]]) -> None:
        """Mark the parts of this text that differ from another; none takes the marks away."""
        self._differing = Stretches(parts)
        self.refresh()

    # Passages

    def numbers(self) -> list[tuple[int, str]]:
        """Return the passages' numbers, to be shown in front of them."""
        return sorted((span.start, f"⟦{span.number}⟧") for span in self.spans if span.start < span.end)

    def go_to_span(self, number: int) -> bool:
        """Show the passage of a number; return whether there is one."""
        for span in self.spans:
            if span.number == number:
                self.span = number
                self.go_to(span.start, span.end)
                self.refresh()
                return span.start < self._layout.end
        return False

    def next_span(self, by: int = 1) -> int | None:
        """Show the next passage (1), or the one before (-1), by where they begin; return its number."""
        spans = sorted(self.spans, key=lambda span: (span.start, span.number))
        if not spans:
            return None
        at = next((at for at, span in enumerate(spans) if span.number == self.span), -1 if by > 0 else 0)
        number = spans[(at + by) % len(spans)].number
        self.go_to_span(number)
        return number

    def go_to(self, offset: int, until: int | None = None) -> None:
        """Bring a character into sight, and with it, as far as they fit, those to before `until`."""
        self.folded = None
        offset = min(max(offset, 0), self._layout.end)
        self._reach("see", offset, max(offset, min(until or 0, self._layout.end) - 1))

    # Matches

    def find(self, words: str) -> int:
        """Mark where `words` stand, in whatever case, show the first from the top row on, and return how many there are.

        Only what is shown is searched; `matches_beyond` counts the rest.
        """
        self._words = words
        found, self._count = matches(self.content, words, self._layout.end)
        self._found = Stretches(found)
        self._match = None
        parts = self._found.parts
        if parts:
            top = self.top_offset
            self._go_to_match(next((at for at, part in enumerate(parts) if part[0] >= top), 0))
        self.refresh()
        return self._count

    @property
    def matches_beyond(self) -> int:
        """How often the words stand in what is not shown."""
        return matches_beyond(self.content, self._words, self._layout.end)

    def next_match(self, by: int = 1) -> tuple[int, int] | None:
        """Show the next match (1), or the one before (-1), round the ends; return its number, from 1, and how many there are.

        Of very many matches only the first `MARKED` are walked through.
        """
        count = len(self._found.parts)
        if not count:
            return None
        at = (-1 if by > 0 else 0) if self._match is None else self._match
        self._go_to_match((at + by) % count)
        self.refresh()
        return (self._match or 0) + 1, self._count

    def _go_to_match(self, at: int) -> None:
        self._match = at
        self.go_to(*self._found.parts[at])

    # Moving

    def move(self, rows: int, columns: int) -> None:
        """Move the text cursor by rows and words, or scroll where there is none."""
        if self.cursor_offset is not None:
            self.move_cursor(words=columns, lines=rows)
        else:
            self.scroll_lines(rows)
            if columns:
                self._scroll(x=self.scroll_offset.x + columns * ASIDE)

    def half_page(self, direction: int) -> None:
        """Go half a page down (1) or up (-1)."""
        by = direction * max(self._height // 2, 1)
        if self.cursor_offset is not None:
            self.move_cursor(lines=by)
        else:
            self.scroll_lines(by)

    def top(self) -> None:
        """Go to the beginning."""
        if self.cursor_offset is not None:
            self._to_cursor(0)
        self._goal = None
        self._scroll(y=0)

    def bottom(self) -> None:
        """Go to the end of what is shown."""
        if self.cursor_offset is not None:
            self._to_cursor(self._layout.end)
        self._reach("end", self._layout.end)

    # The text cursor

    def show_cursor(self, shown: bool = True) -> None:
        """Have a text cursor, at first on the first character in sight; or none, and nothing selected."""
        if shown and self.cursor_offset is None:
            self.cursor_offset = self.top_offset
        elif not shown:
            self.cursor_offset = self._anchor = None
        self.refresh()

    def move_cursor(self, words: int = 0, lines: int = 0, characters: int = 0) -> None:
        """Move the text cursor; negative is back. By characters, a selection ends at the character, else with the word."""
        at = self.cursor_offset
        if at is None:
            return
        end = self._layout.end
        for _ in range(abs(words)):
            at = min(next_word(self.content, at), end) if words > 0 else previous_word(self.content, at)
        for _ in range(abs(characters)):
            at = self._layout.after(at) if characters > 0 else self._before(at)
        if lines:
            found = self._layout.place(at)
            if found is not None:
                row = min(max(found[0] + lines, 0), self._layout.height - 1)
                at = self._layout.offset(row, found[1])
        self._by_word = not characters
        self._to_cursor(at)
        self.go_to(at)

    def _before(self, at: int) -> int:
        found = self._layout.place(max(at - 1, 0))
        return max(at - 1, 0) if found is None else min(self._layout.offset(*found), max(at - 1, 0))

    def _to_cursor(self, offset: int) -> None:
        before, self.cursor_offset = self.cursor_offset, min(max(offset, 0), self._layout.end)
        # A selection that ends with a word reaches as far as that word.
        edges = [
            self._layout.place(min(edge, self._layout.end))
            for at in (before, self.cursor_offset)
            if at is not None
            for edge in ((at, word_end(self.content, at)) if self.selecting else (at,))
        ]
        rows = [edge[0] for edge in edges if edge is not None]
        if len(rows) < len(edges) or not rows:
            self.refresh()
        else:
            self._refresh_lines(min(rows) - self.scroll_offset.y + self._above, max(rows) - min(rows) + 1)

    def mark_start(self) -> None:
        """Begin a selection where the text cursor is."""
        self.show_cursor()
        self._anchor = self.cursor_offset
        self.refresh()

    def mark_end(self) -> tuple[int, int] | None:
        """End the selection; return its first character and the one after its last. None where none was begun, or it is empty."""
        selected = self.selection_span
        self._anchor = None
        self.refresh()
        return selected

    @property
    def selecting(self) -> bool:
        """Whether a selection was begun."""
        return self._anchor is not None

    @property
    def selection_span(self) -> tuple[int, int] | None:
        """What is selected so far, the word or character under the cursor included; None where nothing is."""
        if self._anchor is None or self.cursor_offset is None:
            return None
        start, last = sorted((self._anchor, self.cursor_offset))
        end = word_end(self.content, last) if self._by_word else self._layout.after(last)
        end = min(end, self._layout.end)
        return (start, end) if start < end else None

    # The mouse

    def on_click(self, event: events.Click) -> None:
        """Put the text cursor, where there is one, and say which character was clicked."""
        row = self.scroll_offset.y + event.y - self._above
        if event.y < self._above or not 0 <= row < self.rows or not self.content:
            return
        offset = self._layout.offset(row, event.x + self.scroll_offset.x)
        if self.cursor_offset is not None:
            self._to_cursor(offset)
        self.post_message(self.Pointed(self, offset))

    # Drawing

    def _look(self, name: str) -> RichStyle:
        return self.get_component_rich_style(f"text--{name}", partial=True)

    def render_line(self, y: int) -> Strip:
        """Return the line above the text, or the row that stands at a line."""
        width = self._width
        base = self.rich_style
        if y < self._above:
            return self._head(width)
        row = self.scroll_offset.y + y - self._above
        if not self.content:
            said = self.instead if row == 0 else ""
            return Strip([Segment(clipped(said, width), base + self._look("note"))], width)
        if row < self.rows:
            return self._row(row, width, base)
        said = self._note() if row == self.rows else ""
        return Strip([Segment(clipped(said, width), base + self._look("note"))], width)

    def _head(self, width: int) -> Strip:
        style = self.get_component_rich_style("text--head")
        right = ""
        if self._words:
            right = f"match {'–' if self._match is None else f'{self._match + 1:,}'} of {self._count:,}  "
        if self.virtual_size.height > self.size.height and self._layout.end:
            row = min(self.scroll_offset.y + self._height, self.rows) - 1
            right += f"{self._layout.bounds(max(row, 0))[1] * 100 // max(len(self.content), 1)} %"
        room = max(width - cell_len(right) - 1, 0)
        return Strip([Segment(clipped(f"{self.heading}", room) + " " + right, style)]).crop_extend(0, width, style)

    def _row(self, row: int, width: int, base: RichStyle) -> Strip:
        left = self.scroll_offset.x
        first, after = self._layout.bounds(row)
        pieces = [
            piece
            for piece in self._layout.pieces(row, left, left + width)
            if piece.column < left + width and (piece.column + piece.width > left or not piece.width)
        ]
        if not pieces:
            return Strip.blank(width, base)
        low, high = max(first, pieces[0].start), min(after, pieces[-1].end)
        layers = self._layers(low, high)
        cuts = sorted({edge for _, marked in layers for part in marked.within(low, high) for edge in part})
        segments = []
        for piece in pieces:
            if piece.start == piece.end:
                segments.append(Segment(piece.text, base + self._look("number")))
                continue
            for text, start, end in _cut(piece, cuts):
                names = tuple(name for name, marked in layers if marked.cover(start, end))
                segments.append(Segment(text, self._styled(base, names) if names else base))
        cursor = self.cursor_offset
        if cursor is not None and (cursor == after == self._layout.end or self._on_break(cursor, pieces[-1])):
            segments.append(Segment(" ", base + self._look("cursor")))
        begun = pieces[0].column
        strip = Strip(segments).crop_extend(left - begun, left - begun + width, base)
        return strip if strip.cell_length == width else strip.adjust_cell_length(width, base)

    @staticmethod
    def _on_break(cursor: int, last: Piece) -> bool:
        return last.start <= cursor < last.end and not last.text

    def _layers(self, low: int, high: int) -> list[tuple[str, Stretches]]:
        """Return what is marked among characters, the weakest first."""
        now = [] if self._match is None else [self._found.parts[self._match]]
        now += [(span.start, span.end) for span in self.spans if span.number == self.span]
        selected, cursor = self.selection_span, self.cursor_offset
        layers = [
            ("span", self._cited),
            ("difference", self._differing),
            ("match", self._found),
            ("now", Stretches(now)),
        ]
        if selected is not None:
            layers.append(("selected", Stretches([selected])))
        if cursor is not None:
            layers.append(("cursor", Stretches([(cursor, cursor + 1)])))
        return [(name, marked) for name, marked in layers if marked.cover(low, high)]

    def _styled(self, base: RichStyle, names: tuple[str, ...]) -> RichStyle:
        found = self._styles.get(names)
        if found is None:
            found = base
            for name in names:
                # A background that lets shine through is mixed with the one behind it: only the whole style knows it.
                whole = self.get_component_rich_style(f"text--{name}")
                found += RichStyle(bgcolor=whole.bgcolor) if name in _GROUNDS else self._look(name)
            self._styles[names] = found
        return found

    def notify_style_update(self) -> None:
        """Forget styles of another theme."""
        super().notify_style_update()
        self._styles.clear()


def _cut(piece: Piece, cuts: list[int]) -> list[tuple[str, int, int]]:
    """Return a piece in parts that each look one way, with the characters they are made from."""
    between = cuts[bisect_right(cuts, piece.start) : bisect_left(cuts, piece.end)]
    if not piece.cells or not between:
        return [(piece.text, piece.start, piece.end)]
    edges = [piece.start, *between, piece.end]
    return [(piece.text[one - piece.start : other - piece.start], one, other) for one, other in pairwise(edges)]
