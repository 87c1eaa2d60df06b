"""A turnstile: one model's way through the gate of its pool."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from lrm.backends.base import Quota
from lrm.registry.declarations import Limits
from lrm.run.bucket import Allowance, Tokens, requests_bucket
from lrm.run.capacity import LONGEST_CLOSED_S

if TYPE_CHECKING:
    import asyncio

    from lrm.run.gate import Gate

_MEMORY = 16
"""Replies that the mean of what a call takes is over, about, where a provider says how many tokens are left."""

Outcome = Literal["served", "limited", "unreached", "other", "unused"]
"""What a call says of its provider's capacity."""
SERVED: Outcome = "served"
LIMITED: Outcome = "limited"
"""Refused because there is too much to do."""
UNREACHED: Outcome = "unreached"
"""No connection, or no answer in time."""
OTHER: Outcome = "other"
"""Failed in a way that says nothing of capacity."""
UNUSED: Outcome = "unused"
"""No call was made: what it had taken of the rates is given back."""


class Closed(Exception):  # noqa: N818 - an end, not a fault
    """The turnstile was closed while a call waited before it."""


class Turnstile:
    """One model's way through a gate. Made by `Gate.join`."""

    __slots__ = (
        "_allowed",
        "_cap",
        "_closed",
        "_each",
        "_gate",
        "_heard",
        "_open",
        "_pool",
        "_requests",
        "_timed",
        "_tokens",
        "coming",
        "in_flight",
        "new",
        "waiters",
    )

    def __init__(self, gate: Gate, limits: Limits, expected_tokens: float | None) -> None:
        self._gate = gate
        self._pool = gate.capacity
        self._cap = self._open = limits.max_in_flight
        self._closed = False
        self.in_flight = 0
        """Calls of this model under way."""
        self.new = True
        """Whether nobody has come to it yet."""
        self.coming = False
        """Whether the one who waited was let in and has not come again."""
        self.waiters: OrderedDict[asyncio.Future[int], None] = OrderedDict()
        now = gate.clock()
        minute, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = requests_bucket(minute, now) if minute and gate.paced else None
        self._tokens = Tokens(tokens, expected_tokens, now) if tokens and gate.paced else None
        self._allowed: tuple[Allowance, ...] = ()
        self._heard = 0
        self._each = expected_tokens
        self._timed = self._requests is not None or self._tokens is not None

    @property
    def cap(self) -> int:
        """Calls that may be under way at most. May be set at any time, to 0 too; what is under way is finished."""
        return self._cap

    @cap.setter
    def cap(self, most: int) -> None:
        self._cap = max(0, most)
        if not self._closed:
            self._open = self._cap
            self._gate.hand_out()

    @property
    def reason(self) -> str | None:
        """Why no call may begin for a time; None while time does not forbid it."""
        now = self._gate.clock()
        shut = self._pool.reason(now)
        if shut is not None or not self._timed or self.wait_s(now) <= 0:
            return shut
        if any(one.calls <= 0 for one in self._allowed):
            return "the provider's quota is used up"
        requests = self._requests is not None and self._requests.wait_s(1, now) > 0
        return "requests a minute" if requests else "tokens a minute"

    def try_enter(self) -> int | None:
        """Return a ticket if a call may begin at once, else None. What was entered is to be left."""
        pool = self._pool
        self.coming = False
        if pool.in_flight >= pool.limit:
            pool.full_at = pool.issued
            return None
        if self.in_flight >= self._open:
            return None
        gate = self._gate
        if (self._timed or gate.careful or gate.queues) and not self._may():
            return None
        self.in_flight += 1
        pool.issued = ticket = pool.issued + 1
        pool.in_flight = under_way = pool.in_flight + 1
        if under_way >= pool.limit:
            pool.full_at = ticket
        return ticket

    async def enter(self) -> int:
        """Return a ticket as soon as a call may begin. Raises Closed when the turnstile is closed, or was."""
        import asyncio

        if self._closed:
            raise Closed
        ticket = None if self.waiters else self.try_enter()
        if ticket is not None:
            return ticket
        if self.new:
            self._came()
        self.coming = False
        place = self._gate.wait_here(self)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave(place.result(), UNUSED)
            else:
                self.waiters.pop(place, None)
                if not self.waiters:
                    self._gate.queues.pop(self, None)
            raise

    def leave(
        self,
        ticket: int,
        outcome: Outcome,
        *,
        retry_after_s: float | None = None,
        tokens: int | None = None,
        quota: Quota | None = None,
    ) -> None:
        """Give the place back and say how the call went. `tokens` it took and the `quota` left: None where not said."""
        gate, pool = self._gate, self._pool
        self.in_flight -= 1
        pool.in_flight -= 1
        if gate.paced:
            if outcome == "served" and retry_after_s is None:
                pool.served(ticket, gate.clock())
            else:
                self._failed(ticket, outcome, retry_after_s)
            if self._timed:
                self._settle(outcome, tokens)
            if quota is not None:
                self._hear(ticket, outcome, quota, tokens)
        if gate.queues:
            gate.hand_out()

    def close(self) -> None:
        """Let nobody in any more; waiters get Closed. Calls under way are left as ever."""
        self._closed = True
        self._open = 0
        waiters, self.waiters = self.waiters, OrderedDict()
        for place in waiters:
            if not place.done():
                place.set_exception(Closed())
        self._gate.left(self)

    # --- for the gate ---

    def wait_s(self, now: float) -> float:
        """Return the seconds until a call may begin as far as time is concerned; 0.0 when it may now."""
        wait = self._pool.wait_s(now) if self._gate.careful else 0.0
        if not self._timed:
            return wait
        if self._requests is not None:
            wait = max(wait, self._requests.wait_s(1, now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(now))
        if self._allowed:
            self._allowed = tuple(one for one in self._allowed if one.until > now)
            self._look()
            wait = max((wait, *(one.until - now for one in self._allowed if one.calls <= 0)))
        return wait

    def admit(self) -> None:
        """Let in the first who waits; that a call may begin was found out."""
        place, _ = self.waiters.popitem(last=False)
        del self._gate.queues[self]
        if self.waiters:
            self._gate.queues[self] = None
        if place.done():
            return
        pool = self._pool
        self._take()
        self.in_flight += 1
        pool.issued += 1
        pool.in_flight += 1
        if pool.in_flight >= pool.limit:
            pool.full_at = pool.issued
        self.coming = True
        self._gate.remember()
        place.set_result(pool.issued)

    def _may(self) -> bool:
        """Return whether time and others let a call begin, and take it from the rates if so."""
        gate = self._gate
        if self.new:
            self._came()
        if (gate.careful or gate.queues) and (self.in_flight >= gate.share() or gate.others_first(self)):
            return False
        if self.wait_s(gate.clock()) > 0:
            return False
        self._take()
        if gate.careful:
            gate.remember()
        return True

    def _came(self) -> None:
        self.new = False
        if self._gate.paced:
            self._gate.seen()

    def _take(self) -> None:
        if self._pool.pace is not None:
            self._pool.pace.take(1)
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.begin()
        for one in self._allowed:
            one.calls -= 1

    def _failed(self, ticket: int, outcome: Outcome, retry_after_s: float | None) -> None:
        pool, now = self._pool, self._gate.clock()
        match outcome:
            case "limited":
                pool.limited(ticket, now, retry_after_s)
            case "unreached":
                pool.unreached(ticket, now)
            case "served":
                pool.served(ticket, now)
            case "other":
                pool.reached()
            case "unused":
                pass
        if retry_after_s is not None and outcome != "limited":
            pool.told_to_wait(retry_after_s, now)
        self._gate.remember()

    def _settle(self, outcome: Outcome, tokens: int | None) -> None:
        """Set right what the call has taken of the rates."""
        if outcome == "unused" and self._requests is not None:
            self._requests.take(-1)
        if self._tokens is None:
            return
        if outcome in {"limited", "unused"}:
            tokens = 0
        elif tokens is not None and outcome == "served":
            self._tokens.learn(tokens)
        self._tokens.end(tokens)

    def _hear(self, ticket: int, outcome: Outcome, quota: Quota, tokens: int | None) -> None:
        """Obey what a response's headers say is left; what is in flight is taken as not yet counted in it."""
        if tokens:
            self._each = tokens if self._each is None else self._each + (tokens - self._each) / _MEMORY
        if ticket < self._heard and outcome != "limited":
            return  # a slow reply's headers are as old as its request
        self._heard = max(ticket, self._heard)
        calls = None if quota.tokens is None else int(quota.tokens / max(1.0, self._each or 1.0))
        now = self._gate.clock()
        said = ((quota.requests, quota.requests_reset_s), (calls, quota.tokens_reset_s))
        self._allowed = tuple(
            Allowance(left - self.in_flight, now + reset)
            for left, reset in said
            if left is not None and reset is not None and left < self._cap and 0 < reset <= LONGEST_CLOSED_S
        )
        self._look()

    def _look(self) -> None:
        self._timed = self._requests is not None or self._tokens is not None or bool(self._allowed)
