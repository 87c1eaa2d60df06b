"""Progress of a fill on stderr: live bars on a terminal, a plain line now and then elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lrm.engines.words import doing, engines_line
from lrm.text import visible
from lrm_cli.output import say
from lrm_cli.plan_page import budget_line
from lrm_cli.table import count, money

if TYPE_CHECKING:
    from lrm.plan.plan import Plan
    from lrm.run.progress import ModelProgress, Observer, Progress

PLAIN_S = 5.0
"""Seconds between two plain lines."""
WINDOW_S = 10.0
"""Seconds over which calls a second are taken."""


class Rhythm:
    """Calls a second over the last seconds, from counts given at times."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now: float, finished: int) -> None:
        """Take the count of finished calls at a time; a smaller one than before is of another round."""
        if self._seen and finished < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, finished))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()

    def a_second(self) -> float | None:
        """Return calls a second; None while it cannot be told."""
        (then, before), (now, finished) = self._seen[0], self._seen[-1]
        return (finished - before) / (now - then) if now > then else None


def figures(one: ModelProgress, speed: float | None, *, paused: bool = False) -> str:
    """Return a model's figures: failed, left, what holds it up or calls a second and time left, tokens, cost."""
    parts = [f"{one.left:,} left"]
    if one.failed:
        parts.insert(0, f"{one.failed:,} failed")
    if one.stopped is not None:
        parts.append("stopped")
    elif paused:
        parts.append("paused")
    elif one.waiting is not None and one.left:
        parts.append(one.waiting)
    elif speed and one.left:
        parts += [f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s", f"{_clock(one.left / speed)} to go"]
    if one.engine is not None and one.left and (busy := doing(one.engine)):
        parts.append(busy)
    parts += [f"{one.input_tokens + one.output_tokens:,} tokens", money(one.cost)]
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def planned_line(plan: Plan) -> str:
    """Return in a line what is going to be done."""
    parts = [f"{count(plan.ungraded, 'verdict')} missing"]
    if plan.blocks:
        parts = [f"{count(plan.calls, 'call')} to make", *parts, f"estimated cost {money(plan.cost)}"]
    if plan.shared:
        parts.append(f"{plan.shared:,} more that another fill is making")
    if plan.at_provider:
        parts.append(f"{plan.at_provider:,} more that batches at the provider will answer")
    if plan.pursuits:
        parts.append(f"then at most {count(plan.pursuit_calls, 'call')} of attacks for {money(plan.pursuit_cost)}")
    if plan.judge_calls:
        parts.append(f"then at most {count(plan.judge_calls, 'question')} to judge models for {money(plan.judge_cost)}")
    if plan.engines:
        parts.append(visible(engines_line(plan)))
    if plan.budget:
        parts.append(budget_line(plan))
    return f"{plan.spec}: {', '.join(parts)}"


class Plain:
    """Progress as lines: one at the start, at most one every few seconds, one at the end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spoke: float | None = None
        self._last: Progress | None = None
        self._rhythm = Rhythm()

    def planned(self, plan: Plan) -> None:
        """Say what is going to be done."""
        if not plan.nothing_to_do:
            say(planned_line(plan))

    def tick(self, progress: Progress) -> None:
        """Say how far it has come, when the last line is old enough."""
        now = self._clock()
        self._last = progress
        self._rhythm.add(now, sum(one.done + one.failed for one in progress.models.values()))
        if self._spoke is None:
            self._spoke = now
        elif now - self._spoke >= PLAIN_S:
            self._spoke = now
            self._line(progress)

    def say(self, line: str) -> None:
        """Say a line."""
        say(line)

    def close(self) -> None:
        """Say the last state."""
        if self._last is not None:
            self._line(self._last)

    def _line(self, progress: Progress) -> None:
        from lrm.run.progress import ModelProgress

        each = progress.models.values()
        costs = [one.cost for one in each]
        total = ModelProgress(
            "", sum(one.total for one in each), done=sum(one.done for one in each), failed=sum(one.failed for one in each),
            input_tokens=sum(one.input_tokens for one in each), output_tokens=sum(one.output_tokens for one in each),
            cost=None if None in costs else sum(cost for cost in costs if cost is not None),
        )  # fmt: skip
        waiting = [f"{name_of(one)}: {one.waiting}" for one in each if one.waiting and one.left]
        waiting += [
            f"{name_of(one)}: {busy}"
            for one in each
            if one.engine is not None and one.left and (busy := doing(one.engine))
        ]
        held = [*(["paused"] if progress.paused else []), *waiting]
        spent = f" (of the budget: {progress.budget})" if progress.budget else ""
        say(
            f"{total.done:,} of {count(total.total, 'call')} done, {figures(total, self._rhythm.a_second())}{spent}"
            + "".join(f"; {one}" for one in held)
        )


@contextmanager
def open_observer(*, quiet: bool) -> Iterator[Observer]:
    """Give the observer that suits stderr; what it shows is finished at the end."""
    if quiet:
        from lrm.run.progress import Silent

        yield Silent()
        return
    if sys.stderr.isatty():
        from lrm_cli.bars import Bars

        shown: Plain | Bars = Bars()
    else:
        shown = Plain()
    try:
        yield shown
    finally:
        shown.close()


def name_of(one: ModelProgress) -> str:
    """Return a model's name, fit to show."""
    return visible(one.model, one_line=True)
