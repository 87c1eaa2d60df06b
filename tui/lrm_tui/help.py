"""The keys of a view, from the table of actions."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from lrm_tui.actions import of, sign


def help_lines(view: str, keys: dict[str, tuple[str, ...]]) -> list[tuple[str, str, str]]:
    """Return keys, label and explanation of each action of a view, with a user's own keys."""
    return [
        (" ".join(sign(key) for key in keys.get(action.name, action.keys)), action.label, action.help)
        for action in of(view)
    ]


class HelpScreen(ModalScreen[None]):
    """The keys of one view. Any of the keys that leave a view closes it."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 96; max-width: 96%; height: auto; max-height: 92%; background: $surface; border: round $primary; padding: 0 1;
    }
    """
    BINDINGS: ClassVar = [
        Binding("escape,q,question_mark,f1,enter", "dismiss_help", "Close", show=False),
        Binding("j", "down", "Down", show=False),
        Binding("k", "up", "Up", show=False),
    ]

    def __init__(self, view: str, keys: dict[str, tuple[str, ...]]) -> None:
        super().__init__()
        self._view = view
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Make the table."""
        lines = help_lines(self._view, self._keys)
        width = min(max(len(keys) for keys, _, _ in lines), 20)
        label_width = max(len(label) for _, label, _ in lines)
        text = Text()
        own = sum(1 for _ in lines) - sum(1 for action in of(self._view) if action.view == "any")
        for at, (keys, label, said) in enumerate(lines):
            if at == 0:
                text.append(f"{self._view}\n", style="bold")
            if at == own:
                text.append("\nin every view\n", style="bold")
            text.append(f"{keys:<{width}} ", style="bold")
            text.append(f"{label:<{label_width}}  ")
            text.append(f"{said}\n", style="dim")
        text.append("\nKeys can be changed: lrm/tui.toml in your configuration folder (docs/tui.md).", style="dim")
        with VerticalScroll():
            yield Static(text)

    def action_dismiss_help(self) -> None:
        """Close."""
        self.dismiss()

    def action_down(self) -> None:
        """Scroll down."""
        self.query_one(VerticalScroll).scroll_down(animate=False)

    def action_up(self) -> None:
        """Scroll up."""
        self.query_one(VerticalScroll).scroll_up(animate=False)
