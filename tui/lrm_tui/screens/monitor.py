"""The view `monitor`: how running fills stand, and how earlier ones ended."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.message import Message
from textual.worker import WorkerState

from lrm import clock
from lrm.browse.places import MonitorPlace, Place, TracePlace
from lrm.browse.reader import Stop
from lrm.browse.runs import Desks, Failure, RunLogTail, Sight, desks, log_of, recent, sight
from lrm.errors import CatalogError, LrmError, MissingError
from lrm_tui.base import Changed, View
from lrm_tui.panes import Items
from lrm_tui.screens.monitor_lines import LinesPane, Piece, TextLine, line
from lrm_tui.screens.monitor_state import Speeds, age_words, list_lines, run_lines, span

if TYPE_CHECKING:
    from lrm.run.desk import RunState
    from lrm.store.holdings import HeldRun

LOOK_S = 0.5
"""Seconds between two looks at a run; what did not change is not drawn again."""
RECENT_S = 5.0
"""Seconds at least between two looks into the catalog for earlier runs."""
TELL_S = 10.0
"""How long a fill may take to obey, in seconds."""
MOST_BELOW = 8
"""Earlier runs listed below the one that is watched."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look found."""

    desks: Desks
    sight: Sight | None
    failures: tuple[Failure, ...] = ()
    failed_attempts: int = 0
    whole: bool = True
    log: tuple[str, ...] = ()
    recent: tuple[HeldRun, ...] | None = None
    """None: the catalog was not asked."""
    problem: str | None = None
    """Why the catalog's earlier runs could not be read."""


class Looked(Message):
    """A look at the runs is done."""

    def __init__(self, seen: Seen | None, error: LrmError | None) -> None:
        super().__init__()
        self.seen, self.error = seen, error


