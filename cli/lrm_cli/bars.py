"""Live bars, one a model, on a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Display

from lrm.text import visible
from lrm_cli.progress import Rhythm, figures, name_of, planned_line

if TYPE_CHECKING:
    from lrm.plan.plan import Plan
    from lrm.run.progress import Progress


class Bars:
    """An observer that draws a bar a model: done of total, then failed, left, calls a second, tokens, cost, time left."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._display = Display(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}", markup=False),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self._console,
            refresh_per_second=4,
        )
        self._tasks: dict[str, TaskID] = {}
        self._rhythms: dict[str, Rhythm] = {}

    def planned(self, plan: Plan) -> None:
        """Say what is going to be done."""
        if not plan.nothing_to_do:
            self.say(planned_line(plan))

    def tick(self, progress: Progress) -> None:
        """Draw the state."""
        now = time.monotonic()
        self._display.start()
        for name, one in progress.models.items():
            if name not in self._tasks:
                self._tasks[name] = self._display.add_task(name_of(one), total=one.total, figures="")
                self._rhythms[name] = Rhythm()
            self._rhythms[name].add(now, one.done + one.failed)
            self._display.update(
                self._tasks[name],
                completed=one.done + one.failed,
                figures=figures(one, self._rhythms[name].a_second(), paused=progress.paused),
            )

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(visible(line), soft_wrap=True)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._display.stop()
