"""What `trace` and `annotate` share: a response in panes, found in, copied from, and stepped through."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message

from lrm.browse.places import Place, TracePlace
from lrm.browse.reader import Stop, StoppedError
from lrm.browse.trace import Trace, raw_payload, read_trace, whole_text
from lrm.errors import LrmError
from lrm_tui.base import View
from lrm_tui.dialogs import Ask
from lrm_tui.panes import Items, Pane
from lrm_tui.screens.trace_page import Page
from lrm_tui.screens.trace_panel import Panel, WordsLine
from lrm_tui.screens.trace_state import (
    Cited,
    Part,
    TraceState,
    as_json,
    facts,
    first_judge,
    head,
    part_text,
    verdicts_text,
    whole,
)
from lrm_tui.screens.trace_texts import Texts
from lrm_tui.widgets.text_view import TextView

if TYPE_CHECKING:
    from lrm_tui.screens.trace_state import Words

BESIDE_FROM = 150
"""Cells from which on the panel stands beside the texts."""
PANEL_WIDTH = 48
AHEAD = 4
"""Responses that are kept because they were read before they were asked for."""


class Frame(Container):
    """The texts and the panel, which stands beside them where there is room, else below."""

    DEFAULT_CSS = "Frame { height: 1fr; }"

    def __init__(self, share: float = 0.3) -> None:
        """Give the panel a share of the height where it stands below."""
        super().__init__()
        self._share = share

    def compose(self) -> ComposeResult:
        """Make both."""
        yield Texts()
        yield Panel()

    def on_resize(self) -> None:
        """Find the panel its place."""
        width, height = self.size
        beside = width >= BESIDE_FROM
        self.styles.layout = "horizontal" if beside else "vertical"
        panel = self.query_one(Panel)
        panel.styles.width = PANEL_WIDTH if beside else "1fr"
        panel.styles.height = "1fr" if beside else min(max(int(height * self._share), 3), 13)
        self.post_message(self.Placed())

    class Placed(Message):
        """The panel has its place."""


class ReadAhead(Message):
    """The next response was read before anybody asked for it."""

    def __init__(self, place: TracePlace, trace: Trace) -> None:
        super().__init__()
        self.place, self.trace = place, trace


class ReadingView(View):
    """A view of one response. A subclass says which one in `wanted`, and what the panel shows in `panel_lines`."""

    def __init__(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        super().__init__(place, items=items, row=row)
        self.state: TraceState | None = None
        self.find_words: str | None = None
        """What is searched for when the response is there."""
        self._held: dict[TracePlace, Trace] = {}
        self._ahead = Stop()
        self._follows = False

    panel_share: ClassVar[float] = 0.3
    """How much of the height the panel has where it stands below the texts."""

    # What it is made of

    def body(self) -> ComposeResult:
        """Make the head line, the texts and the panel."""
        yield WordsLine(id="head")
        yield Frame(self.panel_share)

    @property
    def texts(self) -> Texts:
        """The panes of the texts."""
        return self.query_one(Texts)

    @property
    def panel(self) -> Panel:
        """The panel beside or below them."""
        return self.query_one(Panel)

    @property
    def trace(self) -> Trace | None:
        """The response; None while it is not there."""
        return None if self.state is None else self.state.trace

    # Loading

    def wanted(self) -> TracePlace | None:
        """Return the response that is to be shown; None for none."""
        return None

    def after(self) -> Callable[[], TracePlace | None] | None:
        """Return how to find, in a worker, the response that is likely to be wanted next."""
        return None

    def panel_lines(self, state: TraceState) -> list[list[Words]]:
        """Return what the panel shows."""
        raise NotImplementedError

    def load(self) -> None:
        """Read the response, unless it was read ahead."""
        place = self.wanted()
        if place is None:
            return
        held = self._held.pop(place, None)
        if held is not None:
            self.came(held)
        else:
            self.ask("trace", lambda stop: read_trace(self.lrm.reader, place, stop), self.came)

    def action_refresh(self) -> None:
        """Read the catalog again."""
        self._held.clear()
        super().action_refresh()

    def came(self, trace: Trace) -> None:
        """Show a response; where only what is said of it has changed, the texts stay as they are."""
        state = self.state
        before = None if state is None else state.trace
        if state is None:
            state = self.state = TraceState(trace, first_judge(trace))
        else:
            state.follow(trace)
        if before is None or not _same_texts(before, trace):
            self.texts.show(trace)
            self._first_pane(before is None)
        self.show_state()
        if self.find_words:
            words, self.find_words = self.find_words, None
            self._find(words)
        elif state.words and (before is None or not _same_texts(before, trace)):
            self.texts.find(state.words)
        self._read_ahead()
        self.say()

    def _first_pane(self, begin: bool) -> None:
        if begin or self.pane not in self.panes():
            part: Part = (
                "thinking" if self.texts.has("thinking") and self.texts.views["thinking"] in self.panes() else "answer"
            )
            self.activate(self.texts.views[part])

    def show_state(self) -> None:
        """Bring head, panel, passages and arrangement up to date with the state."""
        state = self.state
        if state is None:
            return
        self.query_one("#head", WordsLine).say(self.head_words(state))
        self.texts.mark(self.marks(state))
        self.texts.set_raw(state.raw)
        self.texts.set_out(state.shown)
        self.panel.show(self.panel_lines(state))
        if self.pane not in self.panes():
            self._first_pane(True)

    def marks(self, state: TraceState) -> tuple[Cited, ...]:
        """Return the passages that are underlined and numbered."""
        return state.cited

    def head_words(self, state: TraceState) -> list[Words]:
        """Return the head line."""
        return head(state.trace)

    def on_frame_placed(self, message: Frame.Placed) -> None:
        """Show what has room."""
        message.stop()
        self.show_state()

    # Reading ahead

    def _read_ahead(self) -> None:
        following = self.after()
        self._ahead.stop()
        self._ahead = Stop()
        if following is not None:
            self.run_worker(
                partial(self._reading_ahead, following, self._ahead), thread=True, group="ahead", exit_on_error=False
            )

    def _reading_ahead(self, following: Callable[[], TracePlace | None], stop: Stop) -> None:
        try:
            stop.check()
            place = following()
            if place is not None:
                self.post_message(ReadAhead(place, read_trace(self.lrm.reader, place, stop)))
        except (LrmError, StoppedError):
            return  # whoever asks for it is told what is wrong

    def on_read_ahead(self, message: ReadAhead) -> None:
        """Keep a response until it is asked for."""
        message.stop()
        self._held[message.place] = message.trace
        while len(self._held) > AHEAD:
            del self._held[next(iter(self._held))]

    def on_unmount(self) -> None:
        """Read nothing ahead any more."""
        self._ahead.stop()

    # Panes

    def panes(self) -> tuple[Pane, ...]:
        """Return the texts that are seen, and the panel."""
        return (*self.texts.panes, self.panel)

    def activate(self, pane: Pane) -> None:
        """Let the keys of movement act on a pane; the prompt's grows meanwhile."""
        super().activate(pane)
        part = self.texts.part_of(pane)
        if part is not None:
            self.texts.activate(part)

    def moved(self, rows: int, columns: int) -> None:
        """Move within the pane; to the side, from thinking to answer and back where there is nothing to scroll to."""
        state = self.state
        part = self.texts.part_of(self.pane)
        if columns and state is not None and not state.raw and part in ("thinking", "answer") and self.cursorless:
            other = self.texts.views["answer" if columns > 0 else "thinking"]
            if other in self.texts.panes:
                self.activate(other)
            return
        super().moved(rows, columns)

    @property
    def cursorless(self) -> bool:
        """Whether no text has a text cursor."""
        return all(view.cursor_offset is None for view in self.texts.views.values())

    def on_text_view_pointed(self, message: TextView.Pointed) -> None:
        """Make the pane that was clicked the active one."""
        message.stop()
        self.activate(message.view)

    # Searching

    def action_find(self) -> None:
        """Ask for words, and go to the first of them."""
        words = "" if self.state is None else self.state.words
        self.app.push_screen(Ask("find in prompt, thinking and answer", words), self._find)

    def _find(self, words: object) -> None:
        if not isinstance(words, str) or self.state is None:
            return
        self.state.words = words
        part = self.texts.find(words)
        if part is not None:
            self.activate(self.texts.views[part])
        elif words:
            more = self.texts.beyond
            self.lrm.tell(
                f"“{words}” is not in what is shown" + (f"; {more:,} beyond it: O opens all of it" if more else "")
            )
        self.say()

    def action_next_match(self) -> None:
        """Go to the next match, through all texts."""
        self._to_match(1)

    def action_previous_match(self) -> None:
        """Go to the match before."""
        self._to_match(-1)

    def _to_match(self, by: int) -> None:
        found = self.texts.step(by)
        if found is None:
            self.lrm.tell("there is no match: / searches")
            return
        self.activate(self.texts.views[found[0]])
        self.say()

    def cleared(self) -> bool:
        """Search for nothing any more."""
        if self.state is None or not self.state.words:
            return False
        self.state.words = ""
        self.texts.forget_matches()
        self.say()
        return True

    def found_words(self) -> str:
        """Return what the status says of the search."""
        if self.state is None or not self.state.words:
            return ""
        number, count = self.texts.matched
        return f"/{self.state.words} {f'{number:,} of {count:,}' if count else 'not found'}"

    # Actions that both have

    def action_thinking(self) -> None:
        """Show thinking beside the answer, folded away, or alone."""
        if self.state is not None:
            self.state.turn_thinking()
            self.show_state()
            shown = self.texts.panes
            if self.pane not in shown and self.pane is not self.panel:
                self.activate(shown[-1])
            self.say()

    # What leaves it

    def part(self, part: Part) -> str | None:
        """Return one of the texts, and nothing else."""
        return None if self.trace is None else part_text(self.trace, part)

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return answer, thinking, prompt, id and link; the thinking is never part of the answer."""
        trace = self.trace
        return {
            "a": ("answer", lambda: self.part("answer")),
            "t": ("thinking", lambda: self.part("thinking")),
            "p": ("prompt", lambda: self.part("prompt")),
            "i": ("id", lambda: None if trace is None else trace.generation or trace.call),
            **super().copies(),
        }

    def full(self, stop: Stop) -> Trace:
        """Return the response with all of texts that are longer than what is read of one: for a worker."""
        trace = self.trace
        assert trace is not None
        if trace.generation_n is None:
            return trace
        reader, n = self.lrm.reader, trace.generation_n
        if trace.thinking_left_out:
            trace = replace(trace, thinking=whole_text(reader, n, "thinking", stop), thinking_left_out=0)
        if trace.answer_left_out:
            trace = replace(trace, answer=whole_text(reader, n, "answer", stop), answer_left_out=0)
        if any(message.left_out for message in trace.messages):
            written = json.loads(whole_text(reader, n, "messages", stop))
            short = [replace(message, left_out=0) for message in trace.messages]
            trace = replace(
                trace,
                messages=tuple(replace(one, text=given["content"]) for one, given in zip(short, written, strict=True)),
            )
        return trace

    def text(self) -> str | None:
        """Return all that is shown as text with headings."""
        return None if self.trace is None else whole(self.trace)

    def action_pager(self) -> None:
        """Show all of it in the pager."""
        self._outside("PAGER", "less")

    def action_editor(self) -> None:
        """Open a copy of all of it in the editor."""
        self._outside("EDITOR", "vi")

    def _outside(self, variable: str, otherwise: str) -> None:
        if self.trace is None:
            self.lrm.tell("there is no text to show here")
        else:
            self.ask("outside", lambda stop: whole(self.full(stop)), partial(self.lrm.outside, variable, otherwise))

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return the whole response as text, Markdown and JSON."""
        if self.trace is None:
            return {}
        return {
            "txt": lambda: whole(self.full(Stop())),
            "md": lambda: whole(self.full(Stop()), markdown=True),
            "json": lambda: as_json(self.full(Stop())),
        }


def payload_text(view: View, generation: str, stop: Stop) -> str:
    """Return a payload as it came, and above it the same laid out where it is JSON."""
    raw = raw_payload(view.lrm.reader, generation, stop)
    try:
        laid_out = json.dumps(json.loads(raw), ensure_ascii=False, indent=2)
    except ValueError:
        return raw
    return f"{laid_out}\n\n── as it came ──\n\n{raw}"


def facts_page(place: Place, trace: Trace) -> Page:
    """Return the page of everything that is known of a response besides its texts."""
    found = facts(trace)
    width = min(max(len(name) for name, _ in found), 32)
    return Page(place, "metadata", lambda _: "\n".join(f"{name:<{width}}  {value}" for name, value in found))


def verdicts_copy(trace: Trace | None) -> str | None:
    """Return all verdicts as text."""
    return None if trace is None else verdicts_text(trace)


def _same_texts(one: Trace, other: Trace) -> bool:
    return (one.call, one.generation, one.thinking, one.answer, one.messages, one.failure) == (
        other.call, other.generation, other.thinking, other.answer, other.messages, other.failure
    )  # fmt: skip
