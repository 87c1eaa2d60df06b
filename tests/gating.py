"""Time that passes only when nobody has anything to do, and a provider in it, for tests of the gate."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from lrm.registry.declarations import Limits
from lrm.run.gate import LIMITED, SERVED, Gate, Outcome, Turnstile


class Clock:
    """Seconds that pass by leaps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.turns = 0

    def __call__(self) -> float:
        return self.now


class Leaping(selectors.SelectSelector):
    """Does not wait for the next timer, but moves the clock there."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: float | None = None) -> list[Any]:
        self.clock.turns += 1
        if timeout is None:
            raise RuntimeError("everybody waits and nothing will ever happen")
        self.clock.now += max(0.0, timeout)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        super().__init__(Leaping(clock))
        self.clock = clock

    def time(self) -> float:
        return self.clock.now


def play(work: Callable[[Clock], Coroutine[Any, Any, None]], clock: Clock | None = None) -> Clock:
    """Run `work` in time of its own."""
    clock = clock or Clock()
    with asyncio.Runner(loop_factory=lambda: Loop(clock)) as runner:
        runner.run(work(clock))
    return clock


def limits(most: int = 10_000, **others: float) -> Limits:
    return Limits.model_validate({"max_in_flight": most, **others})


def way_in(gate: Gate, most: int = 10_000, *, tokens: float | None = None, **others: float) -> Turnstile:
    return gate.join(limits(most, **others), expected_tokens=tokens)


def enter_all(way: Turnstile) -> list[int]:
    tickets = []
    while (ticket := way.try_enter()) is not None:
        tickets.append(ticket)
    return tickets


@dataclass
class Provider:
    """Answers so many at a time, so many a minute, and 429 above."""

    clock: Clock
    places: int = 1_000_000
    per_minute: float | None = None
    window: str = "sliding"
    names: bool = False
    """Whether a 429 says when to come again."""
    latency: tuple[float, float] = (0.5, 1.5)
    busy: int = 0
    most: int = 0
    served: int = 0
    refused: int = 0
    arrivals: list[float] = field(default_factory=list)
    not_before: float = 0.0
    """When it has told somebody to come again."""
    early: int = 0
    """Requests that came before."""
    _level: float | None = None
    _level_at: float = 0.0
    _dice: random.Random = field(default_factory=lambda: random.Random(7))
    _window: deque[float] = field(default_factory=deque)

    async def ask(self) -> tuple[Outcome, float | None]:
        now = self.clock.now
        self.arrivals.append(now)
        wait = self._wait(now)
        if self.busy >= self.places or wait > 0:
            self.refused += 1
            await asyncio.sleep(0.02)
            return LIMITED, (wait or 1.0) if self.names else None
        self._window.append(now)
        if self._level is not None:
            self._level -= 1
        self.busy += 1
        self.most = max(self.most, self.busy)
        await asyncio.sleep(self._dice.uniform(*self.latency))
        self.busy -= 1
        self.served += 1
        return SERVED, None

    def _wait(self, now: float) -> float:
        """Seconds until the rate allows one more."""
        if self.per_minute is None:
            return 0.0
        match self.window:
            case "sliding":
                while self._window and self._window[0] <= now - 60:
                    self._window.popleft()
                return self._window[0] + 60 - now if len(self._window) >= self.per_minute else 0.0
            case "fixed":
                begin = now // 60 * 60
                there = sum(1 for at in self._window if at >= begin)
                return begin + 60 - now if there >= self.per_minute else 0.0
            case _:
                size = max(1.0, self.per_minute / 6)
                level = size if self._level is None else self._level
                self._level = min(size, level + (now - self._level_at) * self.per_minute / 60)
                self._level_at = now
                return 0.0 if self._level >= 1 else (1 - self._level) * 60 / self.per_minute


async def fill(way: Turnstile, provider: Provider, calls: int) -> None:
    """Ask until so many were served, as the runner does: what was refused is asked again."""
    todo, done = calls, 0
    bell = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def ask(ticket: int) -> None:
        nonlocal todo, done
        provider.early += provider.clock.now < provider.not_before
        outcome, told = await provider.ask()
        provider.not_before = max(provider.not_before, provider.clock.now + (told or 0.0))
        if outcome == LIMITED:
            todo += 1
        else:
            done += 1
        way.leave(ticket, outcome, retry_after_s=told)
        bell.set()

    while done < calls:
        if not todo:
            bell.clear()
            await bell.wait()
            continue
        ticket = way.try_enter()
        if ticket is None:
            ticket = await way.enter()
        todo -= 1
        task = asyncio.create_task(ask(ticket))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
