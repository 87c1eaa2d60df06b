"""What every view is: lines around a body, keys from the table of actions, work in threads, errors in a banner."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from lrm.browse.places import Place, command
from lrm.browse.reader import Stop, StoppedError
from lrm.errors import LrmError
from lrm.text import visible
from lrm_tui.actions import Action, of
from lrm_tui.lines import KeysLine, Line, footer
from lrm_tui.panes import Items, Pane

if TYPE_CHECKING:
    from lrm_tui.app import LrmApp

T = TypeVar("T")
SPINNER_AFTER_S = 0.15
"""Seconds after which something that is still loading says so."""
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Came(Message):
    """What a worker found."""

    def __init__(self, job: str, stop: Stop, then: Callable[[Any], None], value: Any) -> None:
        super().__init__()
        self.job, self.stop_of, self.then, self.value = job, stop, then, value


class Ended(Message):
    """A worker has ended, well or badly."""

    def __init__(self, job: str, stop: Stop, error: LrmError | None) -> None:
        super().__init__()
        self.job, self.stop_of, self.error = job, stop, error


class Changed(Message):
    """The catalog's file has changed."""


_FIRST = ("any.copy",)


def _bindings(view: str) -> list[Binding]:
    found = []
    for action in of(view):
        if action.by_digit:
            found += [Binding(key, f"{action.verb}({key})", action.label, show=False) for key in action.keys]
        else:
            # A key that is followed by a letter has to be done before the letter is looked at, however fast they come.
            found.append(
                Binding(
                    ",".join(action.keys),
                    action.verb,
                    action.label,
                    show=False,
                    id=action.name,
                    priority=action.name in _FIRST,
                )
            )
    return found


