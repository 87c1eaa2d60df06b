"""One row of a result with its values whole."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from lrm.text import visible

LONGEST = 20_000
"""Characters of a value that are shown; the export has all of it."""


class RowScreen(ModalScreen[object]):
    """The values of one row. Answers True where what its id stands for is to be opened."""

    DEFAULT_CSS = """
    RowScreen { align: center middle; background: $background 60%; }
    RowScreen > VerticalScroll {
        width: 110; max-width: 96%; height: auto; max-height: 92%; background: $surface; border: round $primary; padding: 0 1;
    }
    """
    BINDINGS: ClassVar = [
        Binding("escape,q", "leave", "Close", show=False),
        Binding("enter", "open", "Open", show=False),
        Binding("j,down", "scroll(1)", "Down", show=False),
        Binding("k,up", "scroll(-1)", "Up", show=False),
        Binding("ctrl+d,pagedown", "scroll(12)", "Page down", show=False),
        Binding("ctrl+u,pageup", "scroll(-12)", "Page up", show=False),
    ]

    def __init__(self, values: list[tuple[str, str]], found: str | None) -> None:
        """Show names with values; `found` is an id among them, for Enter to open."""
        super().__init__()
        self._values = values
        self._found = found

    def compose(self) -> ComposeResult:
        """Make the text."""
        text = Text()
        for name, value in self._values:
            text.append(f"{visible(name, one_line=True)}\n", style="bold")
            more = f"\n… {len(value) - LONGEST:,} more characters" if len(value) > LONGEST else ""
            text.append(f"{visible(value[:LONGEST])}{more}\n\n")
        opens = "Enter opens the response   " if self._found else ""
        text.append(f"{opens}Esc goes back", style="dim")
        with VerticalScroll(can_focus=False):
            yield Static(text)

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)

    def action_open(self) -> None:
        """Close, and open what the row's id stands for."""
        self.dismiss(True if self._found else None)

    def action_scroll(self, rows: int) -> None:
        """Scroll."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)