class MonitorView(View):
    """One run, or the list of them."""

    view: ClassVar[str] = "monitor"

    def __init__(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        super().__init__(place, items=items, row=row)
        assert isinstance(place, MonitorPlace)
        self.run: str | None = None
        """The run that is watched; None is the list."""
        self.named = place.run
        self.frozen_at: float | None = None
        """When the display was told to stand still, in monotonic seconds."""
        self.showing_log = False
        self.seen: Seen | None = None
        self.looks = 0
        """Looks done so far."""
        self.stop_words: str | None = None
        """The command that stops the run, once it was asked for."""
        self._recent: tuple[HeldRun, ...] = ()
        self._recent_read = False
        """Whether the catalog's earlier runs were read."""
        self._problem: str | None = None
        self._recent_at = float("-inf")
        self._recent_wanted = True
        self._seen_at: float | None = None
        self._speeds = Speeds()
        self._tail: RunLogTail | None = None

    def body(self) -> ComposeResult:
        """Make the lines."""
        self.lines = LinesPane(id="lines")
        self.pane = self.lines
        yield self.lines

    def load(self) -> None:
        """Look at once, and then again and again."""
        self._recent_wanted = True
        if not hasattr(self, "_timer"):
            self._timer = self.set_interval(LOOK_S, self.look)
        self.look()

    # Looking

    def look(self) -> None:
        """Have a worker look, unless one still does."""
        if any(one.group == "look" and one.state in (WorkerState.PENDING, WorkerState.RUNNING) for one in self.workers):
            return
        if self.app.screen is not self and self.seen is not None:
            return
        self.run_worker(self._look, thread=True, group="look", exit_on_error=True)

    def _look(self) -> None:
        """Read files, and now and then the catalog. Runs in a worker."""
        try:
            self.post_message(Looked(self._see(), None))
        except LrmError as error:
            self.post_message(Looked(None, error))
        except OSError as error:
            wrong = CatalogError(
                f"the runs cannot be read: {error.strerror or error}", hint="check the folder's permissions"
            )
            self.post_message(Looked(None, wrong))

    def _see(self) -> Seen:
        catalog = self.lrm.catalog
        now = clock.monotonic()
        found: tuple[HeldRun, ...] | None = None
        problem: str | None = None
        if self._recent_wanted and now - self._recent_at >= RECENT_S:
            self._recent_at = now
            try:
                found = recent(self.lrm.reader, Stop())
                self._recent_wanted = False
            except MissingError:
                found, self._recent_wanted = (), False
            except LrmError as error:
                problem = f"earlier runs cannot be read now: {error.message}"
        both = desks(catalog)
        run = self.run or self._chosen(both, found if found is not None else self._recent, read=found is not None)
        if run is None:
            return Seen(both, None, recent=found, problem=problem)
        tail = self._tail
        if tail is None or tail.path != log_of(catalog, run):
            tail = RunLogTail(log_of(catalog, run))
        one = sight(catalog, run, tail)
        self._tail = tail
        return Seen(
            both, one, tuple(tail.failures), tail.failed_attempts, tail.whole, tuple(tail.lines)[-200:], found, problem
        )

    def _chosen(self, both: Desks, known: tuple[HeldRun, ...], *, read: bool) -> str | None:
        """Return the run that was named, or the only one that runs. Raises MissingError where the name means none."""
        if self.named is None:
            return both.running[0].run if len(both.running) == 1 else None
        name = self.named.removesuffix(".toml").rpartition("/")[2]
        every = (
            *((one.run, one.spec or "") for one in both.running), *((one.run, "") for one in both.died),
            *((one.id, one.spec) for one in known),
        )  # fmt: skip
        for fits in (
            lambda run, spec: name in (run, spec),
            lambda run, spec: run.startswith(name) or spec.startswith(name),
        ):
            found = next((run for run, spec in every if fits(run, spec)), None)
            if found is not None:
                return found
        if not self._recent_read and not read:
            return None  # the catalog, which knows earlier runs, could not be opened yet
        raise MissingError(f"there is no run called `{self.named}`", hint="`lrm tui monitor` lists those there are")

    def on_looked(self, message: Looked) -> None:
        """Take what a look found, and draw what of it is new."""
        message.stop()
        self.looks += 1
        if message.error is not None:
            self.error = message.error
            self.say()
            return
        seen = message.seen
        assert seen is not None
        if seen.recent is not None:
            self._recent, self._recent_read, self._problem = seen.recent, True, None
        elif seen.problem is not None:
            self._problem = seen.problem
        if seen.sight is not None:
            if self.run is None:
                self.run = seen.sight.run
                self.place = MonitorPlace(self.run)
            self._speeds.take(seen.sight.state if seen.sight.alive else None)
            was = self.seen.sight if self.seen is not None else None
            if was is not None and was.alive and not seen.sight.alive:
                self._recent_wanted = True
        self.error = None
        if self.frozen_at is None:
            self.seen = seen
            self._seen_at = clock.monotonic()
            self.draw()
        self.say()

    def draw(self) -> None:
        """Bring the lines up to date with what was seen."""
        if self.seen is not None:
            self.lines.show(self._log_lines() if self.showing_log else self._lines())

    def _lines(self) -> list[TextLine]:
        seen = self.seen
        assert seen is not None
        if seen.sight is None:
            return list_lines(seen.desks, self._recent, problem=self._problem)
        width = max(self.lines.size.width - 2, 40)
        lines = run_lines(seen.sight, self._speeds, seen.failures, seen.failed_attempts, width=width, whole=seen.whole)
        if self.named is None:
            others = replace(seen.desks, running=tuple(one for one in seen.desks.running if one.run != self.run))
            earlier = tuple(one for one in self._recent if one.id != self.run)[:MOST_BELOW]
            if others.running or earlier:
                listed = list_lines(others, earlier, problem=self._problem)
                lines += [line(), *(listed if others.running else listed[3:])]
        return lines

    def _log_lines(self) -> list[TextLine]:
        seen = self.seen
        assert seen is not None
        if not seen.log:
            return [line(Piece("its log is empty, or gone", "dim"))]
        return [line(one, key=("log", n)) for n, one in enumerate(seen.log)]

    def on_resize(self) -> None:
        """Fit the bars to the width."""
        self.draw()

    # The lines around

    def crumbs(self) -> str:
        """Return where this is."""
        return "monitor" if self.run is None else f"run {self.run}" + (" log" if self.showing_log else "")

    def status(self) -> str:
        """Return how old what is shown is."""
        if self.frozen_at is not None:
            return f"FROZEN {span(clock.monotonic() - self.frozen_at)} ago: Space lets it move again"
        if self.stop_words is not None:
            return f"this stops it: {self.stop_words}"
        if self.seen is None:
            return "looks for runs"
        if self.seen.sight is None:
            return f"{len(self.seen.desks.running)} running"
        return age_words(self.seen.sight)

    def freshness(self) -> str:
        """Return when this looked last."""
        return "" if self._seen_at is None else f"looked {span(clock.monotonic() - self._seen_at)} ago"

    def on_changed(self, message: Changed) -> None:
        """Look for runs that have ended."""
        message.stop()
        self._recent_wanted = True

    # What can be done

    def action_enter(self) -> None:
        """Watch the run, or open the failed call, under the cursor."""
        self._open(self.lines.key)

    def on_lines_pane_chosen(self, message: LinesPane.Chosen) -> None:
        """Open what was clicked twice."""
        message.stop()
        self._open(message.key)

    def _open(self, key: object) -> None:
        match key:
            case ("run", str(run)):
                self.lrm.open(MonitorPlace(run))
            case ("call", str(call), _):
                self.lrm.open(TracePlace(call))
            case _:
                pass

    def action_freeze(self) -> None:
        """Let the display stand still, or move again."""
        self.frozen_at = clock.monotonic() if self.frozen_at is None else None
        if self.frozen_at is None:
            self.look()
        self.say()

    def action_pause(self) -> None:
        """Pause the run, or let it go on."""
        state = self._live_state()
        if state is None or self.run is None:
            self.lrm.tell("there is no running fill here to pause")
            return
        from lrm.run.desk import Told, tell
        from lrm.run.wishes import Pause, Resume

        wish = Resume() if state.state == "paused" else Pause()
        run, catalog = self.run, self.lrm.catalog

        def told(answer: Told) -> None:
            match answer.answer:
                case "obeyed":
                    self.lrm.tell(
                        f"{run} goes on" if isinstance(wish, Resume) else f"{run} begins no new call: P lets it go on"
                    )
                case "ended":
                    self.lrm.tell(f"{run} has ended meanwhile")
                case "none":
                    self.lrm.tell(f"{run} has been told and has not answered yet", bad=True)
            self.look()

        self.ask("tell", lambda _: tell(catalog, run, wish, patience_s=TELL_S), told)

    def _live_state(self) -> RunState | None:
        seen = self.seen
        return seen.sight.state if seen is not None and seen.sight is not None and seen.sight.alive else None

    def loading_words(self) -> str:
        """Return what is said while the fill is told something."""
        return "waits for the fill to obey (Esc stops waiting)"

    def action_log(self) -> None:
        """Show the end of the run's log, or what was there before."""
        if self.run is None:
            self.lrm.tell("choose a run first: Enter")
            return
        self.showing_log = not self.showing_log
        self.draw()
        if self.showing_log:
            self.lines.bottom()
        else:
            self.lines.top()
        self.say()

    def action_stop_command(self) -> None:
        """Show and copy the command that stops the run."""
        if self._live_state() is None or self.run is None:
            self.lrm.tell("there is no running fill here to stop")
            return
        words = ["lrm", "matrix", "stop", self.run]
        if self.lrm.catalog_words is not None:
            words += ["--catalog", self.lrm.catalog_words]
        self.stop_words = shlex.join(words)
        self.lrm.copy(self.stop_words, "the command that stops it")
        self.say()

    def action_out(self) -> None:
        """Go out; an error that each look finds anew does not stand in the way."""
        self.error = None
        super().action_out()

    def cleared(self) -> bool:
        """Leave the log, or take the command away."""
        if self.showing_log:
            self.action_log()
            return True
        if self.stop_words is not None:
            self.stop_words = None
            self.say()
            return True
        return False

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return what can be written to a file."""
        return {"txt": lambda: self.text() or ""}

    def text(self) -> str | None:
        """Return what is shown as plain text."""
        return "\n".join(one.text for one in self.lines.lines) + "\n"