class View(Screen[None]):
    """A view of one place.

    A subclass says `view` (its word in the table of actions), makes its body in `body`, loads in `load`, and has a method
    `action_VERB` for each of its actions. It may hold state of its own in a plain object without Textual.
    """

    view: ClassVar[str] = ""
    again: ClassVar[str] = "r"
    """The key that tries again what failed."""
    leaves_with: ClassVar[tuple[str, ...]] = ()
    """How the names of jobs begin that are no reason to stay: Esc goes back, and does not stop them first."""
    DEFAULT_CSS = """
    View { background: $background; }
    View > #top { background: $panel; color: $foreground; text-style: bold; }
    View > #banner { background: $error; color: $background; text-style: bold; display: none; height: auto; max-height: 6; padding: 0 1; }
    View > #banner.-shown { display: block; }
    View > #status { background: $surface; color: $foreground; }
    View > #body { height: 1fr; }
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a view its keys."""
        if cls.view:
            cls.BINDINGS = _bindings(cls.view)  # type: ignore[assignment]
        super().__init_subclass__(**kwargs)

    def __init__(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        """Show a place; `items` is the list that it is the `row`-th of."""
        super().__init__()
        self.place = place
        self.items = items
        self.row = row
        self.pane: Pane | None = None
        """What the keys of movement act on."""
        self.error: LrmError | None = None
        self._stops: dict[str, Stop] = {}
        self._tick = 0
        self._step_to: int | None = None

    @property
    def lrm(self) -> LrmApp:
        """The app, as what it is."""
        return cast("LrmApp", self.app)

    # What a view is made of

    def compose(self) -> ComposeResult:
        """Make the lines and the body between them."""
        yield Line(id="top")
        yield Static(id="banner", markup=False)
        with Container(id="body"):
            yield from self.body()
        yield Line(id="status")
        yield KeysLine()

    def body(self) -> ComposeResult:
        """Make what stands between the lines."""
        yield from ()

    def load(self) -> None:
        """Begin to load what the view shows; called when it is there, and again by `refresh`."""

    def crumbs(self) -> str:
        """Return where this is, as breadcrumbs."""
        return self.view

    def status(self) -> str:
        """Return the status line: rows, filter, selection, freshness."""
        return ""

    def on_mount(self) -> None:
        """Show the lines and begin to load."""
        self.say()
        self.set_interval(SPINNER_AFTER_S, self._turn)
        self.load()

    def on_screen_resume(self) -> None:
        """Show the lines again: what is shown may have changed meanwhile."""
        self.say()

    def say(self) -> None:
        """Bring the lines up to date with the state."""
        if not self.is_mounted:
            return
        self.query_one("#top", Line).say(self.trail(), command(self.place, self.lrm.catalog_words))
        self._say_status()
        banner = self.query_one("#banner", Static)
        banner.set_class(self.error is not None, "-shown")
        if self.error is not None:
            hint = "" if self.error.hint is None else f"\n{self.error.hint}"
            banner.update(Text(visible(f"{self.error.message}{hint}  ({self.again} tries again, Esc goes back)")))
        self.query_one(KeysLine).say(footer(of(self.view), self.lrm.settings.keys))

    def trail(self) -> str:
        """Return the breadcrumbs of all open views down to this one."""
        views = [screen for screen in self.app.screen_stack if isinstance(screen, View)]
        upto = views[: views.index(self) + 1] if self in views else [self]
        return " › ".join(view.crumbs() for view in upto)

    def _say_status(self) -> None:
        left = self.status()
        if self.loading_now:
            self._tick += 1
            left = f"{_SPINNER[self._tick % len(_SPINNER)]} {self.loading_words()}  {left}"
        self.query_one("#status", Line).say(left, self.freshness())

    def loading_words(self) -> str:
        """Return what is said while something loads."""
        return "loading (Esc stops)" if self._stays else "loading"

    def freshness(self) -> str:
        """Return how old what is shown is."""
        return self.lrm.freshness()

    def _turn(self) -> None:
        if self.loading_now and self.app.screen is self:
            self._say_status()

    # Work in threads

    @property
    def loading_now(self) -> bool:
        """Whether something is being loaded."""
        return bool(self._stops)

    @property
    def _stays(self) -> bool:
        """Whether something is being loaded that Esc stops."""
        return not all(job.startswith(self.leaves_with) for job in self._stops)

    def ask(self, job: str, question: Callable[[Stop], T], then: Callable[[T], None]) -> None:
        """Have a worker answer a question and give the answer to `then`; a job of the same name is stopped first."""
        self.stream(job, lambda stop: iter((question(stop),)), then)

    def stream(self, job: str, question: Callable[[Stop], Iterator[T]], then: Callable[[T], None]) -> None:
        """The same for a question with several answers, each given to `then` as it comes."""
        self.stop(job)
        stop = self._stops[job] = Stop()
        self.error = None
        self.run_worker(partial(self._work, job, stop, question, then), thread=True, group=job, exit_on_error=True)

    def _work(self, job: str, stop: Stop, question: Callable[[Stop], Iterator[T]], then: Callable[[T], None]) -> None:
        error: LrmError | None = None
        try:
            for value in question(stop):
                stop.check()
                self.post_message(Came(job, stop, then, value))
        except StoppedError:
            pass
        except LrmError as caught:
            error = caught
        except Exception as caught:
            if os.environ.get("LRM_DEBUG"):
                raise
            error = LrmError(
                f"a bug in lrm while it did «{job}»: {type(caught).__name__}: {caught}",
                hint="please report it; with LRM_DEBUG=1 the view ends with the traceback",
            )
        self.post_message(Ended(job, stop, error))

    def on_came(self, message: Came) -> None:
        """Hand on what a worker found, unless nobody waits for it any more."""
        message.stop()
        if self._stops.get(message.job) is message.stop_of:
            message.then(message.value)
            self.say()

    def on_ended(self, message: Ended) -> None:
        """Note that a worker has ended."""
        message.stop()
        if self._stops.get(message.job) is not message.stop_of:
            return
        del self._stops[message.job]
        if message.job == "step":
            self._step_to = None
        if message.error is not None:
            self.error = message.error
            self.failed(message.job, message.error)
        self.say()

    def failed(self, job: str, error: LrmError) -> None:
        """Called when a job ended badly; the banner shows the error, what was shown before stays."""

    def stop(self, job: str | None = None) -> bool:
        """Stop a job, or all; return whether there was one."""
        names = list(self._stops) if job is None else [name for name in (job,) if name in self._stops]
        for name in names:
            self._stops.pop(name).stop()
        if job is None:
            self._step_to = None
        return bool(names)

    def on_unmount(self) -> None:
        """Stop what nobody waits for any more."""
        self.stop()

    # The grammar

    def action_down(self) -> None:
        """One row down."""
        self.moved(1, 0)

    def action_up(self) -> None:
        """One row up."""
        self.moved(-1, 0)

    def action_left(self) -> None:
        """One column to the left."""
        self.moved(0, -1)

    def action_right(self) -> None:
        """One column to the right."""
        self.moved(0, 1)

    def moved(self, rows: int, columns: int) -> None:
        """Move within the pane."""
        if self.pane is not None:
            self.pane.move(rows, columns)

    def action_top(self) -> None:
        """Go to the first row."""
        if self.pane is not None:
            self.pane.top()

    def action_bottom(self) -> None:
        """Go to the last row."""
        if self.pane is not None:
            self.pane.bottom()

    def action_half_down(self) -> None:
        """Half a page down."""
        if self.pane is not None:
            self.pane.half_page(1)

    def action_half_up(self) -> None:
        """Half a page up."""
        if self.pane is not None:
            self.pane.half_page(-1)

    def action_enter(self) -> None:
        """Go into what the cursor is on."""

    def action_out(self) -> None:
        """Stop what loads, else dismiss the error or clear what narrows the view, else go back."""
        if self._stays:
            self.stop()
            self.say()
        elif self.error is not None:
            self.error = None
            self.say()
        elif not self.cleared():
            self.lrm.back()

    def cleared(self) -> bool:
        """Clear a filter or a search; return whether there was one."""
        return False

    def action_next_item(self) -> None:
        """Show the next item of the list that this came from."""
        self._step(1)

    def action_previous_item(self) -> None:
        """Show the item before."""
        self._step(-1)

    def _step(self, by: int) -> None:
        if self.items is None or self.row is None:
            self.lrm.tell("this view came from no list")
            return
        # From where the last step was going, not from where it has come: three quick steps are three.
        items, row = self.items, (self.row if self._step_to is None else self._step_to) + by
        if not 0 <= row < items.count:
            self.lrm.tell("that is the first one" if by < 0 else "that is the last one")
            return
        self._step_to = row
        self.ask("step", lambda _: items.place_at(row), partial(self._stepped, row))

    def _stepped(self, row: int, place: Place | None) -> None:
        self._step_to = None
        if place is not None:
            self.row = row
            self.turn_to(place)

    def turn_to(self, place: Place) -> None:
        """Show another place in this view."""
        self.place = place
        self.load()
        self.say()

    def action_next_pane(self) -> None:
        """Go to the next pane."""
        self._pane(1)

    def action_previous_pane(self) -> None:
        """Go to the pane before."""
        self._pane(-1)

    def panes(self) -> tuple[Pane, ...]:
        """Return the panes that Tab goes through."""
        return ()

    def _pane(self, by: int) -> None:
        panes = self.panes()
        if not panes:
            return
        at = panes.index(self.pane) if self.pane in panes else -1
        self.activate(panes[(at + by) % len(panes)])

    def activate(self, pane: Pane) -> None:
        """Let the keys of movement act on a pane."""
        for one in self.panes():
            cast("Any", one).set_class(one is pane, "-active")
        self.pane = pane

    def action_find(self) -> None:
        """Search or filter what is shown."""
        self.lrm.tell("there is nothing to search here")

    def action_next_match(self) -> None:
        """Go to the next match."""

    def action_previous_match(self) -> None:
        """Go to the match before."""

    def action_mark(self) -> None:
        """Mark what the cursor is on."""

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return what can be copied: a letter, what it is, and how to get it. Views add to this."""
        return {"l": ("the command that opens this view", lambda: command(self.place, self.lrm.catalog_words))}

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 -- Textual's own
        """Leave keys that are done first to an editor that has the focus."""
        return not (f"any.{action}" in _FIRST and self.app.focused is not None)

    async def action_copy(self) -> None:
        """Ask what to copy, and copy it."""
        await self.lrm.offer_copies(self.copies())

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return what can be written to a file: the ending of its name, and how to get it. May be slow: done in a worker."""
        return {}

    def action_export(self) -> None:
        """Ask for a file and write what is shown to it."""
        self.lrm.offer_exports(self, self.exports())

    def text(self) -> str | None:
        """Return what is shown as plain text, for pager and editor."""
        return None

    def action_pager(self) -> None:
        """Show it in the pager."""
        self.lrm.outside("PAGER", "less", self.text())

    def action_editor(self) -> None:
        """Open a copy of it in the editor."""
        self.lrm.outside("EDITOR", "vi", self.text())

    def action_refresh(self) -> None:
        """Read the catalog again."""
        self.error = None
        self.load()
        self.say()

    def action_palette(self) -> None:
        """Open the palette."""
        self.app.action_command_palette()

    def sql(self) -> str | None:
        """Return the SQL over the documented views behind what is shown."""
        return None

    def action_show_sql(self) -> None:
        """Open the console with the SQL behind what is shown."""
        from lrm.browse.places import SqlPlace

        found = self.sql()
        if found is None:
            self.lrm.tell("there is no SQL behind this view")
        else:
            self.lrm.open(SqlPlace(found))

    def action_monitor(self) -> None:
        """Open the monitor."""
        from lrm.browse.places import MonitorPlace

        self.lrm.open(MonitorPlace())

    def action_theme(self) -> None:
        """Take the next theme."""
        self.lrm.next_theme()

    def action_help(self) -> None:
        """Show the keys of this view."""
        from lrm_tui.help import HelpScreen

        self.app.push_screen(HelpScreen(self.view, self.lrm.settings.keys))

    def action_quit(self) -> None:
        """Leave."""
        self.lrm.leave()

    def on_changed(self, message: Changed) -> None:
        """Called when the catalog's file has changed; a view that can refresh cheaply does so."""
        message.stop()

    def can(self, action: Action) -> bool:  # noqa: ARG002 -- views that cannot do all they have say so
        """Return whether an action can be done now: the palette leaves out what cannot."""
        return True

    def on_keys_line_pressed(self, message: KeysLine.Pressed) -> None:
        """Do what was clicked in the footer."""
        message.stop()
        self.do(message.action)

    def do(self, action: Action) -> None:
        """Do an action by its entry in the table."""
        getattr(self, f"action_{action.verb}")(*([1] if action.by_digit else []))
