"""The texts of a response in panes: the prompt above, thinking and answer beside or above each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from textual.app import ComposeResult
from textual.containers import Container

from lrm.browse.trace import Trace
from lrm_tui.screens.trace_state import PARTS, Cited, Part, Shown, part_text, title, why_empty
from lrm_tui.widgets.text_view import SpanMark, TextView

SIDE_FROM = 100
"""Cells from which on thinking and answer stand side by side."""
PROMPT_ROWS = 4
"""Rows of the prompt's pane, its title included, while another pane is active."""
_REASON_ROWS = 3
"""Rows of a pane that has no text and only says why."""


class Texts(Container):
    """Three panes: `views` by part. One without a text says why, and takes little room."""

    DEFAULT_CSS = """
    Texts { layout: vertical; height: 1fr; width: 1fr; }
    Texts > #pair { height: 1fr; }
    Texts TextView.-why { color: $secondary; text-style: italic; }
    Texts TextView.-beside { border-left: vkey $border; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.views: Mapping[Part, TextView] = {part: TextView(id=f"text-{part}") for part in PARTS}
        self.trace: Trace | None = None
        self._shown: Shown = "side"
        self._active: Part = "answer"
        self._match: dict[Part, int] = {}
        self._counts: dict[Part, int] = {}
        self._now: Part | None = None
        self._beyond = 0

    def compose(self) -> ComposeResult:
        """Make the panes."""
        yield self.views["prompt"]
        with Container(id="pair"):
            yield self.views["thinking"]
            yield self.views["answer"]

    # What they show

    def show(self, trace: Trace) -> None:
        """Show a response from the top of each text."""
        self.trace = trace
        self.forget_matches()
        for part, view in self.views.items():
            text = part_text(trace, part)
            view.show(why_empty(trace, part) if text is None else text, title=title(trace, part))
            view.set_class(text is None, "-why")
        self.set_out(self._shown)

    def has(self, part: Part) -> bool:
        """Return whether there is such a text."""
        return self.trace is not None and part_text(self.trace, part) is not None

    def mark(self, cited: Iterable[Cited]) -> None:
        """Underline and number these passages, each in its own text."""
        listed = list(cited)
        for part, view in self.views.items():
            marks = tuple(
                SpanMark(one.start, one.end, one.number, one.what)
                for one in listed
                if one.part == part and self.has(part)
            )
            if marks != view.spans:
                view.set_spans(marks)

    def set_raw(self, raw: bool) -> None:
        """Show the texts raw, or wrapped."""
        for part, view in self.views.items():
            view.set_raw(raw and self.has(part))

    # Where they stand

    @property
    def panes(self) -> tuple[TextView, ...]:
        """The panes that are seen."""
        return tuple(view for view in self.views.values() if view.display and not view.has_class("-folded"))

    def part_of(self, pane: object) -> Part | None:
        """Return which text a pane shows; None for another pane."""
        return next((part for part, view in self.views.items() if view is pane), None)

    def activate(self, part: Part) -> None:
        """Give a pane room: the prompt grows while it is active."""
        self._active = part
        self.set_out(self._shown)

    def on_resize(self) -> None:
        """Arrange for another size."""
        self.set_out(self._shown)

    def set_out(self, shown: Shown) -> None:
        """Give each pane its place: side by side where there is room, the prompt in a few rows above."""
        self._shown = shown
        width, height = self.size
        if not width or self.trace is None:
            return
        prompt, thinking, answer = (self.views[part] for part in PARTS)
        most = height // 2 if self._active == "prompt" else min(PROMPT_ROWS, max(height // 4, 2))
        prompt.styles.height = min(rows_of(prompt.content, width, most) + 1, most)
        answer.display = shown != "only"
        thinking.set_class(shown == "folded", "-folded")
        both = shown == "side" and self.has("thinking") and self.has("answer")
        beside = both and width >= SIDE_FROM
        self.query_one("#pair").styles.layout = "horizontal" if beside else "vertical"
        answer.set_class(beside, "-beside")
        for part, view in (("thinking", thinking), ("answer", answer)):
            view.styles.width = "1fr"
            view.styles.height = "1fr"
            # A reason needs no half of the screen while the other pane has a text.
            other: Part = "answer" if part == "thinking" else "thinking"
            if shown != "only" and not self.has(_part(part)) and self.has(other):
                view.styles.height = min(_REASON_ROWS, max(height // 3, 1))
        if shown == "folded":
            thinking.styles.height = 1
        self._say_titles()

    def _say_titles(self) -> None:
        if self.trace is None:
            return
        for part, view in self.views.items():
            folded = "  folded away: t shows it" if part == "thinking" and self._shown == "folded" else ""
            view.set_title(f"{'▸ ' if part == self._active else '  '}{title(self.trace, part)}{folded}")

    # Searching

    def forget_matches(self) -> None:
        """Search for nothing any more."""
        self._match.clear()
        self._now = None
        self._counts.clear()
        for view in self.views.values():
            view.find("")

    def find(self, words: str) -> Part | None:
        """Mark `words` in all texts that are seen; return the text that has the match that is shown, None where there is none.

        It is the first match in the active pane from where it stands, else the first of the others.
        """
        self.forget_matches()
        if not words:
            return None
        for part in self._searched():
            view = self.views[part]
            if part != self._active:
                view.top()
            count = view.find(words)
            if count:
                self._counts[part] = count
                self._match[part] = self._number(view)
        parts: list[Part] = [part for part in self._searched() if part in self._counts]
        self._beyond = sum(self.views[part].matches_beyond for part in self._searched())
        if not parts:
            for view in self.views.values():
                view.find("")
            return None
        self._now = self._active if self._active in parts else parts[0]
        return self._now

    @property
    def beyond(self) -> int:
        """Matches in what of the texts is too long to be shown."""
        return self._beyond

    def step(self, by: int) -> tuple[Part, int, int] | None:
        """Go to the next match (1), or the one before (-1), through all texts; return text, number and how many, over all."""
        parts: list[Part] = [part for part in self._searched() if part in self._counts]
        if not parts or self._now is None:
            return None
        now = self._now
        last = self._counts[now] if by > 0 else 1
        if self._match[now] == last:
            now = parts[(parts.index(now) + by) % len(parts)]
            wanted = 1 if by > 0 else self._counts[now]
        else:
            wanted = self._match[now] + by
        self._go(now, wanted)
        return (now, *self.matched)

    @property
    def matched(self) -> tuple[int, int]:
        """The number of the match that is shown, over all texts, and how many there are; zeros where there is none."""
        parts: list[Part] = [part for part in self._searched() if part in self._counts]
        if self._now is None:
            return 0, 0
        before = sum(self._counts[part] for part in parts[: parts.index(self._now)])
        return before + self._match[self._now], sum(self._counts.values())

    def _searched(self) -> list[Part]:
        return [part for part, view in self.views.items() if self.has(part) and view in self.panes]

    def _go(self, part: Part, wanted: int) -> None:
        self._now = part
        view = self.views[part]
        count = self._counts[part]
        forward = (wanted - self._match[part]) % count
        by, times = (1, forward) if forward <= count - forward else (-1, count - forward)
        for _ in range(times):
            view.next_match(by)
        if not times and count == 1:
            view.next_match(1)
        self._match[part] = wanted

    @staticmethod
    def _number(view: TextView) -> int:
        """Return the number of the match that a view shows: it tells one only when it goes to one."""
        view.next_match(1)
        found = view.next_match(-1)
        return 1 if found is None else found[0]


def _part(name: str) -> Part:
    return "thinking" if name == "thinking" else "answer"


def rows_of(text: str, width: int, most: int) -> int:
    """Return about how many rows a text takes, counted no further than `most`."""
    rows = 0
    for line in text[: most * max(width, 1)].split("\n")[:most]:
        rows += max(-(-len(line) // max(width - 2, 1)), 1)
    return min(max(rows, 1), most)
