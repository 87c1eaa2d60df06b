"""A lane: one model's part of a run, its calls and the ones that are to be asked again."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import tenacity

from lrm.backends.base import Backend, Call, CallFailure, FailureClass
from lrm.errors import ModelError
from lrm.registry.declarations import Model
from lrm.run.budget import Account
from lrm.run.feed import Calls
from lrm.run.gate import Gate, Turnstile
from lrm.run.progress import ModelProgress

if TYPE_CHECKING:
    from lrm.engines.engine import Settings
    from lrm.run.batches import BatchLane
    from lrm.run.engines import Held

RETRY_LONGEST_S = 60.0
LONGEST_WAIT_S = 3600.0
"""A provider that asks for a longer pause is not waited for."""
STREAK = 10
"""Calls in a row that failed for good after which a model that does not reply is given up."""
SILENT_S = 120.0
"""Seconds since the last reply before such a streak counts, where there was one."""
OF_THE_CALL: frozenset[FailureClass] = frozenset({"context_too_long", "bad_request", "internal"})
"""Failures that say nothing of other calls."""

_BACK_OFF = tenacity.wait_exponential_jitter(multiplier=0.5, max=RETRY_LONGEST_S, jitter=0.5)
_BACK_OFF_LIMITED = tenacity.wait_exponential_jitter(multiplier=2.0, max=RETRY_LONGEST_S, jitter=2.0)
_RETRYING = tenacity.Retrying()


@dataclass(slots=True)
class Try:
    """A call on its way."""

    call: Call
    began: float
    """Monotonic seconds when it was first asked."""
    attempts: int = 0
    """Requests made for it so far."""


@dataclass(slots=True)
class Lane:
    """One model's part of a run."""

    name: str
    model: Model
    model_hex: str
    feed: Calls
    backend: Backend | None
    """What carries out its calls; None where `batches` does, and while its engine is not loaded."""
    batches: BatchLane | None
    progress: ModelProgress
    gate: Gate
    way: Turnstile
    account: Account
    failures: dict[str, int] = field(default_factory=dict)
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    """Rung when something changed that whoever drives the lane may wait for."""
    streak: int = 0
    """Calls in a row that failed for good in a way that may concern all of them."""
    heard_at: float | None = None
    """Monotonic seconds of the last reply; None before the first."""
    longest_s: float = 0.0
    """Seconds that the slowest reply took."""
    silence_said: bool = False
    settings: Settings | None = None
    """The engine that has to be loaded before it can be asked; None where none has to be."""
    held: Held | None = None
    """That engine, while it is there."""
    refused: ModelError | None = None
    """Why that engine did not start, or cannot be asked so."""
    _drained: bool = False
    _parked: list[tuple[float, int, Try]] = field(default_factory=list)
    _count: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be asked, now or later."""
        return self._drained and not self._parked and not self.progress.in_flight

    @property
    def dead(self) -> bool:
        """Whether the engine that it asks has died."""
        return self.held is not None and self.held.engine.died is not None

    def next(self, now: float) -> Try | None:
        """Return the next call to ask; None when there is none at this moment.

        Calls that wait to be asked again are bounded by what may be in flight, so that an outage does not read the whole
        queue into memory.
        """
        if self._parked and self._parked[0][0] <= now:
            return heapq.heappop(self._parked)[2]
        if self._drained or len(self._parked) >= self.way.cap:
            return None
        call = self.feed.next()
        if call is None:
            self._drained = True
            return None
        return Try(call, now)

    def park(self, one: Try, due: float) -> None:
        """Take a call back, to be asked again when it is due."""
        heapq.heappush(self._parked, (due, next(self._count), one))
        self.bell.set()

    @property
    def due(self) -> float | None:
        """When the next parked call is due, in monotonic seconds; None without one."""
        return self._parked[0][0] if self._parked else None

    def given_up(self, failure: CallFailure, now: float) -> str | None:
        """Return why no further call of this model is worth asking after a failure for good; None while they are."""
        # A firewall or a moderation that says 403 now and then lets other calls in.
        if failure.kind == "auth" and (failure.status != 403 or self.heard_at is None):
            return f"not allowed in: {failure.message}"
        if failure.kind in OF_THE_CALL:
            return None
        self.streak += 1
        silent = self.heard_at is None or now - self.heard_at > SILENT_S
        if self.streak < STREAK or not silent:
            return None
        since = "none was answered" if self.heard_at is None else f"nothing came for {now - self.heard_at:.0f} s"
        return f"{self.streak} calls in a row failed for good and {since}: {failure.kind}: {failure.message}"


def pause_s(failure: CallFailure, attempts: int) -> float:
    """Return how long to wait before a call is asked again, in seconds: growing and jittered, or what the provider named."""
    back_off = _BACK_OFF_LIMITED if failure.kind == "rate_limited" else _BACK_OFF
    state = tenacity.RetryCallState(_RETRYING, fn=None, args=(), kwargs={})
    state.attempt_number = attempts
    return max(back_off(state), failure.retry_after_s or 0.0)
