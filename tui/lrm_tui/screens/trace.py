"""The view `trace`: what a model was asked, thought and answered, and what judges and people say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, cast

from lrm.browse.asked import Asked, asked
from lrm.browse.axes import Slice
from lrm.browse.others import others
from lrm.browse.places import AnnotatePlace, ComparePlace, Place, TracePlace
from lrm.browse.said import Cell, TraceVerdict
from lrm_tui.actions import Action
from lrm_tui.base import Changed
from lrm_tui.dialogs import Choose
from lrm_tui.screens.trace_page import Page
from lrm_tui.screens.trace_reading import ReadingView, facts_page, payload_text, verdicts_copy
from lrm_tui.screens.trace_state import Cited, TraceState, Words, panel, prompt_text

NAMELESS = 12
"""Characters of an id in the breadcrumbs."""


class TraceView(ReadingView):
    """One response in panes: prompt, thinking, answer, and verdicts with the passages that they cite."""

    view: ClassVar[str] = "trace"
    leaves_with: ClassVar[tuple[str, ...]] = ("trace", "step")

    # What is shown

    def wanted(self) -> TracePlace:
        """Return the place: it is the response itself."""
        return cast("TracePlace", self.place)

    def after(self) -> Callable[[], TracePlace | None] | None:
        """Return how to find the next response of the list that this came from."""
        items, row = self.items, self.row
        if items is None or row is None or row + 1 >= items.count:
            return None

        def following() -> TracePlace | None:
            place = items.place_at(row + 1)
            return place if isinstance(place, TracePlace) else None

        return following

    def turn_to(self, place: Place) -> None:
        """Show another response in this view."""
        if isinstance(place, TracePlace):
            super().turn_to(place)

    def on_changed(self, message: Changed) -> None:
        """Read what is said of the response again: a judge may have graded it, a fill may have brought it."""
        message.stop()
        self._held.clear()
        if self.app.screen is self and not self.loading_now and self.error is None:
            self.load()

    def crumbs(self) -> str:
        """Return whose response it is, to which prompt."""
        cell = None if self.trace is None else self.trace.cell
        if cell is None:
            place = self.wanted()
            return place.id if len(place.id) <= NAMELESS else f"{place.id[:NAMELESS]}…"
        return f"{cell.model} · {cell.prompt}" + ("" if cell.attack == "none" else f" · {cell.attack}")

    def status(self) -> str:
        """Return the chosen verdict, the passage, the search, and the place in the list."""
        state = self.state
        if state is None:
            return ""
        said: list[str] = []
        if self.items is not None and self.row is not None:
            said.append(f"{self.row + 1:,} of {self.items.count:,}")
        verdict = state.verdict
        if verdict is not None:
            said.append(f"judge {state.judge + 1}/{len(state.trace.verdicts)} {verdict.judge} · {verdict.scope}")
        if state.cited:
            said.append(f"passage {state.span or '–'}/{len(state.cited)}")
        if state.raw:
            said.append("raw")
        found = self.found_words()
        if found:
            said.append(found)
        return "  ".join(said)

    def panel_lines(self, state: TraceState) -> list[list[Words]]:
        """Return verdicts, the chosen one's reasons and passages, and labels."""
        return panel(state)

    def action_enter(self) -> None:
        """Open what is behind the chosen verdict, from the panel; a text has nothing behind it."""
        if self.pane is self.panel:
            self.action_judge_prompt()

    # Passages and judges

    def action_span(self, number: int) -> None:
        """Go to a passage by its number."""
        state = self.state
        if state is None:
            return
        found = state.jump(number)
        if found is not None:
            self._go(found)
        elif state.cited:
            self.lrm.tell(f"the passages are numbered 1 to {len(state.cited)}")
        else:
            self._no_passages(state)

    def action_next_span(self) -> None:
        """Go to the next passage."""
        self._step_span(1)

    def action_previous_span(self) -> None:
        """Go to the passage before."""
        self._step_span(-1)

    def _step_span(self, by: int) -> None:
        if self.state is not None:
            found = self.state.step(by)
            if found is None:
                self._no_passages(self.state)
            else:
                self._go(found)

    def _no_passages(self, state: TraceState) -> None:
        if state.verdict is None:
            self.lrm.tell("nothing was judged here")
        else:
            self.lrm.tell(
                f"{state.verdict.judge} cites no passage of the {state.verdict.scope}: v takes the next judge"
            )

    def _go(self, found: Cited) -> None:
        assert self.state is not None
        self.panel.show(panel(self.state), stay=True)
        if found.part is None:
            self.lrm.tell("the judge does not say which text this passage is in")
        elif not self.texts.has(found.part):
            self.lrm.tell(f"the passage is in the {found.part}, which is not here", bad=True)
        else:
            view = self.texts.views[found.part]
            if view not in self.texts.panes:
                self.state.shown = "side"
                self.texts.set_out("side")
            self.activate(view)
            if not view.go_to_span(found.number):
                self.lrm.tell("the passage is beyond what is shown: O opens all of the text", bad=True)
        self.say()

    def action_judge(self) -> None:
        """Take the next judge's verdict and passages."""
        if self.state is None:
            return
        if len(self.state.trace.verdicts) < 2:
            self.lrm.tell("there is no other verdict")
            return
        self.state.next_judge()
        self.show_state()
        self.say()

    def action_judge_prompt(self) -> None:
        """Show what the judge was asked, and its raw reply."""
        verdict = None if self.state is None else self.state.verdict
        if verdict is None:
            self.lrm.tell("nothing was judged here")
            return
        why = f"{verdict.judge} asks no model" if verdict.status != "not_judged" else "not judged yet"
        page = Page(
            self.place, f"{verdict.judge} · {verdict.scope}", lambda stop: asked_text(verdict, asked(self.lrm.reader, verdict, stop)),
            instead=why,
        )  # fmt: skip
        self.app.push_screen(page)

    # Other looks at it

    def action_raw(self) -> None:
        """Show the texts raw: nothing wrapped, control signs visible; again for wrapped."""
        if self.state is not None:
            self.state.raw = not self.state.raw
            self.show_state()
            self.say()

    def action_facts(self) -> None:
        """Show everything that is known of it."""
        if self.trace is not None:
            self.app.push_screen(facts_page(self.place, self.trace))

    def action_payload(self) -> None:
        """Show the provider's payload."""
        trace = self.trace
        if trace is None or trace.generation is None:
            self.lrm.tell("there is no payload: there is no response")
            return
        generation = trace.generation
        self.app.push_screen(Page(self.place, "payload", lambda stop: payload_text(self, generation, stop)))

    # Going elsewhere

    def action_annotate(self) -> None:
        """Label this response."""
        trace = self.trace
        if trace is None:
            return
        if trace.target is None or trace.call_n is None:
            self.lrm.tell("only a response of a cell, or a cell that was asked, can be labelled")
            return
        self.lrm.open(AnnotatePlace(queue=trace.generation or trace.call))

    def action_compare(self) -> None:
        """Choose another model that has this prompt, and compare."""
        cell = None if self.trace is None else self.trace.cell
        if cell is None:
            self.lrm.tell("there is nothing to compare a call of no current cell with")
            return
        self.ask("others", lambda stop: others(self.lrm.reader, cell, stop), lambda found: self._choose(cell, found))

    def _choose(self, cell: Cell, found: tuple[tuple[str, bool], ...]) -> None:
        if not found:
            self.lrm.tell(f"{cell.spec} asks no other model this prompt")
            return
        options = [(model, "" if answered else "has no response yet") for model, answered in found]

        def chosen(values: object) -> None:
            if isinstance(values, tuple):
                self.lrm.open(
                    compare_place(cell, (cell.model, *values)[:4], None if self.state is None else self.state.verdict)
                )

        self.app.push_screen(Choose(f"compare {cell.model} with", options, several=True), chosen)

    def can(self, action: Action) -> bool:
        """Return whether an action can be done now."""
        state = self.state
        match action.verb:
            case "span" | "next_span" | "previous_span":
                return state is not None and bool(state.cited)
            case "judge" | "judge_prompt":
                return state is not None and bool(state.trace.verdicts)
            case _:
                return True

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return the verdicts as well."""
        return {**super().copies(), "v": ("verdicts", lambda: verdicts_copy(self.trace))}

    def sql(self) -> str | None:
        """Return the response and its verdicts, over the documented views."""
        if self.trace is None:
            return None
        if self.trace.generation is None:
            return f"SELECT * FROM cells WHERE call = '{self.trace.call}'"
        return f"SELECT * FROM verdicts WHERE generation = '{self.trace.generation}'"


def compare_place(cell: Cell, models: tuple[str, ...], verdict: TraceVerdict | None) -> ComparePlace:
    """Return the place that compares models on a cell's prompts under its attack, beginning with its own prompt."""
    part = Slice(cell.spec, (("attack", (cell.attack,)), ("prompt_set", (cell.prompt_set,))))
    place = ComparePlace(part, models, at=cell.prompt)
    return place if verdict is None or not verdict.current else replace(place, judge=verdict.judge, scope=verdict.scope)


def asked_text(verdict: TraceVerdict, found: tuple[Asked, ...]) -> str:
    """Return a judge's questions and replies as text; empty where it asks no model."""
    blocks: list[str] = []
    for number, one in enumerate(found, start=1):
        blocks.append(f"── question {number} of {len(found)} to {one.model or 'a model'}  {one.generation} ──")
        if one.model is None:
            blocks.append("the catalog does not have this reply")
            continue
        blocks.append(prompt_text(one.messages))
        if one.thinking:
            blocks += [f"── its thinking {number} ──", one.thinking]
        blocks += [
            f"── its reply {number} ──",
            one.reply or "it answered nothing",
            f"── raw payload {number} ──",
            one.raw or "",
        ]
    if verdict.detail and found:
        blocks.append("── read from it ──")
        blocks += [f"{name}: {value}" for name, value in verdict.detail.items() if name != "replies"]
    return "\n\n".join(blocks)
