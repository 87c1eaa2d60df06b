"""What stands around the texts of a response: a line of words, and a panel of lines that scrolls."""

from __future__ import annotations

from typing import ClassVar, get_args

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from lrm.text import visible
from lrm_tui.screens.trace_state import Look, Words

LOOKS: tuple[Look, ...] = get_args(Look)


class WordsLine(Widget):
    """One line of words, each with its look; nothing in it is live. What has no room is cut off."""

    DEFAULT_CSS = """
    WordsLine { height: 1; background: $surface; color: $foreground; }
    WordsLine > .words--unsafe { color: $error; text-style: bold; }
    WordsLine > .words--safe { color: $success; }
    WordsLine > .words--unknown { color: $warning; text-style: bold; }
    WordsLine > .words--error { color: $error; text-style: italic; }
    WordsLine > .words--dim { color: $secondary; }
    WordsLine > .words--accent { color: $primary; text-style: bold; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"words--{look}" for look in LOOKS if look != "plain"}

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 -- Textual's own word
        super().__init__(id=id, classes=classes)
        self._words: tuple[Words, ...] = ()

    def say(self, words: list[Words]) -> None:
        """Show words, each made safe."""
        safe: tuple[Words, ...] = tuple((visible(text, one_line=True), look) for text, look in words)
        if safe != self._words:
            self._words = safe
            self.refresh()

    @property
    def said(self) -> str:
        """What is shown, without looks."""
        return "  ".join(text for text, _ in self._words)

    def render_line(self, y: int) -> Strip:
        """Return the line."""
        width, base = self.size.width, self.rich_style
        if y:
            return Strip.blank(width, base)
        segments: list[Segment] = []
        room = width
        for text, look in self._words:
            style = base if look == "plain" else base + self.get_component_rich_style(f"words--{look}", partial=True)
            if cell_len(text) > room:
                segments.append(Segment(set_cell_size(text, max(room - 1, 0)) + "…"[: max(room, 0)], style))
                break
            segments += [Segment(text, style), Segment("  ", base)]
            room -= cell_len(text) + 2
            if room <= 0:
                break
        return Strip(segments).adjust_cell_length(width, base)


class Panel(VerticalScroll, can_focus=False):
    """Lines of words that are wrapped and scroll: verdicts, reasons, passages, labels."""

    DEFAULT_CSS = """
    Panel { background: $surface; color: $foreground; padding: 0 1; scrollbar-size: 1 1; overflow-x: hidden; }
    Panel > Static { width: 1fr; height: auto; }
    Panel > .words--unsafe { color: $error; text-style: bold; }
    Panel > .words--safe { color: $success; }
    Panel > .words--unknown { color: $warning; }
    Panel > .words--error { color: $error; text-style: italic; }
    Panel > .words--dim { color: $secondary; }
    Panel > .words--accent { color: $primary; text-style: bold; }
    Panel.-active { background: $panel; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"words--{look}" for look in LOOKS if look != "plain"}

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 -- Textual's own word
        super().__init__(id=id, classes=classes)
        self._lines: list[list[Words]] = []

    def compose(self) -> ComposeResult:
        """Make the text."""
        yield Static(Text(""))

    def show(self, lines: list[list[Words]], *, stay: bool = False) -> None:
        """Show lines, each made safe; from the first on unless it is to `stay` where it is."""
        if lines == self._lines:
            return
        self._lines = lines
        styles: dict[Look, Style] = {"plain": Style()}
        for look in LOOKS:
            if look != "plain":
                styles[look] = self.get_component_rich_style(f"words--{look}", partial=True)
        text = Text()
        for at, line in enumerate(lines):
            text.append("\n" if at else "")
            for number, (words, look) in enumerate(line):
                text.append("  " if number else "")
                text.append(visible(words), style=styles[look])
        self.query_one(Static).update(text)
        if not stay:
            self.scroll_home(animate=False)

    @property
    def said(self) -> str:
        """What is shown, without looks."""
        return "\n".join("  ".join(visible(text) for text, _ in line) for line in self._lines)

    def move(self, rows: int, columns: int) -> None:  # noqa: ARG002 -- its text is wrapped
        """Scroll."""
        self.scroll_to(y=self.scroll_offset.y + rows, animate=False, force=True)

    def top(self) -> None:
        """Scroll to the beginning."""
        self.scroll_home(animate=False)

    def bottom(self) -> None:
        """Scroll to the end."""
        self.scroll_end(animate=False)

    def half_page(self, direction: int) -> None:
        """Scroll half a page."""
        self.move(direction * max(self.size.height // 2, 1), 0)
