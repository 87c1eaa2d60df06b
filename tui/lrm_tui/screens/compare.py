"""The view `compare`: what several models did with the same prompt, side by side, and how often they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Container

from lrm.browse.pairs import Pairs, open_pairs
from lrm.browse.places import ComparePlace, Outcome, TracePlace
from lrm.browse.reader import Stop, StoppedError
from lrm.errors import LrmError
from lrm_tui.actions import Action
from lrm_tui.panes import Pane
from lrm_tui.screens.compare_choices import Choosing
from lrm_tui.screens.compare_columns import Column, Shown, read_pair
from lrm_tui.screens.compare_export import Leaving
from lrm_tui.screens.compare_finding import Finding
from lrm_tui.screens.compare_state import (
    FILTERS,
    MOST_MODELS,
    counts,
    prompt_words,
    side_words,
    tested,
    toggled,
    why_empty,
)
from lrm_tui.screens.trace_panel import WordsLine
from lrm_tui.screens.trace_state import part_text, prompt_text
from lrm_tui.screens.trace_texts import rows_of
from lrm_tui.widgets.text_view import TextView

PROMPT_ROWS = 3
KEPT = 8
"""Pairs that are kept with their texts, so that going back and forth reads nothing again."""


class CompareView(Choosing, Finding, Leaving):
    """The same prompts answered by two to four models; the pairs are a list of its own, which J and K go through."""

    view: ClassVar[str] = "compare"
    DEFAULT_CSS = """
    CompareView #columns { layout: horizontal; height: 1fr; }
    CompareView #prompt { height: 2; }
    """

    # What it is made of

    def body(self) -> ComposeResult:
        """Make the counts, the prompt and the columns."""
        yield WordsLine(id="counts")
        yield WordsLine(id="tested")
        yield WordsLine(id="which")
        yield TextView(id="prompt")
        yield Container(id="columns")

    def panes(self) -> tuple[Pane, ...]:
        """Return the columns' texts, and the prompt."""
        return (*(column.shown for column in self.columns), self.query_one("#prompt", TextView))

    # Loading

    def load(self) -> None:
        """Join the pairs, or ask which models are compared."""
        if len(self.at.models) < 2:
            self.action_models()
            return
        place = self.at
        if len(place.models) > MOST_MODELS:
            self.lrm.tell(f"{MOST_MODELS} models stand side by side; the others are left out")
            self.place = place = replace(place, models=place.models[:MOST_MODELS])
        self.ask("pairs", partial(self._open, place), self._opened)

    def _open(self, place: ComparePlace, stop: Stop) -> tuple[Pairs, Mapping[str, str | None]]:
        pairs = open_pairs(self.lrm.reader, place, stop)
        files = self._files or {one.name: one.file for one in self.lrm.grids.specs(stop)}
        return pairs, files

    def _opened(self, found: tuple[Pairs, Mapping[str, str | None]]) -> None:
        pairs, self._files = found
        self._close()
        self.pairs = self._all = pairs
        self._kept.clear()
        columns = self.query_one("#columns", Container)
        if len(self.columns) != len(pairs.models):
            columns.remove_children()
            made = [Column() for _ in pairs.models]
            for at, column in enumerate(made):
                column.set_class(at > 0, "-right")
            self.call_after_refresh(self._go_to, self.at.at)
            columns.mount(*made)
        else:
            self._go_to(self.at.at)
        self.state.active = min(self.state.active, len(pairs.models) - 1)

    def _go_to(self, prompt: str | None, row: int = 0) -> None:
        """Show the pair of a prompt, or the one in a row where there is none."""
        pairs = self.pairs
        if pairs is None:
            return
        if prompt is None:
            self._show_row(row)
        else:
            self.ask("row", lambda stop: pairs.row_of(prompt, stop), lambda found: self._show_row(found or 0))

    def _show_row(self, row: int) -> None:
        pairs = self.pairs
        assert pairs is not None
        self.query_one("#counts", WordsLine).say(counts(pairs))
        self.query_one("#tested", WordsLine).say(tested(pairs))
        self.place = replace(
            self.at, models=pairs.models, judge=pairs.judge, scope=pairs.scope, outcome=pairs.place.outcome
        )
        if not pairs.count:
            self._show_nothing()
            return
        row = min(max(row, 0), pairs.count - 1)
        self.state.row = row
        kept = self._kept.get((pairs.place.outcome, row))
        if kept is not None:
            self._show(pairs, row, kept)
        else:
            self.ask(
                "pair",
                lambda stop: read_pair(self.lrm.reader, pairs, row, stop),
                lambda found: self._show(pairs, row, found),
            )

    def _show_nothing(self) -> None:
        self.state.pair, self.state.traces = None, ()
        self.query_one("#which", WordsLine).say(
            [(f"no pair is “{FILTERS[self.at.outcome]}”: Esc shows all", "unknown")]
        )
        self.query_one("#prompt", TextView).show(None, title="PROMPT")
        for column in self.columns:
            column.head.say([])
            column.shown.show(None)
        self.say()

    def _show(self, pairs: Pairs, row: int, found: Shown) -> None:
        if pairs is not self.pairs:
            return
        self._kept[pairs.place.outcome, row] = found
        while len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        state = self.state
        state.row, state.pair, state.traces = row, found.pair, found.traces
        self.place = replace(self.at, at=found.pair.prompt)
        self.query_one("#which", WordsLine).say(prompt_words(found.pair))
        self._show_prompt(found)
        self._show_texts()
        if not self.error:
            self._read_ahead(pairs, row + 1)
        self.say()

    def _show_prompt(self, found: Shown) -> None:
        trace = next((one for one in found.traces if one is not None), None)
        view = self.query_one("#prompt", TextView)
        view.show(None if trace is None else prompt_text(trace.messages), title="  PROMPT", instead="it is not there")
        self._size_prompt()

    def _size_prompt(self) -> None:
        view = self.query_one("#prompt", TextView)
        most = self.size.height // 2 if self.pane is view else PROMPT_ROWS if self.size.height > 28 else 1
        view.styles.height = rows_of(view.content, self.size.width, most) + 1

    def _show_texts(self) -> None:
        """Show the chosen part of each side."""
        state, pair = self.state, self.state.pair
        if pair is None:
            return
        for at, (column, side, trace) in enumerate(zip(self.columns, pair.sides, state.traces, strict=False)):
            text = None if trace is None else part_text(trace, state.part)
            spec = self.at.slice.spec or (trace.cell.spec if trace is not None and trace.cell is not None else "")
            why = why_empty(side, pair, trace, state.part, self._files.get(spec))
            column.head.say(side_words(at, side, trace))
            column.shown.show(why if text is None else text, title=self._title(state.part, text))
            column.shown.set_class(text is None, "-why")
        self._activate_column(state.active)
        self._mark_differences()
        if state.words:
            self._find(state.words)

    @staticmethod
    def _title(part: str, text: str | None) -> str:
        return part.upper() if text is None else f"{part.upper()}  {len(text):,} characters"

    def _read_ahead(self, pairs: Pairs, row: int) -> None:
        self._ahead.stop()
        self._ahead = Stop()
        if row < pairs.count and (pairs.place.outcome, row) not in self._kept:
            self.run_worker(
                partial(self._reading_ahead, pairs, row, self._ahead), thread=True, group="ahead", exit_on_error=False
            )

    def _reading_ahead(self, pairs: Pairs, row: int, stop: Stop) -> None:
        try:
            found = read_pair(self.lrm.reader, pairs, row, stop)
        except (LrmError, StoppedError):
            return  # whoever goes there is told what is wrong
        if pairs is self.pairs:
            self._kept[pairs.place.outcome, row] = found

    def _close(self) -> None:
        if self._all is not None:
            self._all.close()
            self._all = None

    def on_unmount(self) -> None:
        """Forget the pairs."""
        self._ahead.stop()
        self._close()

    # Lines

    def crumbs(self) -> str:
        """Return which models are compared."""
        return " | ".join(self.at.models) or "compare"

    def status(self) -> str:
        """Return the pair's place under the filter, and what is shown of it."""
        pairs, state = self.pairs, self.state
        if pairs is None:
            return ""
        said: list[str] = []
        if pairs.count:
            said.append(f"pair {state.row + 1:,} of {pairs.count:,}")
        if pairs.place.outcome != "all":
            said.append(f"filter: {FILTERS[pairs.place.outcome]} (Esc shows all)")
        said.append(f"{pairs.judge} · {pairs.scope}")
        said.append("answers" if state.part == "answer" else "thinking")
        said.append("scroll locked" if state.locked else "scroll free")
        if state.difference:
            said.append("differences marked")
        if state.words:
            said.append(f"/{state.words}")
        return "  ".join(said)

    # Moving

    def moved(self, rows: int, columns: int) -> None:
        """Move within the column, or to the one beside."""
        if columns and self.columns:
            self._activate_column(min(max(self.state.active + columns, 0), len(self.columns) - 1))
            self.say()
        else:
            super().moved(rows, columns)

    def _activate_column(self, at: int) -> None:
        if at < len(self.columns):
            self.activate(self.columns[at].shown)

    def activate(self, pane: Pane) -> None:
        """Let the keys of movement act on a column, whose place the others take while scrolling is locked."""
        super().activate(pane)
        columns = self.columns
        at = next((at for at, column in enumerate(columns) if column.shown is pane), None)
        if at is not None:
            self.state.active = at
        for number, column in enumerate(columns):
            column.set_class(number == self.state.active, "-here")
        self._size_prompt()
        self._lock()

    def on_text_view_pointed(self, message: TextView.Pointed) -> None:
        """Make the column that was clicked the active one."""
        message.stop()
        self.activate(message.view)

    def _lock(self) -> None:
        views = [column.shown for column in self.columns]
        active = self.state.active
        for at, view in enumerate(views):
            if not self.state.locked or len(views) < 2:
                view.unfollow()
            elif at != active:
                view.follow(views[active])
            elif len(views) == 2:
                view.follow(views[1 - active])
            else:
                view.unfollow()

    def action_lock(self) -> None:
        """Scroll all columns together, or each by itself."""
        self.state.locked = not self.state.locked
        self._lock()
        self.say()

    def _step(self, by: int) -> None:
        pairs = self.pairs
        if pairs is None or not pairs.count:
            self.lrm.tell("there is no pair")
            return
        row = self.state.row + by
        if 0 <= row < pairs.count:
            self._show_row(row)
        else:
            self.lrm.tell("that is the first pair" if by < 0 else "that is the last pair")

    def action_enter(self) -> None:
        """Open the response of the active column."""
        pair = self.state.pair
        if pair is None:
            return
        side = pair.sides[self.state.active]
        if side.id is None:
            self.lrm.tell(f"{side.model} was not asked this prompt: there is nothing to open")
        else:
            self.lrm.open(TracePlace(side.id, pair.prompt))

    # What is compared

    def _filter(self, outcome: Outcome) -> None:
        if self._all is None or self.pairs is None:
            return
        self.pairs = self._all.showing(toggled(self.pairs.place.outcome, outcome))
        self.place = replace(self.at, outcome=self.pairs.place.outcome)
        self._go_to(None if self.state.pair is None else self.state.pair.prompt)
        self.say()

    def action_both_safe(self) -> None:
        """Only prompts on which both are safe."""
        self._filter("both_safe")

    def action_only_a(self) -> None:
        """Only prompts on which the first alone is unsafe."""
        self._filter("only_a")

    def action_only_b(self) -> None:
        """Only prompts on which the second alone is unsafe."""
        self._filter("only_b")

    def action_both_unsafe(self) -> None:
        """Only prompts on which both are unsafe."""
        self._filter("both_unsafe")

    def cleared(self) -> bool:
        """Search for nothing any more, else show all outcomes."""
        if self.state.words:
            self.state.words = ""
            for column in self.columns:
                column.shown.find("")
            self.say()
            return True
        if self.pairs is not None and self.pairs.place.outcome != "all":
            self._filter("all")
            return True
        return False

    def action_part(self) -> None:
        """Compare answers, or thinking."""
        self.state.part = "thinking" if self.state.part == "answer" else "answer"
        self._show_texts()
        self.say()

    def can(self, action: Action) -> bool:
        """Return whether an action can be done now."""
        return action.verb != "swap" or len(self.at.models) >= 2
