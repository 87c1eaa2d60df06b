"""Small questions: one of several, one line of text, yes or no, a letter."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from lrm.text import visible

MOST = 500
"""Options that are shown at a time: typing narrows them."""


def plain(text: str) -> Text:
    """Return text that is shown as it is: no markup, no control signs."""
    return Text(visible(text, one_line=True), no_wrap=True, overflow="ellipsis")


class Dialog(ModalScreen[object]):
    """What all questions look like."""

    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > Vertical {
        width: 92; max-width: 96%; height: auto; max-height: 90%; background: $surface; border: round $primary; padding: 0 1;
    }
    Dialog .title { text-style: bold; height: auto; }
    Dialog .hint { color: $secondary; height: auto; }
    Dialog Input, Dialog Input:focus { border: none; height: 1; padding: 0; background: $panel; }
    Dialog OptionList {
        border: none; height: auto; max-height: 18; background: $surface; padding: 0;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    """
    BINDINGS: ClassVar = [Binding("escape", "cancel", "Cancel", show=False)]

    def action_cancel(self) -> None:
        """Answer nothing."""
        self.dismiss(None)


class Choose(Dialog):
    """One of several values, or several of them; typing narrows. Answers a tuple of values, or None."""

    BINDINGS: ClassVar = [
        Binding("down,ctrl+n", "cursor(1)", "Down", show=False, priority=True),
        Binding("up,ctrl+p", "cursor(-1)", "Up", show=False, priority=True),
        Binding("tab", "mark", "Mark", show=False, priority=True),
        Binding("enter", "take", "Take", show=False, priority=True),
    ]

    def __init__(
        self, title: str, options: list[tuple[str, str]], *, current: tuple[str, ...] = (), several: bool = False
    ) -> None:
        """Offer `options`, each a value and what is said of it."""
        super().__init__()
        self._title = title
        self._options = options
        self._marked = [value for value in current if any(value == one for one, _ in options)]
        self._several = several
        self._shown: list[str] = []

    def compose(self) -> ComposeResult:
        """Make title, input and list."""
        with Vertical():
            yield Static(plain(self._title), classes="title")
            yield Input(placeholder="type to narrow")
            yield OptionList(markup=False)
            hint = "Enter takes it, Esc leaves it as it is" + (", Tab marks several" if self._several else "")
            yield Static(plain(hint), classes="hint")

    def on_mount(self) -> None:
        """Show all options with the cursor on the current one."""
        self._fill("")
        shown = self.query_one(OptionList)
        if not self._several and self._marked and self._marked[0] in self._shown:
            shown.highlighted = self._shown.index(self._marked[0])

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list, and go to what was typed or to the first that fits."""
        self._fill(event.value)
        if self._shown and event.value:
            word = event.value.strip().lower()
            exact = [at for at, value in enumerate(self._shown) if value.lower() == word]
            begins = [at for at, value in enumerate(self._shown) if value.lower().startswith(word)]
            self.query_one(OptionList).highlighted = (exact or begins or [0])[0]

    def _fill(self, words: str) -> None:
        wanted = words.lower().split()
        found = [
            (value, said) for value, said in self._options if all(word in f"{value} {said}".lower() for word in wanted)
        ]
        self._shown = [value for value, _ in found[:MOST]]
        shown = self.query_one(OptionList)
        at = shown.highlighted
        shown.clear_options()
        width = min(max((len(value) for value, _ in found[:MOST]), default=0), 36)
        for value, said in found[:MOST]:
            mark = "● " if value in self._marked else "  " if self._several or self._marked else ""
            line = f"{mark}{value:<{width}}  {said}" if said else f"{mark}{value}"
            shown.add_option(Option(plain(line)))
        if len(found) > MOST:
            shown.add_option(Option(plain(f"… {len(found) - MOST:,} more: type to narrow"), disabled=True))
        shown.highlighted = min(at or 0, len(self._shown) - 1) if self._shown else None

    def action_cursor(self, by: int) -> None:
        """Move the cursor in the list."""
        shown = self.query_one(OptionList)
        if self._shown:
            shown.highlighted = ((shown.highlighted or 0) + by) % len(self._shown)

    def action_mark(self) -> None:
        """Mark a value, or take the mark off."""
        value = self._value()
        if not self._several or value is None:
            return
        if value in self._marked:
            self._marked.remove(value)
        else:
            self._marked.append(value)
        self._fill(self.query_one(Input).value)

    def action_take(self) -> None:
        """Answer what is marked, else what the cursor is on."""
        value = self._value()
        if self._several and self._marked:
            self.dismiss(tuple(self._marked))
        elif value is not None:
            self.dismiss((value,))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what was clicked."""
        event.stop()
        if event.option_index < len(self._shown):
            self.query_one(OptionList).highlighted = event.option_index
            if self._several:
                self.action_mark()
            else:
                self.action_take()

    def _value(self) -> str | None:
        at = self.query_one(OptionList).highlighted
        return self._shown[at] if at is not None and at < len(self._shown) else None


class Ask(Dialog):
    """One line of text. `check` says what is wrong with it, or None. Answers the text, or None."""

    def __init__(
        self, title: str, value: str = "", *, hint: str = "", check: Callable[[str], str | None] | None = None
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        """Make title, input and hint."""
        with Vertical():
            yield Static(plain(self._title), classes="title")
            yield Input(self._value)
            yield Static(Text(visible(self._hint)), classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, unless something is wrong with it."""
        wrong = None if self._check is None else self._check(event.value)
        if wrong is None:
            self.dismiss(event.value)
        else:
            self.query_one(".hint", Static).update(Text(visible(wrong), style="bold red"))


class Confirm(Dialog):
    """Yes or no. Answers True, or None."""

    BINDINGS: ClassVar = [
        Binding("y,enter", "yes", "Yes", show=False),
        Binding("n,q", "cancel", "No", show=False),
    ]

    def __init__(self, question: str, yes: str = "yes") -> None:
        super().__init__()
        self._question, self._yes = question, yes

    def compose(self) -> ComposeResult:
        """Make the question."""
        with Vertical():
            yield Static(Text(visible(self._question)), classes="title")
            yield Static(plain(f"y: {self._yes}   n: no"), classes="hint")

    def action_yes(self) -> None:
        """Answer yes."""
        self.dismiss(True)


class Letter(Dialog):
    """One of a few things, by a letter. Answers the letter, or None."""

    DEFAULT_CSS = """
    Letter { align: center bottom; background: $background 0%; }
    Letter > Vertical { margin: 0 0 2 0; }
    """

    def __init__(self, title: str, choices: dict[str, str]) -> None:
        super().__init__()
        self._title, self._choices = title, choices

    def compose(self) -> ComposeResult:
        """Make the list of letters."""
        with Vertical():
            yield Static(plain(self._title), classes="title")
            for letter, said in self._choices.items():
                yield Static(plain(f"  {letter}  {said}"))

    def on_key(self, event: events.Key) -> None:
        """Take a letter; any other key leaves."""
        event.stop()
        letter = event.character or ""
        self.dismiss(letter if letter in self._choices else None)
