"""The engines of a session: loaded when their turn comes, kept as long as there is room, freed at its end."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from lrm import clock
from lrm.engines.engine import Engine, Executor, Load, Settings
from lrm.engines.order import displaced
from lrm.engines.settings import settings_of
from lrm.errors import ModelError
from lrm.registry.models import Model
from lrm.run.log import RunLog

WINDOW_S = 10.0
"""Seconds over which tokens a second are taken."""
MOST_DEATHS = 3
"""Times that an engine may die in a fill before it is not started again."""


@dataclass(slots=True)
class Use:
    """One engine from its start to its end, as the catalog keeps it."""

    settings: Settings
    started_at: datetime
    """UTC, naive."""
    load_s: float | None = None
    """Seconds that it took to start; None where it did not."""
    device: str | None = None
    gpus: int = 0
    vllm: str | None = None
    busy_s: float = 0.0
    """Seconds in which it was asked."""
    load: Load = field(default_factory=Load)
    """What it said last."""
    fault: str | None = None
    """Why it did not start, or died."""
    log: Path | None = None
    """The file that takes what it prints."""


@dataclass(slots=True)
class Held:
    """A loaded engine."""

    engine: Engine
    use: Use
    users: int = 0
    """Rounds that ask it at the moment."""
    since: float = 0.0
    """Monotonic seconds since when it is asked."""
    said: deque[tuple[float, int]] = field(default_factory=deque)
    moved_at: float = field(default_factory=time.monotonic)
    """Monotonic seconds when it was last seen to have made a token."""

    def tokens_a_second(self) -> float | None:
        """Return the tokens that it gave a second, over the last seconds; None while that cannot be told."""
        now, seen, tokens = time.monotonic(), self.said, self.engine.load.output_tokens
        if not seen or seen[-1][1] != tokens:
            self.moved_at = now
        seen.append((now, tokens))
        while len(seen) > 2 and now - seen[0][0] > WINDOW_S:
            seen.popleft()
        (then, before), (_, made) = seen[0], seen[-1]
        return (made - before) / (now - then) if now - then >= 1 and made > before else None


@dataclass(slots=True)
class Engines:
    """The engines of one session. One event loop, no threads."""

    executor: Callable[[], Executor]
    log_of: Callable[[str], Path]
    """Where an engine's own output goes, by its label."""
    say: Callable[[str], None]
    log: RunLog
    uses: list[Use] = field(default_factory=list)
    """All that were started, in order."""
    held: dict[Settings, Held] = field(default_factory=dict)
    """Those that are loaded; the one used longest ago comes first."""
    loading: tuple[Settings, float] | None = None
    """What is being loaded, and since when in monotonic seconds."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: set[asyncio.Future[None]] = field(default_factory=set)

    async def enter(self, model: Model) -> Held:
        """Return the engine of a model, loaded; `leave` it afterwards. Waits until there is room.

        Raises ModelError where it does not start.
        """
        settings = settings_of(model)
        async with self._turn:
            held = self.held.pop(settings, None)
            if held is not None and held.engine.died is not None:
                await self._end(held)
                held = None
            if held is None:
                await self._make_room(settings)
                held = await self._start(settings, model)
            self.held[settings] = held
            held.users += 1
            if held.users == 1:
                held.since = time.monotonic()
            return held

    def leave(self, held: Held) -> None:
        """Ask an engine no more for now; it stays loaded until its room is needed."""
        held.users -= 1
        held.use.load = held.engine.load
        if held.users == 0:
            held.use.busy_s += time.monotonic() - held.since
            self._freed.set()

    async def close(self) -> None:
        """Free every engine."""
        while self.held:
            _, held = self.held.popitem()
            with suppress(Exception):
                await self._end(held)
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _make_room(self, settings: Settings) -> None:
        """Free engines until another fits; waits for those that are asked."""
        while displaced(settings, list(self.held)):
            idle = next((one for one, held in self.held.items() if not held.users), None)
            if idle is not None:
                await self._end(self.held.pop(idle))
                continue
            self._freed.clear()
            await self._freed.wait()

    async def _start(self, settings: Settings, model: Model) -> Held:
        log = self.log_of(settings.label)
        use = Use(settings, clock.now().replace(tzinfo=None), log=log)
        self.uses.append(use)
        self.loading = (settings, time.monotonic())
        self.log.event("engine starts", checkpoint=settings.label, gpus=settings.gpus)
        try:
            engine = await self.executor().start(model, log=log, say=self.say)
        except ModelError as error:
            use.fault = error.message
            self.log.event("engine failed", checkpoint=settings.label, said=error.message)
            raise
        except asyncio.CancelledError:
            use.fault = "stopped while it started"
            raise
        finally:
            self.loading = None
        use.load_s = engine.load_s
        if engine.device is not None:
            use.device, use.gpus, use.vllm = engine.device.name, engine.device.gpus, engine.device.vllm
        self.log.event("engine started", checkpoint=settings.label, seconds=round(engine.load_s, 1), device=use.device)
        return Held(engine, use)

    async def _end(self, held: Held) -> None:
        use = held.use
        use.load = held.engine.load
        use.fault = held.engine.died
        if held.users:
            use.busy_s += time.monotonic() - held.since
            held.users = 0
        # Whoever is cancelled meanwhile leaves no weights behind: `close` waits for the rest.
        ending = asyncio.ensure_future(held.engine.stop())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.shield(ending)
        self.log.event("engine ended", checkpoint=use.settings.label, said=use.fault, died=use.fault is not None)
