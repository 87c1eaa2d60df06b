"""Rates: so much a minute, what was served in the last minute, and how many calls a provider says are left."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE_S = 60
_NEAR = 1e-6
"""What may lack for an amount to count as there: less than the clock can tell apart."""


class Bucket:
    """A token bucket: it holds what may be taken at once, fills with time, and can be overdrawn by what was not foreseen."""

    __slots__ = ("_at", "_level", "rate", "size")

    def __init__(self, rate: float, size: float, now: float) -> None:
        """Begin full. `rate` is by the second."""
        self.rate = rate
        self.size = size
        self._level = size
        self._at = now

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` may be taken, 0.0 when it may be now. More than `size` needs a full bucket."""
        level = self._level + (now - self._at) * self.rate
        self._level = level = min(level, self.size)
        self._at = now
        short = min(amount, self.size) - level
        return short / self.rate if short > _NEAR else 0.0

    def take(self, amount: float) -> None:
        """Take `amount`, there or not; a negative one is given back."""
        self._level -= amount


def requests_bucket(per_minute: float, now: float) -> Bucket:
    """Return a bucket that lets at most `per_minute` requests (rounded up) begin in any 60 seconds.

    Up to a second's worth of them begin at once. Of a bucket that holds b and fills with f a minute, fewer than b + f + 1
    can be taken within a minute, so f is `per_minute` - b + 1. A limit below 60 lets requests go one by one.
    """
    size = max(1.0, per_minute / MINUTE_S)
    return Bucket((per_minute - size + 1) / MINUTE_S, size, now)


class Tokens:
    """Tokens a minute. What a call takes is reserved when it begins and set right when it has come back.

    What is begun in any 60 seconds is expected to take at most `per_minute` and one call more; up to a second's worth and
    one call begin at once. What replies take beyond what was expected is owed, and waited for.
    """

    __slots__ = ("_bucket", "_in_flight", "_known", "_reserved", "expected")

    MEMORY = 50
    """Replies that the mean is over, about."""
    UNKNOWN = 20
    """A call of which nothing is known is taken for this part of a minute's tokens."""

    def __init__(self, per_minute: float, expected: float | None, now: float) -> None:
        size = per_minute / MINUTE_S
        self._known = 0 if expected is None else 1
        self.expected = per_minute / self.UNKNOWN if expected is None else max(expected, 1.0)
        self._bucket = Bucket((per_minute - size) / MINUTE_S, size, now)
        self._in_flight = 0
        self._reserved = 0.0

    def wait_s(self, now: float) -> float:
        """Return the seconds until a call may begin; 0.0 when it may now."""
        return self._bucket.wait_s(self.expected, now)

    def begin(self) -> None:
        """Reserve what a call is expected to take."""
        self._in_flight += 1
        self._reserved += self.expected
        self._bucket.take(self.expected)

    def end(self, tokens: float | None) -> None:
        """Set right what a call took; None is not known, and what was reserved stands for it."""
        share = self._reserved / self._in_flight
        self._in_flight -= 1
        self._reserved -= share
        if tokens is not None:
            self._bucket.take(tokens - share)

    def learn(self, tokens: float) -> None:
        """Take what a reply took into what the next is expected to take."""
        if not self._known:
            self.expected = tokens
        self._known = min(self._known + 1, self.MEMORY)
        self.expected = max(1.0, self.expected + (tokens - self.expected) / self._known)


class Recent:
    """How many there were in the last minute, to the second."""

    __slots__ = ("_counts", "_second")

    def __init__(self, now: float) -> None:
        self._counts = [0] * MINUTE_S
        self._second = int(now)

    def add(self, now: float) -> None:
        """Count one."""
        if int(now) != self._second:
            self._turn(int(now))
        self._counts[self._second % MINUTE_S] += 1

    def rate(self, now: float, enough: int) -> float | None:
        """Return how many there were a second since the first of the last 60 seconds; None where fewer than `enough`."""
        self._turn(int(now))
        total = sum(self._counts)
        if total < enough:
            return None
        first = next(n for n in range(self._second - MINUTE_S + 1, self._second + 1) if self._counts[n % MINUTE_S])
        return total / max(1.0, now - first)

    def _turn(self, second: int) -> None:
        for one in range(max(self._second + 1, second - MINUTE_S + 1), second + 1):
            self._counts[one % MINUTE_S] = 0
        self._second = max(second, self._second)


@dataclass(slots=True)
class Allowance:
    """How many calls may still be begun before a provider's window is new."""

    calls: int
    until: float
    """When the window is new, on the gate's clock."""
