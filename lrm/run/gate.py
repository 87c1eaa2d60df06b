"""The gate before a pool: how many calls may be under way, when, and whose is next.

A pool is what a provider counts together (`lrm.backends.pool`); each model of it passes through a turnstile of its own. The
whole pool obeys one adaptive limit (`lrm.run.capacity`) and the Retry-After of any of its replies. A turnstile obeys what is
declared for its model and what the headers of its own replies say is left, because providers count those by model. A freed
place goes to the waiting turnstile with the fewest calls in flight.

One event loop at a time and no threads. Nothing polls: a waiter is woken by a place that frees, or by the one timer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lrm.registry.declarations import Limits
from lrm.run.capacity import Capacity
from lrm.run.turnstile import LIMITED, OTHER, SERVED, UNREACHED, UNUSED, Closed, Outcome, Turnstile

if TYPE_CHECKING:
    import asyncio

__all__ = ["LIMITED", "OTHER", "SERVED", "UNREACHED", "UNUSED", "Closed", "Gate", "Outcome", "Turnstile"]

_SHORTEST_TIMER_S = 0.001


class Gate:
    """The gate before one pool. `clock` counts seconds as the event loop's does; `paced=False` leaves only the caps."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, paced: bool = True) -> None:
        self.clock = clock
        self.paced = paced
        self.capacity = Capacity(clock(), paced=paced)
        self.careful = False
        """Whether more than the places decides: the gate is shut for a time, spaced, or somebody is new or comes again."""
        self.queues: dict[Turnstile, None] = {}
        """Turnstiles with waiters; the one that has waited longest for its turn comes first."""
        self._ways: dict[Turnstile, None] = {}
        self._new = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._soon = False

    def join(self, limits: Limits, *, expected_tokens: float | None = None) -> Turnstile:
        """Return a turnstile of this gate for one model. `expected_tokens`: of a call, prompt and reply; None is unknown."""
        way = Turnstile(self, limits, expected_tokens)
        self._ways[way] = None
        if self.paced:
            self._new += 1
            self.careful = True
        return way

    @property
    def limit(self) -> int:
        """Calls that may be under way at present, as far as the provider shows."""
        return self.capacity.limit

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self.capacity.in_flight

    @property
    def waiting_s(self) -> float:
        """Seconds until the next call of the pool may begin as far as time is concerned; 0.0 when time forbids none."""
        now = self.clock()
        wait = self.capacity.wait_s(now)
        if wait <= 0 and self.queues:
            wait = min(way.wait_s(now) for way in self.queues)
        return wait

    @property
    def reason(self) -> str | None:
        """Why calls wait for a time; None while they wait for nothing, or for a place."""
        now = self.clock()
        shut = self.capacity.reason(now)
        if shut is not None or not self.queues:
            return shut
        return min(self.queues, key=lambda way: way.wait_s(now)).reason

    # --- for turnstiles ---

    def seen(self) -> None:
        """A new turnstile has come to the gate for the first time."""
        self._new -= 1

    def share(self) -> int:
        """Return the places that one turnstile may take while others have just joined and not yet come."""
        return self.capacity.limit if self._new <= 0 else max(1, self.capacity.limit // max(1, len(self._ways)))

    def others_first(self, way: Turnstile) -> bool:
        """Return whether a turnstile with fewer calls in flight waits and might be let in, or was let in and comes again."""
        now = self.clock()
        return any(
            other.in_flight < min(way.in_flight, other.cap)
            and (other.coming or other in self.queues)
            and other.wait_s(now) <= 0
            for other in self._ways
        )

    def remember(self) -> None:
        """Decide anew whether the quick way in is enough."""
        capacity = self.capacity
        self.careful = self._new > 0 or capacity.shut_until > 0 or capacity.pace is not None
        if len(self._ways) > 1 and not self.careful:
            self.careful = any(way.coming for way in self._ways)

    def left(self, way: Turnstile) -> None:
        """Forget a turnstile that was closed."""
        if way in self._ways:
            del self._ways[way]
            self.queues.pop(way, None)
            if way.new and self.paced:
                self._new -= 1
            self.hand_out()

    def wait_here(self, way: Turnstile) -> asyncio.Future[int]:
        """Return a future that gets a ticket when it is the turnstile's turn."""
        import asyncio

        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What was to come in an earlier loop never will.
            self._loop, self._timer, self._soon = loop, None, False
        place: asyncio.Future[int] = loop.create_future()
        way.waiters[place] = None
        self.queues[way] = None
        self.hand_out()
        return place

    def hand_out(self) -> None:
        """Give the places there are to waiting turnstiles."""
        capacity = self.capacity
        while self.queues:
            if capacity.in_flight >= capacity.limit:
                capacity.full_at = capacity.issued
                return
            now = self.clock()
            best = None
            soonest = float("inf")
            for way in self.queues:
                if way.in_flight < way.cap and (best is None or way.in_flight < best.in_flight):
                    if self._new > 0 and way.in_flight >= self.share():
                        self._after_others()
                        continue
                    wait = way.wait_s(now)
                    if wait <= 0:
                        best = way
                    else:
                        soonest = min(soonest, wait)
            if self.careful:
                self.remember()
            if best is None:
                self._wake_in(soonest, now)
                return
            if any(way.coming and way.in_flight < min(best.in_flight, way.cap) for way in self._ways):
                # Whoever was just let in and has fewer comes again in this turn of the loop; the place is kept for it.
                self._after_others()
                return
            best.admit()

    def _after_others(self) -> None:
        """Hand out again when all that can run now has run."""
        if not self._soon and self._loop is not None:
            self._soon = True
            self._loop.call_soon(self._others_ran)

    def _others_ran(self) -> None:
        self._soon = False
        self._new = 0
        for way in self._ways:
            way.coming = way.new = False
        self.remember()
        self.hand_out()

    def _wake_in(self, seconds: float, now: float) -> None:
        """Set the timer, unless it is set for as early or there is nothing to wait for but a place."""
        if self._loop is None or seconds == float("inf"):
            return
        due = now + seconds
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(max(seconds, _SHORTEST_TIMER_S), self._rang)

    def _rang(self) -> None:
        self._timer = None
        self.hand_out()
