"""The view `plan`: what a fill of a spec would do, and the way to begin it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult

from lrm.browse.places import MonitorPlace, Place, PlanPlace
from lrm.browse.reader import Stamp, Stop
from lrm.errors import LrmError, SpecError
from lrm_tui.base import View
from lrm_tui.panes import Items
from lrm_tui.screens.monitor_lines import LinesPane, Piece, line
from lrm_tui.screens.plan_begin import begin
from lrm_tui.screens.plan_state import TREE, PlanState, planned, spec_file

if TYPE_CHECKING:
    from lrm.plan.plan import Plan


class PlanView(View):
    """What is there of a spec, what is missing, and what it will cost."""

    view: ClassVar[str] = "plan"

    def __init__(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        super().__init__(place, items=items, row=row)
        assert isinstance(place, PlanPlace)
        self.spec = place.spec
        self.state: PlanState | None = None
        self.beginning = False
        self._stamp: Stamp | None = None
        """The catalog's, when it was planned last."""

    def body(self) -> ComposeResult:
        """Make the lines."""
        self.lines = LinesPane(id="lines")
        self.pane = self.lines
        yield self.lines

    def load(self) -> None:
        """Plan in a worker; what is left out stays left out."""
        if self.state is None:
            self.lines.show([line(Piece(f"plans {self.spec} …", "dim"))])
        self._stamp = self.lrm.reader.stamp()
        self.ask("plan", self._plan, self._planned)

    def _plan(self, stop: Stop) -> tuple[Path, Plan, Plan | None]:
        """Read spec and registry and plan. Runs in a worker."""
        folder = Path.cwd()
        held = [] if (folder / self.spec).is_file() else self._held(stop)
        file = spec_file(self.spec, held, folder)
        stop.check()
        whole = planned(self.lrm.catalog, file, {})
        stop.check()
        only = {} if self.state is None else self.state.only()
        return file, whole, planned(self.lrm.catalog, file, only) if only else whole

    def _held(self, stop: Stop) -> list[tuple[str, str | None]]:
        if not self.lrm.catalog.exists():
            return []
        with self.lrm.reader.burst(stop) as connection:
            return connection.execute(
                "SELECT spec, arg_max(file, n) FROM lrm.spec_spans GROUP BY spec ORDER BY max(n) DESC"
            ).fetchall()

    def _planned(self, found: tuple[Path, Plan, Plan | None]) -> None:
        file, whole, kept = found
        old = self.state
        self.state = PlanState(whole, file, kept)
        if old is not None:
            self.state.left_out, self.state.open = old.left_out, old.open
        elif len(whole.blocks) <= 12:
            self.state.open = {path for one in whole.blocks for path in ((one.model,), (one.model, one.prompt_set))}
        self.draw()

    def draw(self) -> None:
        """Bring the lines up to date."""
        if self.state is not None:
            self.lines.show(self.state.lines(max(self.lines.size.width - 2, 40)))

    def on_resize(self) -> None:
        """Fit the bars to the width."""
        self.draw()

    def failed(self, job: str, error: LrmError) -> None:
        """Say where a spec is wrong, line by line; a plan that was shown stays."""
        if job == "begin":
            self.beginning = False
        if self.state is not None:
            return
        lines = [line(Piece(f"{self.spec} cannot be planned", "head")), line()]
        if isinstance(error, SpecError):
            where = (("file", error.file), ("line", error.line), ("key", error.key), ("row", error.row))
            lines += [line(Piece(f"{what:<6}", "dim"), str(value)) for what, value in where if value is not None]
        lines.append(line(Piece(error.message, "bad")))
        if error.hint:
            lines.append(line(Piece(error.hint, "warn")))
        lines += [line(), line(Piece("mend it, and r plans again", "dim"))]
        self.lines.show(lines)

    # The lines around

    def crumbs(self) -> str:
        """Return where this is."""
        return f"plan {self.spec}"

    def status(self) -> str:
        """Return what is left out."""
        if self.state is None:
            return ""
        out = [f"{axis} {value}" for axis in TREE for value in sorted(self.state.left_out[axis])]
        key = self.lines.key
        if isinstance(key, tuple) and not out:
            return f"Space leaves out {TREE[len(key) - 1]} {key[-1]} everywhere, Enter opens and folds"
        return f"left out: {', '.join(out)}" if out else ""

    def loading_words(self) -> str:
        """Return what is said while it loads."""
        return "the fill begins (Esc stops waiting for it)" if self.beginning else "planning (Esc stops)"

    # What can be done

    def moved(self, rows: int, columns: int) -> None:
        """Move, and say what the keys do there; sideways opens and folds."""
        key = self.lines.key
        if columns and self.state is not None and isinstance(key, tuple) and len(key) < len(TREE):
            if columns > 0:
                self.state.open.add(key)
            else:
                self.state.open.discard(key)
            self.draw()
        else:
            super().moved(rows, 0)
        self.say()

    def action_enter(self) -> None:
        """Open or fold the line under the cursor."""
        key = self.lines.key
        if self.state is not None and isinstance(key, tuple) and len(key) < len(TREE):
            self.state.open ^= {key}
            self.draw()

    def on_lines_pane_chosen(self, message: LinesPane.Chosen) -> None:
        """Open or fold what was clicked twice."""
        message.stop()
        self.action_enter()

    def action_exclude(self) -> None:
        """Leave out what the cursor is on, or take it in again; then plan what is kept."""
        key = self.lines.key
        if self.state is None or not isinstance(key, tuple):
            return
        wrong = self.state.toggle(key)
        if wrong is not None:
            self.lrm.tell(wrong, bad=True)
            return
        self.stop("plan")
        self.draw()
        self.say()
        if self.state.kept is None:
            file, only, catalog = self.state.file, self.state.only(), self.lrm.catalog
            self.ask("plan", lambda _: planned(catalog, file, only), self._kept)

    def _kept(self, plan: Plan) -> None:
        if self.state is not None:
            self.state.kept = plan
            self.draw()

    def action_apply(self) -> None:
        """Fill what is missing, after saying the numbers."""
        state = self.state
        if state is None or state.kept is None or self.beginning:
            self.lrm.tell("the plan is not there yet" if not self.beginning else "it begins already")
            return
        if state.kept.nothing_to_do:
            self.lrm.tell("there is nothing to do")
            return
        from lrm_tui.dialogs import Confirm

        words = state.command(str(self.lrm.catalog.path))

        def answered(sure: object) -> None:
            if not sure:
                return
            self.beginning = True
            catalog = self.lrm.catalog
            self.ask("begin", lambda stop: begin(catalog, words, stop), self._begun)

        self.app.push_screen(Confirm(state.question(), "fill"), answered)

    def _begun(self, run: str | None) -> None:
        self.beginning = False
        if run is not None:
            self.lrm.open(MonitorPlace(run))
        else:
            self.lrm.tell("the fill has ended; the monitor (W) lists it")
            self.load()

    def action_copy_command(self) -> None:
        """Copy the command that fills what is kept."""
        if self.state is None:
            self.lrm.tell("the plan is not there yet")
        else:
            self.lrm.copy(self._command(), "the command that fills it")

    def _command(self) -> str:
        assert self.state is not None
        return shlex.join(self.state.command(self.lrm.catalog_words))

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return what can be copied."""
        return {
            **super().copies(),
            "c": ("the command that fills it", lambda: self._command() if self.state is not None else None),
        }

    def cleared(self) -> bool:
        """Take everything in again."""
        if self.state is None or not any(self.state.left_out.values()):
            return False
        for out in self.state.left_out.values():
            out.clear()
        self.state.kept = self.state.whole
        self.draw()
        self.say()
        return True

    def on_screen_resume(self) -> None:
        """Plan again after a fill was watched: it has changed what is missing."""
        super().on_screen_resume()
        if self.state is not None and self._stamp != self.lrm.reader.stamp():
            self.load()

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return what can be written to a file."""
        return {"txt": lambda: self.text() or ""}

    def text(self) -> str | None:
        """Return what is shown as plain text."""
        return "\n".join(one.text for one in self.lines.lines) + "\n"
