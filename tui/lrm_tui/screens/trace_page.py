"""A plain page of text above a view: a judge's own prompt and reply, all facts, a payload."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult

from lrm.browse.places import Place
from lrm.browse.reader import Stop
from lrm_tui.base import View
from lrm_tui.dialogs import Ask
from lrm_tui.widgets.text_view import TextView


class Page(View):
    """One text that scrolls. It is read when the page opens; Esc goes back."""

    view: ClassVar[str] = "page"

    def __init__(
        self, place: Place, name: str, read: Callable[[Stop], str], *, instead: str = "there is nothing here"
    ) -> None:
        """Show what `read` returns, under a name; `instead` where that is empty."""
        super().__init__(place)
        self._called, self._read, self._instead = name, read, instead
        self._words = ""

    def body(self) -> ComposeResult:
        """Make the text."""
        yield TextView(instead="reading …")

    @property
    def shown(self) -> TextView:
        """The text."""
        return self.query_one(TextView)

    def load(self) -> None:
        """Read the text."""
        self.pane = self.shown
        self.ask("read", self._read, self._show)

    def _show(self, text: str) -> None:
        self.shown.show(text, instead=self._instead)

    def crumbs(self) -> str:
        """Return the page's name."""
        return self._called

    def status(self) -> str:
        """Return how long it is, and what is searched for."""
        return f"{len(self.shown.content):,} characters" + (f"  /{self._words}" if self._words else "")

    def cleared(self) -> bool:
        """Search for nothing any more."""
        had = bool(self._words)
        self._words = ""
        self.shown.find("")
        self.say()
        return had

    def action_find(self) -> None:
        """Ask for words and go to the first of them."""
        self.app.push_screen(Ask("find", self._words), self._find)

    def _find(self, words: object) -> None:
        if isinstance(words, str):
            self._words = words
            if words and not self.shown.find(words):
                self.lrm.tell(f"“{words}” is not here")
            self.say()

    def action_next_match(self) -> None:
        """Go to the next match."""
        self.shown.next_match(1)

    def action_previous_match(self) -> None:
        """Go to the match before."""
        self.shown.next_match(-1)

    def action_enter(self) -> None:
        """There is nothing to go into."""

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return the text besides the link."""
        return {"t": (self._called, lambda: self.shown.content or None), **super().copies()}

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return the text."""
        text = self.shown.content
        return {"txt": lambda: text} if text else {}

    def text(self) -> str | None:
        """Return the text."""
        return self.shown.content or None
